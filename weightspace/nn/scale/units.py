"""Freedoms of the weights that graphs carry, and which of their units acts on every entry of a tensor."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from weightspace.graph import GraphLayout
from weightspace.symmetry import Spec
from weightspace.symmetry.freedom import Freedom
from weightspace.symmetry.freedom.freedom import Kind, Place
from weightspace.symmetry.freedom.values import along


def freedoms_of(layout: GraphLayout, kind: Kind) -> tuple[Freedom, ...]:
    """Freedoms of a kind that change nothing but what graphs carry.

    One that changes a buffer too is no freedom of the weights: networks have the buffer in common, and to make up for
    it in the weights alone is another function.

    Args:
        layout: Of the parameter graph.
        kind: The kind.
    """
    freedoms = layout.spec.freedoms.only(kind).all
    return tuple(each for each in freedoms if all(place.tensor in layout.names for place in each.places))


def units_at(spec: Spec, freedom: Freedom, place: Place) -> Tensor:
    """Numbers of the units that act on the entries of a tensor at one place.

    Args:
        spec: The symmetry.
        freedom: One of it that acts by a number per unit.
        place: Where it acts.

    Returns:
        int64 of the shape of the tensor: the number of the unit, counted along (outer..., own) indices; where none
        acts, how many units there are.
    """
    shape = spec.freedoms.shape(freedom)
    count = math.prod(shape)
    block = spec.freedoms.blocks[place.tensor][place.block]
    numbers = along(torch.arange(count).reshape(shape), (*block.dims[place.dim].outer, place.dim), len(block.dims))
    found = torch.full(spec.tensors[place.tensor].shape, count)
    block.write(found, numbers.expand(block.shape))
    return found
