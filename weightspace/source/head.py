"""The head of a network, the layer that gives its outputs, and the same network with another number of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from typing_extensions import override

from weightspace.errors import SourceError
from weightspace.source.base import Inputs, Source
from weightspace.source.program import Program
from weightspace.structure import disposable

if TYPE_CHECKING:
    from weightspace.data.normalization import Normalization

# What layers of torch and of transformers call the number of their outputs.
_COUNTS = ("out_features", "out_channels", "nf")


@dataclass(frozen=True)
class Head:
    """The last layer of a network.

    Attributes:
        weight: Name of its weight.
        bias: Name of its bias, None where it has none.
        names: Every name of the two, aliases included -> the one above.
        axes: Every name -> the axis of the outputs.
        outputs: How many it gives.
    """

    weight: str
    bias: str | None
    names: Mapping[str, str]
    axes: Mapping[str, int]
    outputs: int


def head_of(source: Source) -> Head:
    """Finds the last layer that multiplies by a parameter; whether it gives the outputs has to be tried.

    Raises:
        SourceError: There is none, or it shares a tensor with other parts of the network.
        TraceError: The forward pass cannot be recorded.
    """
    program = Program.from_source(source, meta=True)
    sites = program.sites(program.inputs)
    if not sites.sites:
        raise SourceError(f"{source.label}: expected a head (a linear layer or a convolution), found none")
    last = sites.sites[-1]
    if last not in sites.alone:
        raise SourceError(
            f"{source.label}: expected a head with tensors of its own, found {last.weight}, which other parts of the "
            "network read too (see wsp untie)"
        )
    own = {last.weight: last.made} | ({} if last.bias is None else {last.bias: 0})
    names = {name: name for name in own} | {a: name for a, name in program.aliases.items() if name in own}
    axes = {name: own[canonical] for name, canonical in names.items()}
    return Head(last.weight, last.bias, names, axes, program.state()[last.weight].shape[own[last.weight]])


def with_outputs(source: Source, head: Head, outputs: int) -> Source:
    """The same network with another number of outputs: by its own configuration, or else with larger tensors.

    Args:
        source: Where the network comes from.
        head: Its head.
        outputs: How many outputs the head is to give.
    """
    if outputs == head.outputs:
        return source
    resized = Resized(source.label, source, head, outputs)
    known = source.with_classes(outputs)
    return known if known is not None and _shapes(known) == _shapes(resized) else resized


@dataclass(frozen=True)
class Resized(Source):
    """A network whose head is given another number of outputs after it was built.

    Attributes:
        label: That of the network.
        source: Where the network comes from.
        head: Its head as it is there.
        outputs: How many outputs it gets.
    """

    label: str
    source: Source
    head: Head
    outputs: int

    @override
    def build(self, *, meta: bool = False) -> nn.Module:
        module = disposable(self.source.build(meta=meta))  # the user's code may return the same one every time
        made: dict[int, nn.Parameter] = {}
        for name, axis in self.head.axes.items():
            path, _, leaf = name.rpartition(".")
            owner = module.get_submodule(path)
            old: nn.Parameter = getattr(owner, leaf)
            if old.shape[axis] == self.outputs:
                continue  # one layer under two names
            if id(old) not in made:
                rows = torch.arange(self.outputs, device=old.device) % self.head.outputs
                made[id(old)] = nn.Parameter(old.detach().index_select(axis, rows), requires_grad=old.requires_grad)
            setattr(owner, leaf, made[id(old)])
            for count in _COUNTS:
                if getattr(owner, count, None) == self.head.outputs:
                    setattr(owner, count, self.outputs)
        return module

    @override
    def example_inputs(self, *, batch: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> Inputs:
        return self.source.example_inputs(batch=batch, seed=seed, dtype=dtype)

    @property
    @override
    def normalization(self) -> Normalization | None:
        return self.source.normalization

    @override
    def ignores(self, name: str) -> bool:
        return self.source.ignores(name)

    @override
    def evaluation_refusal(self) -> str | None:
        return self.source.evaluation_refusal()


def _shapes(source: Source) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in source.build(meta=True).state_dict().items()}
