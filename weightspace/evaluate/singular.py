"""What the singular values of a layer say about two networks."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

LARGE = 0.3  # of the largest: the singular values that count, as in Ito et al. 2024
MOST_ENTRIES = 1 << 22  # of a matrix that is decomposed: a larger one takes minutes


@dataclass(frozen=True, slots=True)
class SingularDifference:
    """The singular values and vectors of one matrix in two networks.

    Attributes:
        name: The tensor.
        spectra: Distance of the singular values of A and B in order, relative to those of A. No permutation changes it.
        spectra_aligned: The same for B aligned; scales do change it.
        alignment: R, how far the large singular vectors of A and B as they are point the same way, from -1 to 1.
        alignment_aligned: R once B is aligned.
        kept: How many singular values of A are large.
    """

    name: str
    spectra: float
    spectra_aligned: float
    alignment: float
    alignment_aligned: float
    kept: int

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return asdict(self)


def singular_difference(name: str, a: Tensor, b: Tensor, aligned: Tensor) -> SingularDifference | None:
    """Compares singular values and vectors (Ito, Yamada and Kumagai 2024).

    R = sum_ij s_i s'_j (u_i . u'_j)(v_i . v'_j) / sum_i s_i s'_i over singular values above `LARGE` of the largest: the
    inner product of what is left of both matrices, over the most that it could be.

    Args:
        name: The tensor.
        a: Of A, shape (out, in...); all axes but the first count as one.
        b: Of B as it is.
        aligned: Of B in the coordinates of A.

    Returns:
        None for what is no matrix, zero, or too large to be decomposed.
    """
    if a.dim() < 2 or min(a.shape[0], a[0].numel()) < 2 or a.numel() > MOST_ENTRIES:
        return None
    first, second, third = (_decomposed(each) for each in (a, b, aligned))
    if not all(float(each[1][0]) for each in (first, second, third)):
        return None
    return SingularDifference(
        name, _apart(first[1], second[1]), _apart(first[1], third[1]), _together(first, second),
        _together(first, third), len(_large(first)[1]),
    )  # fmt: skip


_Decomposed = tuple[Tensor, Tensor, Tensor]


def _decomposed(matrix: Tensor) -> _Decomposed:
    left, values, right = torch.linalg.svd(matrix.double().flatten(1), full_matrices=False)
    return left, values, right.mT


def _large(parts: _Decomposed) -> _Decomposed:
    left, values, right = parts
    keep = int((values >= LARGE * values[0]).sum())
    return left[:, :keep], values[:keep], right[:, :keep]


def _apart(first: Tensor, second: Tensor) -> float:
    return float((first - second).norm() / first.norm())


def _together(first: _Decomposed, second: _Decomposed) -> float:
    (u, s, v), (w, t, x) = _large(first), _large(second)
    most = float((s[: len(t)] * t[: len(s)]).sum())
    return float((s.unsqueeze(1) * t * (u.mT @ w) * (v.mT @ x)).sum()) / most
