"""Values of freedoms: factors, signs and matrices, at random and as they act on the blocks of a tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.symmetry.block import Block
from weightspace.symmetry.freedom.freedom import Fold, Freedom, Freedoms, Place

SPREAD = math.log(2.0)  # random factors and singular values lie between 1/2 and 2
SMALLEST_SCALE = 1e-6  # of the median size of a scale: what is smaller is nothing to divide by


def random_value(freedoms: Freedoms, freedom: Freedom, generator: torch.Generator) -> Tensor:
    """A random value of a freedom, in float64, of shape ``freedoms.shape(freedom)``.

    Factors are log-uniform between 1/2 and 2, rotations uniform (Haar), invertible maps have log-uniform singular
    values between 1/2 and 2. Rotary freedoms take complex128.
    """
    shape = freedoms.shape(freedom)
    if freedom.kind == "rotary":
        return random_turns(shape, generator)
    if freedom.kind == "scale":
        return torch.exp(SPREAD * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1))
    if freedom.kind == "sign":
        return 2.0 * torch.randint(0, 2, shape, generator=generator).double() - 1
    if freedom.kind == "rotation":
        return _rotation(shape, generator, centred=freedom.centred)
    stretch = torch.exp(SPREAD * (2 * torch.rand(shape[:-1], generator=generator, dtype=torch.float64) - 1))
    left, right = (_rotation(shape, generator, centred=False) for _ in range(2))
    return left * stretch.unsqueeze(-2) @ right


def random_turns(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Complex numbers with sizes log-uniform between 1/2 and 2 and uniform angles, complex128."""
    size = torch.exp(SPREAD * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1))
    return torch.polar(size, 2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64))


def turned(tensor: Tensor, axis: int, positions: Tensor, value: Tensor) -> Tensor:
    """A tensor whose pairs of positions on an axis are multiplied by complex numbers.

    Args:
        tensor: Real, floating.
        axis: The axis.
        positions: Of shape (heads, copies, frequencies, 2).
        value: Complex, of shape (heads, frequencies), or (frequencies,) for a single head.
    """
    moved = tensor.movedim(axis, 0).clone()
    factor = value.to(torch.complex128 if tensor.dtype == torch.float64 else torch.complex64)
    factor = factor.reshape(positions.shape[0], 1, -1).expand(positions.shape[:-1])
    factor = factor.reshape(-1, *[1] * (tensor.dim() - 1)).to(tensor.device)
    real, imaginary = (positions[..., part].reshape(-1).to(tensor.device) for part in range(2))
    result = torch.complex(moved[real], moved[imaginary]) * factor
    moved[real], moved[imaginary] = result.real, result.imag
    return moved.movedim(0, axis)


def _rotation(shape: tuple[int, ...], generator: torch.Generator, *, centred: bool) -> Tensor:
    """Orthogonal matrices; centred ones keep the vector of ones."""
    n = shape[-1]
    if not centred:
        q, r = torch.linalg.qr(torch.randn(shape, generator=generator, dtype=torch.float64))
        return q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    basis, _ = torch.linalg.qr(
        torch.cat([torch.ones(n, 1, dtype=torch.float64), torch.eye(n, dtype=torch.float64)[:, 1:]], dim=1)
    )
    inside = torch.zeros(shape, dtype=torch.float64)
    inside[..., 0, 0] = 1.0
    if n > 1:
        inside[..., 1:, 1:] = _rotation((*shape[:-2], n - 1, n - 1), generator, centred=False)
    return basis @ inside @ basis.T


def inverse_value(freedom: Freedom, value: Tensor) -> Tensor:
    """The value that undoes another."""
    return torch.linalg.inv(value) if freedom.matrix else 1.0 / value


def product(freedom: Freedom, first: Tensor, second: Tensor) -> Tensor:
    """The value that acts as ``first`` and then as ``second``."""
    return second @ first if freedom.matrix else second * first


def change_block(freedom: Freedom, value: Tensor, place: Place, block: Block, entries: Tensor) -> Tensor:
    """The entries of a block after a freedom has acted on one of its dimensions.

    Args:
        freedom: The freedom.
        value: Its value, of shape (outer..., n) or (outer..., n, n).
        place: Where it acts, with the exponent.
        block: The block.
        entries: Of shape ``block.shape``, floating.

    Returns:
        The entries; of a variance, less than 0 where the scale is too small, which another freedom may still mend.
    """
    outer = block.dims[place.dim].outer
    value = value.to(entries)
    if freedom.matrix:
        matrix = value if place.exponent > 0 else torch.linalg.inv(value).mT
        dims = (*outer, place.dim)
        last = tuple(range(-len(dims), 0))
        moved = entries.movedim(dims, last)
        return torch.einsum("...ij,...j->...i", matrix, moved).movedim(last, dims)
    factor = along(value, (*outer, place.dim), entries.dim()) ** place.exponent
    return factor * (entries + place.offset) - place.offset if place.offset else entries * factor


