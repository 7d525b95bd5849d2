"""How far two tensors are from each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TensorDifference:
    """One tensor of two networks.

    Attributes:
        name: Its name.
        shape: Its shape.
        equal: Whether all numbers are the same; of two types, once both are of the narrower one.
        norm: |A|, the Frobenius norm.
        task_vector: |B - A|.
        cosine: Of A and B as they are; None where one of them is zero.
        task_vector_aligned: |B - A| with B aligned; None without an alignment.
        cosine_aligned: The cosine then.
    """

    name: str
    shape: tuple[int, ...]
    equal: bool
    norm: float
    task_vector: float
    cosine: float | None
    task_vector_aligned: float | None = None
    cosine_aligned: float | None = None

    @property
    def distance(self) -> float | None:
        """|B - A| / |A|; None where A is zero."""
        return self.task_vector / self.norm if self.norm else None

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {**asdict(self), "shape": list(self.shape), "distance": self.distance}


def difference(name: str, a: Tensor, b: Tensor, aligned: Tensor | None = None) -> TensorDifference:
    """Compares a tensor of A with that of B, and with that of B aligned, in float64."""
    x, y = _wide(a), _wide(b)
    moved = None if aligned is None else _wide(aligned)
    return TensorDifference(
        name, tuple(a.shape), same(a, b), float(x.norm()), float((y - x).norm()), cosine_of(x, y),
        None if moved is None else float((moved - x).norm()), None if moved is None else cosine_of(x, moved),
    )  # fmt: skip


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one shape hold the same numbers, once both are of the narrower of their types."""
    narrow = min(a.dtype, b.dtype, key=_width)
    return bool(torch.equal(a.to(narrow), b.to(narrow)))


def coarsest(*states: Mapping[str, Tensor]) -> float:
    """The relative distance of neighbouring numbers in the coarsest floating type of all tensors."""
    return max(
        (torch.finfo(t.dtype).eps for state in states for t in state.values() if t.is_floating_point()), default=0.0
    )


def widened(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights, floating ones in float64."""
    return {name: t.detach().double() if t.is_floating_point() else t.detach() for name, t in state.items()}


def _width(dtype: torch.dtype) -> tuple[bool, float]:
    return dtype.is_floating_point, -torch.finfo(dtype).eps if dtype.is_floating_point else dtype.itemsize


def cosine_of(a: Tensor, b: Tensor) -> float | None:
    """The cosine of two tensors, in float64; None where one of them is zero."""
    x, y = _wide(a), _wide(b)
    size = float(x.norm()) * float(y.norm())
    return float(torch.vdot(x.flatten(), y.flatten()).real) / size if size else None


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.complex128 if tensor.is_complex() else torch.float64)
