"""The value of one freedom that brings B nearest to A, with all others held."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from weightspace.align.freedoms.gram import Gram

_STEPS = 50  # of Newton's method on logarithms of factors
_FURTHEST = 3.0  # a factor beyond exp(3) says that the unit is as good as dead on one side
_REFINEMENTS = 30  # steps of L-BFGS from the orthogonal map


def nearest_rotation(found: Sequence[Gram], *, centred: bool) -> Tensor:
    """The orthogonal matrices nearest in the sense of Procrustes (Schoenemann 1966), by singular values.

    Args:
        found: Of a freedom by matrices; exponents do not matter to orthogonal ones.
        centred: Keep the vector of ones.

    Returns:
        Of shape (outer..., n, n), float64.
    """
    cross = sum_of([gram.cross for gram in found])
    if not centred:
        return _polar(cross)
    n = cross.shape[-1]
    ones = torch.full((n, n), 1.0 / n, dtype=cross.dtype, device=cross.device)
    inside = torch.eye(n, dtype=cross.dtype, device=cross.device) - ones
    # Off the vector of ones the polar factor of the projected products, on it the identity.
    return _polar(inside @ cross @ inside + cross.norm() * ones)


def nearest_map(found: Sequence[Gram]) -> Tensor:
    """The invertible matrices M under which M B (and M^-T B where M acts so) comes nearest to A.

    From the nearest orthogonal ones by L-BFGS: towards a singular matrix the distance grows without bound.

    Args:
        found: Exponents 1 and -1, shapes (outer..., n, n).

    Returns:
        Of shape (outer..., n, n), float64.
    """
    value = nearest_rotation(found, centred=False).requires_grad_()
    optimiser = torch.optim.LBFGS([value], max_iter=_REFINEMENTS, line_search_fn="strong_wolfe")
    scale = float(sum_of([gram.own.diagonal(dim1=-2, dim2=-1).sum() for gram in found])) or 1.0

    def closure() -> Tensor:
        optimiser.zero_grad()
        inverse = torch.linalg.inv(value).mT
        total = value.new_zeros(())
        for gram in found:
            matrix = value if gram.exponent > 0 else inverse
            total = total + ((matrix @ gram.own - 2.0 * gram.cross) * matrix).sum()
        (total / scale).backward()
        return total / scale

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[arg-type]
    return value.detach()


def nearest_factor(found: Sequence[Gram], smallest: Tensor | None = None) -> Tensor:
    """The positive factors s under which s^exponent B comes nearest to A, for every unit on its own.

    Args:
        found: Shapes (outer..., n); ``cross`` real.
        smallest: Factors below which something else breaks, of that shape.

    Returns:
        Of shape (outer..., n), float64.
    """
    logarithm = torch.zeros_like(found[0].own)
    lowest = torch.full_like(logarithm, -_FURTHEST)
    if smallest is not None:
        lowest = torch.maximum(lowest, smallest.log())
    best, least = logarithm, _distance(found, logarithm)
    for _ in range(_STEPS):
        slope, curvature = torch.zeros_like(logarithm), torch.zeros_like(logarithm)
        for gram in found:
            e = gram.exponent
            square, linear = gram.own * (2 * e * logarithm).exp(), gram.cross * (e * logarithm).exp()
            slope += 2 * e * (square - linear)
            curvature += 2 * e * e * (2 * square - linear)
        step = slope / curvature.abs().clamp(min=torch.finfo(slope.dtype).tiny)
        logarithm = torch.minimum((logarithm - step.clamp(-0.5, 0.5)).clamp(max=_FURTHEST), logarithm + 0.5)
        logarithm = torch.maximum(logarithm, lowest)
        distance = _distance(found, logarithm)
        best = torch.where(distance < least, logarithm, best)
        least = torch.minimum(distance, least)
    return best.exp()


def nearest_turn(found: Sequence[Gram]) -> Tensor:
    """The complex numbers z under which z B (and B / conj z where it acts so) comes nearest to A.

    Args:
        found: ``own`` real and ``cross`` complex, of shape (heads, frequencies).

    Returns:
        Of that shape, complex128.
    """
    angle = sum_of([gram.cross for gram in found]).angle()
    for _ in range(10):
        turned = [Gram(g.exponent, g.own, (g.cross * torch.polar(torch.ones_like(angle), -angle)).real) for g in found]
        size = nearest_factor(turned)
        angle = sum_of([gram.cross * size**gram.exponent for gram in found]).angle()
    return torch.polar(size, angle)


def sum_of(tensors: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


def _polar(matrices: Tensor) -> Tensor:
    left, _, right = torch.linalg.svd(matrices)
    return left @ right


def _distance(found: Sequence[Gram], logarithm: Tensor) -> Tensor:
    """Up to a constant."""
    total = torch.zeros_like(logarithm)
    for gram in found:
        factor = (gram.exponent * logarithm).exp()
        total += factor * (factor * gram.own - 2 * gram.cross)
    return total