def along(values: Tensor, dims: tuple[int, ...], rank: int) -> Tensor:
    """Values of shape (outer..., n), with their dimensions at the given places of a block and size 1 elsewhere.

    Args:
        values: One dimension per entry of `dims`.
        dims: Places in the block, distinct, in any order.
        rank: Number of dimensions of the block.
    """
    order = sorted(range(len(dims)), key=lambda i: dims[i])
    shape = [1] * rank
    for i in order:
        shape[dims[i]] = values.shape[i]
    return values.permute(order).reshape(shape)


def fold(freedoms: Freedoms, folded: Fold, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that change when the scale and shift of a normalisation are taken into what reads it.

    Folding is exact: W (g n + b) + c = (W g) n + (W b + c), or (W g) (n + b / g) where no bias takes up the shift.

    Raises:
        SpecError: If such a shift is not 0 where the scale is.
    """
    scale = tensors[folded.scale]
    shift = None if folded.shift is None else tensors[folded.shift]
    result: dict[str, Tensor] = {folded.scale: torch.ones_like(scale)}
    if folded.shift is not None and shift is not None:
        result[folded.shift] = _divided(folded, shift, scale) if folded.keeps_shift else torch.zeros_like(shift)
    for place, bias in folded.readers:
        before = tensors[place.tensor]
        weight = result.get(place.tensor, before).clone()
        block = freedoms.blocks[place.tensor][place.block]
        entries = block.read(weight)
        block.write(weight, entries * along(scale.to(entries), (place.dim,), entries.dim()))
        result[place.tensor] = weight
        if bias is not None and shift is not None and not folded.keeps_shift:
            result[bias] = result.get(bias, tensors[bias]) + _read(block, place, before, shift)
    return result


def unfold(
    freedoms: Freedoms, folded: Fold, scale: Tensor, shift: Tensor | None, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors that change when a normalisation whose scale and shift were folded gets others: inverse of `fold`.

    Args:
        freedoms: The freedoms.
        folded: What was folded.
        scale: The new scale; 1 is taken where it is 0, or less than `SMALLEST_SCALE` of its median size.
        shift: The new shift; None for 0. Not used where the shift was kept, which is multiplied by the scale instead.
        tensors: Weights whose scale is 1 and whose shift is 0, or kept.
    """
    size = scale.abs()
    scale = torch.where((size == 0) | (size < SMALLEST_SCALE * size.median()), torch.ones_like(scale), scale)
    result: dict[str, Tensor] = {folded.scale: scale.to(tensors[folded.scale])}
    if folded.shift is not None:
        kept = tensors[folded.shift]
        if folded.keeps_shift:
            result[folded.shift] = kept * scale.to(kept)
        else:
            result[folded.shift] = torch.zeros_like(kept) if shift is None else shift.to(kept, copy=True)
    for place, bias in folded.readers:
        weight = result.get(place.tensor, tensors[place.tensor]).clone()
        block = freedoms.blocks[place.tensor][place.block]
        entries = block.read(weight)
        block.write(weight, entries / along(scale.to(entries), (place.dim,), entries.dim()))
        result[place.tensor] = weight
        if bias is not None and shift is not None and not folded.keeps_shift:
            result[bias] = result.get(bias, tensors[bias]) - _read(block, place, weight, shift)
    return result


def _divided(folded: Fold, shift: Tensor, scale: Tensor) -> Tensor:
    """A shift as it is before the scale."""
    lost = int(((scale == 0) & (shift != 0)).sum())
    if lost:
        raise SpecError(
            f"tensor '{folded.scale}': expected no 0 where '{folded.shift}' has another number, found {lost}; a "
            "rotation divides by it: leave the rotation out"
        )
    return torch.where(shift == 0, torch.zeros_like(shift), shift / scale.to(shift))


def _read(block: Block, place: Place, matrix: Tensor, shift: Tensor) -> Tensor:
    """What a block of a matrix makes of a shift: its part of a vector along the only other axis."""
    whole = torch.zeros_like(matrix)
    entries = block.read(matrix)
    block.write(whole, entries * along(shift.to(entries), (place.dim,), entries.dim()))
    axis = next(i for i, size in enumerate(_axis_dims(block)) if place.dim in size)
    return whole.sum(axis)


def _axis_dims(block: Block) -> list[range]:
    """Which dimensions of a block belong to each axis of its tensor."""
    dims, start = [], 0
    for piece in block.pieces:
        dims.append(range(start, start + len(piece.groups)))
        start += len(piece.groups)
    return dims
