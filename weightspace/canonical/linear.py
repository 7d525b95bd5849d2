"""Invertible maps between two matrices, fixed by the singular values of their product.

Between queries and keys of a head (or values and outputs) any invertible matrix M may stand: A becomes M A and B
becomes M^-T B, and A^T B stays. Its thin singular value decomposition U S V^T gives the matrices A = S^1/2 U^T and
B = S^1/2 V^T, the smallest of all, which are unique but for a sign per singular value where these are distinct.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.canonical.gather import rows
from weightspace.symmetry.freedom import Freedom, Freedoms

SMALLEST = 1e-10  # a product whose singular values fall below this, relatively, has no such form


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps of one freedom.

    Attributes:
        value: Of shape (outer..., n, n); the identity where the product is singular.
        loose: Of shape (outer..., n): units whose singular value is zero, or too close to another to be told from it.
        gap: The smallest distance of two singular values, relative to the largest: rounding errors grow by its inverse.
    """

    value: Tensor
    loose: Tensor
    gap: float


def untwisted(freedoms: Freedoms, freedom: Freedom, tensors: Mapping[str, Tensor], *, tolerance: float) -> Maps:
    """The maps under which both matrices of a product are as small as they can be.

    Args:
        freedoms: The freedoms.
        freedom: One of the kind ``linear``.
        tensors: Weights in float64.
        tolerance: Singular values that differ by less of the largest one count as equal.
    """
    sides: dict[int, list[Tensor]] = {1: [], -1: []}
    for place in freedom.places:
        block = freedoms.blocks[place.tensor][place.block]
        dims = (*block.dims[place.dim].outer, place.dim)
        sides[place.exponent].append(rows(block.read(tensors[place.tensor]), dims))
    first, second = (torch.linalg.qr(torch.cat(side, -1).mT, mode="r").R for side in sides.values())
    _, stretch, right = torch.linalg.svd(first @ second.mT, full_matrices=False)
    n = freedoms.shape(freedom)[-1]
    identity = torch.eye(n, dtype=torch.float64).expand(freedoms.shape(freedom))
    if stretch.shape[-1] < n:
        return Maps(identity, torch.ones(identity.shape[:-1], dtype=torch.bool), 1.0)
    singular = stretch[..., -1:] <= SMALLEST * stretch[..., :1]
    value = stretch.clamp_min(torch.finfo(torch.float64).tiny).rsqrt().unsqueeze(-1) * (right @ second)
    value = torch.where(singular.unsqueeze(-1), identity, value)
    gaps = (stretch[..., :-1] - stretch[..., 1:]) / stretch[..., :1].clamp_min(torch.finfo(torch.float64).tiny)
    close = gaps <= tolerance
    none = torch.zeros_like(singular)
    loose = singular | torch.cat([close, none], -1) | torch.cat([none, close], -1)
    return Maps(value, loose, float(gaps[~close].min()) if bool((~close).any()) else 1.0)
