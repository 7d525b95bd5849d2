"""The code of a network that no library knows: a Python module generated from its graph, which needs torch alone.

`wsp` takes it as ``--arch FILE.py:network``; so does anybody who imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn

from weightspace.errors import SourceError
from weightspace.source.exported import Exported

_KNOWN: Mapping[str, Any] = {
    "torch": torch,
    "device": torch.device,
    "inf": float("inf"),
    "nan": float("nan"),
    "NoneType": NoneType,
}
_OF_FX = ("fx_pytree", "pytree", "getattr")

_TEMPLATE = '''"""{about}

Written by weightspace, which calls it FILE.py:network.
"""

from math import inf, nan  # noqa: F401
from pathlib import Path
from types import NoneType  # noqa: F401

import torch
from torch import device, nn  # noqa: F401

WEIGHTS = {weights!r}  # beside this file; what a network() without them gives starts from zeros
PARAMETERS = {parameters}
BUFFERS = {buffers}
CONSTANTS = {constants}
ARGUMENTS = {arguments}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        for name, shape in PARAMETERS.items():
            part, last = self._part(name)
            part.register_parameter(last, nn.Parameter(torch.zeros(shape)))
        for name, (shape, dtype) in (BUFFERS | CONSTANTS).items():
            part, last = self._part(name)
            part.register_buffer(last, torch.zeros(shape, dtype=dtype), persistent=name in BUFFERS)

    def load(self, tensors):
        """Takes tensors by name, as the file of its weights holds them."""
        for name in CONSTANTS:
            part, last = self._part(name)
            setattr(part, last, tensors[name])
        self.load_state_dict({{name: tensor for name, tensor in tensors.items() if name not in CONSTANTS}})
        return self.eval()

    def _part(self, name):
        part, (*path, last) = self, name.split(".")
        for step in path:
            if not hasattr(part, step):
                part.add_module(step, nn.Module())
            part = getattr(part, step)
        return part, last

{forward}

def network():
    """The network, and arguments that it takes."""
    built, path = Network(), Path(__file__).with_name(WEIGHTS)
    if path.is_file():
        from safetensors.torch import load_file

        built.load(load_file(path))
    return built.eval(), {{name: torch.zeros(shape, dtype=dtype) for name, (shape, dtype) in ARGUMENTS.items()}}
'''


def code_of(exported: Exported, *, about: str, weights: str = "model.safetensors") -> str:
    """Python code of a network.

    Args:
        exported: Its graph.
        about: What the code says that it is: one line.
        weights: Name of the file with its weights, beside the file with the code.

    Raises:
        SourceError: The graph needs something that the code could not name.
    """
    printed = exported.graph.python_code("self")
    strange = set(printed.globals) - _KNOWN.keys() - {*_OF_FX}
    if strange:
        raise SourceError(f"the code of the network: expected operators of torch alone, found {', '.join(strange)}")
    parameters = {name: each for name, each in exported.tensors.items() if name in exported.parameters}
    constants = {name: each for name, each in exported.tensors.items() if name in exported.constants}
    buffers = {n: each for n, each in exported.tensors.items() if n not in parameters and n not in constants}
    names = [node.target for node in exported.graph.nodes if node.op == "placeholder"]
    return _TEMPLATE.format(
        about=about,
        weights=weights,
        parameters=_listed({name: repr(tuple(each.shape)) for name, each in parameters.items()}),
        buffers=_listed({name: _kind(each) for name, each in buffers.items()}),
        constants=_listed({name: _kind(each) for name, each in constants.items()}),
        arguments=_listed({name: _kind(each) for name, each in zip(names, exported.inputs.tensors(), strict=True)}),
        forward=_indented(printed.src),
    )


def generated(exported: Exported) -> nn.Module:
    """The network that the code of a graph describes, with the tensors of the graph, in evaluation mode.

    Raises:
        SourceError: See `code_of`.
    """
    known: dict[str, Any] = {"__name__": "generated", "__file__": "generated.py"}
    exec(compile(code_of(exported, about="A network."), "<generated>", "exec"), known)
    return known["Network"]().load(exported.tensors)


def _kind(tensor: Tensor) -> str:
    return f"({tuple(tensor.shape)}, {tensor.dtype})"


def _listed(entries: Mapping[str, str]) -> str:
    return "".join(["{\n", *(f"    {name!r}: {value},\n" for name, value in entries.items()), "}"])


def _indented(source: str) -> str:
    return "\n".join(f"    {line.rstrip()}" for line in source.splitlines() if line.strip()) + "\n"
