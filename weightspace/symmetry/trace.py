"""Recording the ATen operators that a network runs, on tensors of the meta device.

Parameters live on the meta device, so a 7B network costs nothing. Example inputs are real: mask code that looks at
values sees them, and whatever touches a parameter becomes meta.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from weightspace.errors import TraceError
from weightspace.outputs import result_tensors
from weightspace.structure import disposable
from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.reach import reaching
from weightspace.symmetry.recorder import BeforeDispatch, Recorder
from weightspace.symmetry.refusal import refusal


@dataclass(frozen=True)
class Trace:
    """The operators of one forward pass.

    Attributes:
        calls: Those that reach an output, in the order in which they ran.
        tensors: Parameters and persistent buffers by name, each tied tensor once.
        parameters: Names in ``tensors`` that are parameters.
        aliases: Other names of tied tensors: alias -> name in ``tensors``.
        inputs: The example inputs.
        outputs: The outputs of the network, see `weightspace.outputs.result_tensors`.
        constants: For tensors that no operator made (constants of the code, buffers outside the state dict): along
            which dimensions their values vary.
        looks: Lines of the network's code that ask for values of a floating input, by which it may choose its way.
        values: Small tensors that do not depend on the weights and meet others that do, by key.
        sequence: Names of all operators that ran, also of those that reach no output.
        numbers: For each of ``calls`` its place in ``sequence``.
        kept: What ``keep`` of `trace` named.
    """

    calls: tuple[Call, ...]
    tensors: Mapping[str, TensorRef]
    parameters: frozenset[str]
    aliases: Mapping[str, str]
    inputs: tuple[TensorRef, ...]
    outputs: tuple[TensorRef, ...]
    constants: Mapping[int, tuple[bool, ...]]
    looks: tuple[str, ...] = ()
    values: Mapping[int, Tensor] = field(default_factory=dict)
    sequence: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    kept: Mapping[Any, TensorRef] = field(default_factory=dict)


def trace(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    keep: Callable[[], Mapping[Any, Tensor]] = dict,
) -> Trace:
    """Records one forward pass of a network.

    Args:
        module: In eval mode, on any device; it is not changed.
        args: Example inputs; real tensors on the CPU, or meta.
        kwargs: Further example inputs.
        keep: Asked after the pass for tensors of it to be kept track of.

    Raises:
        TraceError: If the network is in training mode, its control flow depends on its weights, it runs a kernel that
            needs values, it writes an input in place, an output is not the result of a recorded operator, or its own
            code fails.
    """
    if module.training:
        raise TraceError("the network is in training mode, where its function is random; call eval() first")
    kwargs = dict(kwargs or {})
    names = _names(module)
    canonical = {id(tensor): name for name, tensor in reversed(names)}
    meta = {name: tensor.detach().to("meta") for name, tensor in names if canonical[id(tensor)] == name}
    recorder = Recorder()
    tensors = {name: recorder.ref(tensor) for name, tensor in meta.items()}
    inputs = tuple(recorder.ref(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
    recorder.made.update(ref.key for ref in (*tensors.values(), *inputs))
    recorder.inputs.update(ref.storage for ref in inputs)
    recorder.measured.update(ref.storage for ref in inputs if ref.dtype.is_floating_point or ref.dtype.is_complex)
    try:
        # What a forward pass caches on its module would be empty here: a copy takes it.
        passing = disposable(module)
        with torch.no_grad(), without_fast_path(), recorder, BeforeDispatch():
            result = torch.func.functional_call(passing, meta, args, kwargs)
    except TraceError:
        raise
    except (Exception, SystemExit) as error:
        raise TraceError(refusal(error, module, args, kwargs)) from error
    outputs = tuple(recorder.ref(leaf) for leaf in result_tensors(result))
    kept = {name: recorder.ref(tensor) for name, tensor in keep().items()}
    known = recorder.made
    if not outputs or any(ref.key not in known for ref in outputs):
        raise TraceError("an output of the network is not the result of an operator of its forward pass")
    parameters = {id(parameter) for parameter in module.parameters()}
    calls = reaching(recorder.calls, outputs)
    place = {id(call): number for number, call in enumerate(recorder.calls)}
    return Trace(
        calls,
        tensors,
        frozenset(name for name, tensor in names if name in meta and id(tensor) in parameters),
        {name: canonical[id(tensor)] for name, tensor in names if canonical[id(tensor)] != name},
        inputs,
        outputs,
        recorder.constants,
        tuple(recorder.looks),
        recorder.values,
        tuple(str(call.op) for call in recorder.calls),
        tuple(place[id(call)] for call in calls),
        kept,
    )


def _names(module: nn.Module) -> list[tuple[str, Tensor]]:
    """(name, tensor) pairs of the state dict in its order, tied tensors under each of their names."""
    known: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    known.update(module.named_buffers(remove_duplicate=False))
    return [(name, known[name]) for name in module.state_dict() if name in known]


class without_fast_path:  # noqa: N801 - a context manager
    """The fused transformer kernel is one opaque operator: run its parts instead."""

    def __enter__(self) -> None:
        self.enabled = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)

    def __exit__(self, *exception: object) -> None:
        torch.backends.mha.set_fastpath_enabled(self.enabled)
