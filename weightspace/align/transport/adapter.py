"""A low-rank adapter (LoRA, Hu et al. 2022) of one base, carried over to another.

The change of a weight is B A, with A of shape (rank, inputs) and B of shape (outputs, rank). A group element that acts
on the axes of the weight acts on the inputs of A and the outputs of B: the rank is untouched, and the result is an
adapter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from weightspace.align.alignment import Alignment
from weightspace.align.transport.permuting import check_permuting
from weightspace.align.transport.whole import moved_whole
from weightspace.errors import CheckpointMismatchError
from weightspace.symmetry import Element, Spec
from weightspace.symmetry.action import axis_moves

# Names as PEFT writes them: base_model.model.MODULE.lora_A.weight, with the name of the adapter in some files.
_NAME = re.compile(
    r"^(?:base_model\.model\.)?(?P<module>.+)\."
    r"(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)(?:\.(?!weight$)\w+)?(?P<weight>\.weight)?$"
)


@dataclass(frozen=True)
class _Weight:
    """A weight of the base that an adapter changes: how the element moves its outputs and inputs."""

    name: str
    shape: tuple[int, ...]
    outputs: Tensor | None
    inputs: Tensor | None


def transport_adapter(
    adapter: Mapping[str, Tensor], alignment: Alignment, *, fan_in_fan_out: bool = False
) -> dict[str, Tensor]:
    """Carries an adapter over to another base.

    Args:
        adapter: Tensors as PEFT stores them: `lora_A`, `lora_B`, `lora_embedding_A` and `_B`, DoRA's magnitudes, and
            whole modules that were saved beside (`modules_to_save`), whose names must be known to the spec.
        alignment: Of A, the adapter's base, to B: `align(b, a, spec)`.
        fan_in_fan_out: Whether the weights of the base have their inputs first, as in GPT-2's Conv1D.

    Returns:
        The adapter for B, under the same names and in the same types.

    Raises:
        AlignmentError: If the alignment does more than permute.
        CheckpointMismatchError: If a tensor belongs to no weight of the spec, does not fit it, or cannot be carried
            over since its weight is not moved axis by axis.
    """
    check_permuting(alignment)
    spec, element = alignment.spec, alignment.element
    moved = {}
    for name, tensor in adapter.items():
        match = _NAME.match(name)
        if match is None:
            moved[name] = _whole(spec, element, name, tensor)
        else:
            weight = _weight_of(spec, element, name, match["module"], swapped=fan_in_fan_out)
            moved[name] = _part(weight, match["part"], name, tensor)
    return moved


def _part(weight: _Weight, part: str, name: str, tensor: Tensor) -> Tensor:
    """One tensor of an adapter under the element."""
    # An embedding's weight is (tokens, features) and its change (B A)^T: A is (rank, tokens) and B (features, rank).
    second = part in ("lora_A", "lora_embedding_B")
    move, size = (weight.inputs, weight.shape[1]) if second else (weight.outputs, weight.shape[0])
    axis = 1 if part.endswith("A") else 0
    if tensor.dim() <= axis or tensor.shape[axis] != size:
        raise CheckpointMismatchError(
            f"tensor '{name}' of the adapter: expected size {size} along axis {axis}, as '{weight.name}' of the base "
            f"has, found shape {tuple(tensor.shape)}; give the base that it was trained on"
        )
    return tensor if move is None else tensor.index_select(axis, move.to(tensor.device))


def _weight_of(spec: Spec, element: Element, name: str, module: str, *, swapped: bool) -> _Weight:
    found = _named(spec, f"{module}.weight")
    if found is None:
        raise CheckpointMismatchError(
            f"tensor '{name}' of the adapter: expected a weight '{module}.weight' in the base, found none; give the "
            "base that it was trained on"
        )
    moves = axis_moves(spec.blocks[found], element)
    shape = spec.tensors[found].shape
    if moves is None or len(shape) < 2:
        raise CheckpointMismatchError(
            f"tensor '{name}' of the adapter: '{found}' of the base is not moved axis by axis, so its change has no "
            "low rank in the other coordinates; carry over the merged weights instead"
        )
    rows, columns = (1, 0) if swapped else (0, 1)
    return _Weight(found, (shape[rows], shape[columns]), moves[rows], moves[columns])


def _whole(spec: Spec, element: Element, name: str, tensor: Tensor) -> Tensor:
    """A module that was saved whole beside the adapter; sizes may differ along axes that stay in place."""
    plain = re.sub(r"^base_model\.model\.", "", name).replace(".modules_to_save.default", "")
    found = _named(spec, plain)
    if found is None:
        raise CheckpointMismatchError(
            f"tensor '{name}' of the adapter: expected it to be part of the base, found no '{plain}' there; pass an "
            "--arch that has it"
        )
    return moved_whole(spec, element, found, tensor, f"tensor '{name}' of the adapter")


def _named(spec: Spec, name: str) -> str | None:
    """The tensor of a name, up to the prefix of a head's backbone that one of both may lack."""
    known = {**{n: n for n in spec.tensors}, **spec.aliases}
    if name in known:
        return known[name]
    near = {known[n] for n in known if n.endswith(f".{name}") or name.endswith(f".{n}")}
    return near.pop() if len(near) == 1 else None
