"""Networks with different classes as networks with the classes of all, so that every method can merge them.

Each network is given the outputs of all others beside its own. In its head their rows are zero and its own are larger,
so that the mean of the heads holds every head as it was, and the mean of the outputs is the outputs of all networks
side by side. What differs between the networks is then nothing but numbers, and the layers before the heads are aligned
and merged to the last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from weightspace.checkpoint import Checkpoint
from weightspace.checkpoint.changed import changed
from weightspace.errors import CheckpointMismatchError, SourceError
from weightspace.source import Program, Source
from weightspace.source.head import Head, head_of, with_outputs
from weightspace.symmetry.verify import relative_error
from weightspace.views import TensorView

State = Mapping[str, Tensor]
_LARGEST_ERROR = 1e-9  # both networks compute the same in float64
_ADVICE = "give networks that differ in their heads alone"


@dataclass(frozen=True)
class JointHeads:
    """The network that has the outputs of several others, one block after the other.

    Attributes:
        source: Where it comes from.
        head: The head of the networks.
        outputs: Which outputs are those of which network.
        shares: The share of every network in the mean that is to hold all heads as they are.
    """

    source: Source
    head: Head
    outputs: tuple[range, ...]
    shares: tuple[float, ...]

    def place(self, network: int, name: str, tensor: Tensor) -> Tensor:
        """A tensor of one of the networks as it is in the joint one.

        Args:
            network: Which of the networks.
            name: Name of the tensor.
            tensor: Its values there.

        Returns:
            Of the head its rows over the share of the network, and zeros for all others; else the tensor itself.
        """
        axis = self.head.axes.get(name)
        if axis is None:
            return tensor
        shape = [*tensor.shape]
        shape[axis] = self.outputs[-1].stop
        block = self.outputs[network]
        whole = tensor.new_zeros(shape)
        whole.narrow(axis, block.start, len(block)).copy_(tensor / self.shares[network])
        return whole

    def state(self, network: int, model: State) -> TensorView:
        """All tensors of a network as they are in the joint one, changed as they are read."""
        return TensorView(model, change=partial(self.place, network))

    def checkpoint(self, network: int, checkpoint: Checkpoint) -> Checkpoint:
        """The same of an opened file."""
        shapes = {}
        for name, axis in self.head.axes.items():
            if name in checkpoint:
                shape = checkpoint.info(name).shape
                shapes[name] = (*shape[:axis], self.outputs[-1].stop, *shape[axis + 1 :])
        return changed(checkpoint, partial(self.place, network), shapes)

    def recipe(self) -> dict[str, Any]:
        """Which outputs are whose, as JSON values: the first one and the one after the last."""
        blocks = [[block.start, block.stop] for block in self.outputs]
        return {"weight": self.head.weight, "bias": self.head.bias, "outputs": blocks}


def join_heads(source: Source, models: Sequence[State], shares: Sequence[float] | None = None) -> JointHeads:
    """Finds the head of some networks, and tries that a network with all their outputs gives all their outputs.

    It is run on example inputs, with the weights of each network, in float64 and with one tensor in memory at a time.

    Args:
        source: Where the networks come from, whatever number of outputs it says.
        models: Their weights, which differ in shape at most in the number of outputs.
        shares: The share of each in the mean, positive and 1 together; equal by default.

    Raises:
        SourceError: The last layer does not give the outputs (softmax inside of the network, several heads), shares its
            tensors with other parts of the network, or the network does not take more outputs.
        CheckpointMismatchError: The networks differ elsewhere.
        TraceError: The forward pass cannot be recorded.
    """
    head = head_of(source)
    counts = [_count(head, model) for model in models]
    ends = list(accumulate(counts))
    outputs = tuple(range(end - count, end) for end, count in zip(ends, counts, strict=True))
    equal = (1 / len(models),) * len(models)
    joint = JointHeads(with_outputs(source, head, ends[-1]), head, outputs, equal if shares is None else tuple(shares))
    own = [Program.from_source(with_outputs(source, head, count), meta=True) for count in counts]
    for program, model in zip(own, models, strict=True):
        program.check_state(model, advice=_ADVICE)
    _check_blocks(joint, own, models)
    return joint


def _count(head: Head, model: State) -> int:
    """Number of outputs of a network."""
    for name, axis in head.axes.items():
        if name in model:
            shape = model.info(name).shape if isinstance(model, Checkpoint) else model[name].shape
            if len(shape) > axis:
                return shape[axis]
    where = f"{model.path}: " if isinstance(model, Checkpoint) else ""
    raise CheckpointMismatchError(f"{where}{head.weight}: expected the weight of a head, found none; {_ADVICE}")


def _check_blocks(joint: JointHeads, own: Sequence[Program], models: Sequence[State]) -> None:
    """Each network alone must give its own outputs over its share, and the first with all heads those of all heads."""
    program = Program.from_source(joint.source, meta=True)
    for network, model in enumerate(models):
        expected = _output(joint, own[network], model) / joint.shares[network]
        blocks = [expected if at == network else None for at in range(len(models))]
        placed = {name: joint.place(network, name, tensor) for name, tensor in _head(joint, model).items()}
        _check(joint, _output(joint, program, _over(model, placed)), blocks)
    heads = [_head(joint, model) for model in models]
    together = {}
    for name in heads[0]:
        placed = [joint.shares[at] * joint.place(at, name, head[name]) for at, head in enumerate(heads)]
        together[name] = torch.stack(placed).sum(0)
    expected = [_output(joint, each, _over(models[0], head)) for each, head in zip(own, heads, strict=True)]
    _check(joint, _output(joint, program, _over(models[0], together)), expected)


def _head(joint: JointHeads, model: State) -> dict[str, Tensor]:
    """Its tensors under all their names, in float64: shares need not be powers of two."""
    names = joint.head.names
    held = {canonical: model[name].double() for name, canonical in names.items() if name in model}
    return {name: held[canonical] for name, canonical in names.items()}


def _over(model: State, others: State) -> TensorView:
    """A network with some other tensors."""
    return TensorView(model, change=lambda name, tensor: others.get(name, tensor))


def _output(joint: JointHeads, program: Program, state: State) -> Tensor:
    try:
        found = program.outputs(program.streamed(state))
    except SourceError as error:
        raise _refusal(joint, f"one that does not take another number of outputs ({error})") from error
    if len(found) != 1:
        raise _refusal(joint, f"{len(found)} outputs")
    return found[0]


def _check(joint: JointHeads, found: Tensor, blocks: Sequence[Tensor | None]) -> None:
    """Whether an output is some blocks side by side, zeros in place of None."""
    total, shape = joint.outputs[-1].stop, next(block for block in blocks if block is not None).shape
    along = [at for at, (one, other) in enumerate(zip(found.shape, shape, strict=False)) if one != other]
    if found.dim() != len(shape) or len(along) != 1 or found.shape[along[0]] != total:
        raise _refusal(joint, f"outputs of shape {tuple(found.shape)} where its head gives {total}")
    expected = torch.zeros_like(found)
    for outputs, block in zip(joint.outputs, blocks, strict=True):
        if block is not None:
            if block.shape[along[0]] != len(outputs):
                raise _refusal(joint, f"outputs of shape {tuple(block.shape)} where its head gives {len(outputs)}")
            expected.narrow(along[0], outputs.start, len(outputs)).copy_(block)
    error = relative_error([found], [expected])
    if not error <= _LARGEST_ERROR:
        raise _refusal(joint, f"outputs that are off by {error:.1e} when others stand beside them")


def _refusal(joint: JointHeads, found: str) -> SourceError:
    return SourceError(
        f"{joint.source.label}: expected a network whose outputs are what its head {joint.head.weight} gives, found "
        f"{found}; let it return logits (no softmax)"
    )
