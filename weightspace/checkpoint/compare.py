"""Checks on the tensors of checkpoints before anything is done with them."""

from collections.abc import Mapping

import torch

from weightspace.checkpoint.checkpoint import Checkpoint
from weightspace.errors import CheckpointMismatchError


def check_finite(checkpoint: Mapping[str, torch.Tensor]) -> None:
    """Refuse weights with NaN or infinite numbers. Tensors are read one at a time.

    Raises:
        CheckpointMismatchError: Naming the first such tensor, the first such number, and how many there are.
    """
    for name, tensor in checkpoint.items():
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        numbers = tensor.float() if tensor.element_size() == 1 else tensor  # isfinite knows no 8-bit types
        bad = (~torch.isfinite(numbers)).nonzero()
        if len(bad) == 0:
            continue
        first = tuple(bad[0].tolist())
        raise CheckpointMismatchError(
            f"{_label(checkpoint)}: tensor {name!r}: expected finite numbers, found {numbers[first].item()} at index "
            f"{first} ({len(bad)} of {tensor.numel()} are not finite); use a checkpoint from before training diverged"
        )


def check_compatible(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> None:
    """Refuse two sets of weights that are not of one architecture: the same names, with the same shapes.

    Types may differ (a half-precision copy fits its original). Of a `Checkpoint` only the header is used.

    Raises:
        CheckpointMismatchError: Naming the first tensor that differs and both sides.
    """
    where_a, where_b = _label(a, "the first"), _label(b, "the second")
    if not any(name in b for name in a):
        raise CheckpointMismatchError(
            f"{where_b}: expected the architecture of {where_a}, found no tensor name in common (for example "
            f"{next(iter(a), None)!r} there, {next(iter(b), None)!r} here); give two checkpoints of one architecture"
        )
    for here, there, where, other in ((b, a, where_b, where_a), (a, b, where_a, where_b)):
        missing = [name for name in there if name not in here]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise CheckpointMismatchError(
                f"{where}: expected tensor {missing[0]!r}{more} of shape {_shape(there, missing[0])} as in {other}, "
                "found no such tensor; give two checkpoints of one architecture"
            )
    different = [name for name in a if _shape(a, name) != _shape(b, name)]
    if different:
        name = different[0]
        classes = _classes(a, b, different)
        if classes is not None:
            raise CheckpointMismatchError(
                f"{where_b}: tensor {name!r}: expected the same classes as in {where_a}, found {classes[0]} there and "
                f"{classes[1]} here; pass --heads both to wsp merge to keep both heads"
            )
        more = f" (and {len(different) - 1} more)" if len(different) > 1 else ""
        raise CheckpointMismatchError(
            f"{where_b}: tensor {name!r}: expected shape {_shape(a, name)} as in {where_a}, found {_shape(b, name)}"
            f"{more}; give two checkpoints of one architecture"
        )


def _classes(
    a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor], different: list[str]
) -> tuple[int, int] | None:
    """Two numbers of outputs, where the weight and bias of one layer differ in these and nothing else differs.

    Such a layer is a head: whatever else read what it gives would differ too.
    """
    layer = different[0].rpartition(".")[0]
    if {name for name in a if name.rpartition(".")[0] == layer} != set(different):
        return None
    shapes = [(_shape(a, name), _shape(b, name)) for name in different]
    changes = {pair for one, other in shapes for pair in zip(one, other, strict=False) if pair[0] != pair[1]}
    biased = any(len(one) == len(other) == 1 for one, other in shapes)
    weights = [(one, other) for one, other in shapes if len(one) == len(other) > 1]
    if len(changes) != 1 or len(weights) != 1 or len(different) != 1 + biased:
        return None
    (one, other), (change,) = weights[0], changes
    others = sum(first != second for first, second in zip(one, other, strict=True))
    return change if others == 1 and (biased or one[0] != other[0]) else None


def _shape(tensors: Mapping[str, torch.Tensor], name: str) -> tuple[int, ...]:
    return tensors.info(name).shape if isinstance(tensors, Checkpoint) else tuple(tensors[name].shape)


def _label(tensors: Mapping[str, torch.Tensor], otherwise: str = "weights") -> str:
    return str(tensors.path) if isinstance(tensors, Checkpoint) else otherwise
