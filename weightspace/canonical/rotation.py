"""Rotations of a residual stream, fixed by the principal axes of what is written into it.

Tensors that only the rotation changes (embeddings, as a rule) are the columns of a matrix X, which becomes Q X. The
principal axes of X, longest first, become the coordinates; each points where its largest components are positive. Where
the layers subtract means, Q must keep the vector of ones, so that axes and coordinates are those of its complement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.canonical.gather import rows
from weightspace.canonical.signs import sides
from weightspace.symmetry.freedom import Freedom, Freedoms

SMALLEST = 1e-10  # relative length of an axis below which there is none


@dataclass(frozen=True, eq=False)
class Rotation:
    """The rotation of one freedom.

    Attributes:
        value: Of shape (n, n); the identity where the axes are not determined.
        loose: Of shape (n,): which axes are as long as another, lean to no side, or are not there.
        gap: The smallest distance of two squared lengths, relative to the largest: rounding errors grow by its inverse.
    """

    value: Tensor
    loose: Tensor
    gap: float


def turned(freedoms: Freedoms, freedom: Freedom, tensors: Mapping[str, Tensor], *, tolerance: float) -> Rotation:
    """The rotation that makes principal axes the coordinates.

    Args:
        freedoms: The freedoms.
        freedom: One of the kind ``rotation``.
        tensors: Weights in float64. What folding changes is not looked at.
        tolerance: Axes whose squared lengths differ by less of the largest count as equally long.
    """
    n = freedoms.shape(freedom)[-1]
    columns = [torch.zeros(n, 0, dtype=torch.float64)]
    folded = {name for fold in freedom.folds for name in fold.touched}
    for place in freedom.places:
        if place.tensor in folded:
            continue
        others = [other for other, _ in freedoms.by_tensor[place.tensor] if other.name != freedom.name]
        if all(other.kind == "sign" and other.group == freedom.group for other in others):
            columns.append(rows(freedoms.blocks[place.tensor][place.block].read(tensors[place.tensor]), (place.dim,)))
    basis = _complement(n) if freedom.centred else torch.eye(n, dtype=torch.float64)
    written = basis.T @ torch.cat(columns, 1)
    lengths, axes = torch.linalg.eigh(written @ written.T)
    lengths, axes = lengths.flip(-1), axes.flip(-1)
    if len(lengths) == 0 or bool(lengths[-1] <= SMALLEST**2 * lengths[0]):
        return Rotation(torch.eye(n, dtype=torch.float64), torch.ones(n, dtype=torch.bool), 1.0)
    leans = sides(axes.T @ written, tolerance)
    signed = torch.where(leans == 0, 1.0, leans).unsqueeze(-1) * axes.T
    gaps = (lengths[:-1] - lengths[1:]) / lengths[0]
    close = gaps <= tolerance
    loose = leans == 0
    loose[:-1] |= close
    loose[1:] |= close
    value = basis @ signed @ basis.T
    if freedom.centred:
        value = value + torch.full((n, n), 1.0 / n, dtype=torch.float64)
        loose = torch.cat([loose, loose.new_zeros(1)])
    return Rotation(value, loose, float(gaps[~close].min()) if bool((~close).any()) else 1.0)


def _complement(n: int) -> Tensor:
    """An orthonormal basis of the vectors whose sum is 0: shape (n, n - 1) (Helmert 1876)."""
    basis = torch.zeros(n, n - 1, dtype=torch.float64)
    for k in range(1, n):
        basis[:k, k - 1] = 1.0
        basis[k, k - 1] = -k
    return basis / basis.norm(dim=0)
