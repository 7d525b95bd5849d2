"""The value of one freedom that brings B nearest to A, with all others held."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from weightspace.align.freedoms.gram import Gram

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


def matching_factor(found: Sequence[Gram], smallest: Tensor | None = None) -> Tensor:
    """The positive factors under which units of B are as large as those of A, at all their places taken together.

    Factors that bring B *nearest* would shrink what resembles A little: where a norm undoes a factor, B would vanish
    from the middle of the two without becoming any more like A.

    Args:
        found: Shapes (outer..., n).
        smallest: Factors below which something else breaks, of that shape.

    Returns:
        Of shape (outer..., n), float64: the least squares solution of log |A| = exponent * log s + log |B|.
    """
    wanted, weight = torch.zeros_like(found[0].own), torch.zeros_like(found[0].own)
    for gram in found:
        assert gram.reference is not None
        both = (gram.own > 0) & (gram.reference > 0)
        ratio = torch.where(both, gram.reference / gram.own.where(both, torch.ones_like(gram.own)), 1.0)
        size = torch.where(both, (gram.own * gram.reference).sqrt(), 0.0)
        wanted += gram.exponent * size * ratio.log() / 2
        weight += gram.exponent**2 * size
    logarithm = torch.where(weight > 0, wanted / weight.where(weight > 0, torch.ones_like(weight)), 0.0)
    if smallest is not None:
        logarithm = torch.maximum(logarithm, smallest.log())
    return logarithm.exp()


def nearest_turn(found: Sequence[Gram]) -> Tensor:
    """The complex numbers z under which z B (and B / conj z where it acts so) points as A does and is as large.

    Args:
        found: ``own`` and ``reference`` real, ``cross`` complex, of shape (heads, frequencies).

    Returns:
        Of that shape, complex128.
    """
    size = matching_factor(found)
    return torch.polar(size, sum_of([gram.cross * size**gram.exponent for gram in found]).angle())


def sum_of(tensors: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


def _polar(matrices: Tensor) -> Tensor:
    left, _, right = torch.linalg.svd(matrices)
    return left @ right
