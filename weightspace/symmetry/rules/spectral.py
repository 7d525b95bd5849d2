"""Complex numbers and Fourier transforms."""

from __future__ import annotations

import torch

from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels
from weightspace.symmetry.rules.registry import copying, rule

aten = torch.ops.aten


@rule(aten.view_as_complex.default)
def as_complex(context: Context, call: Call) -> Labels:
    """Pairs of numbers on the last dimension become complex ones."""
    context.carry(call["self"])
    context.freeze(context.get(call["self"])[-1], why="real and imaginary parts")
    return context.get(call["self"])[:-1]


@rule(aten.view_as_real.default)
def as_real(context: Context, call: Call) -> Labels:
    """Complex numbers become pairs on a last dimension."""
    context.carry(call["self"])
    return [*context.get(call["self"]), context.fixed(2)]


@rule(aten._conj.default)
@copying
def conjugate(context: Context, call: Call) -> Labels:
    """The same entries, read with another sign of their imaginary parts."""
    return context.get(call["self"], varying=True)


@rule(aten._fft_c2c.default, aten._fft_c2r.default, aten._fft_r2c.default)
def fourier(context: Context, call: Call) -> Labels:
    """Mixes along some dimensions, whose indices it tells apart."""
    labels = context.get(call["self"])
    dims = {dim % len(labels) for dim in call["dim"]}
    context.freeze(*(labels[dim] for dim in dims))
    labels = context.get(call["self"])
    context.contract([label for dim, label in enumerate(labels) if dim not in dims])
    return [context.fixed(call.output.shape[dim]) if dim in dims else label for dim, label in enumerate(labels)]
