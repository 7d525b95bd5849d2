"""The pairs that are kept apart are those that have least in common."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.align.networks import built_of
from tests.merge.test_refit import calls_of, error
from weightspace.align import align
from weightspace.align.similarity import similarities
from weightspace.merge import Wide, refit_in_turn, widening_of
from weightspace.merge.homes import Homes
from weightspace.merge.partial import least_alike
from weightspace.source import Inputs
from weightspace.symmetry import Element, Group, randomized


def test_scores_are_read_in_the_coordinates_of_the_matching():
    scores = torch.tensor([[[0.1, 0.9, 0.0], [0.0, 0.1, 0.2], [0.8, 0.0, 0.1]]])  # pairs (0, 1), (1, 2), (2, 0)
    element = Element((Group("g", 3),), {"g": torch.tensor([1, 2, 0])})
    apart = least_alike({"g": scores}, element, {"g": 1 / 3})
    assert apart["g"].tolist() == [False, True, False]
    assert least_alike({}, element, {"g": 1.0})["g"].tolist() == [True] * 3
    with pytest.raises(ValueError, match=r"from 0 to 1, found 1\.5"):
        least_alike({"g": scores}, element, {"g": 1.5})


def test_units_that_only_one_network_has_are_kept_apart_and_that_helps():
    torch.manual_seed(0)
    layers = (nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
    program, spec = built_of((nn.Sequential(*layers), Inputs((torch.randn(8, 6),))))
    a = randomized(program.state(), spec, 0)
    strange = randomized(program.state(), spec, 1)
    names = [tensor for tensor, axis in spec.occurrences(spec.groups[0].name) if axis == 0]
    own = {name: tensor.clone() for name, tensor in a.items()}
    for name in names:
        own[name][:4] = strange[name][:4]  # units that are not those of A
    moved = spec.random_element(torch.Generator().manual_seed(2))
    b = spec.apply(moved, own)
    calls = calls_of(program)
    alignment = align(a, b, spec, method="activations", program=program, batches=lambda: calls)
    like = similarities(program, a, b, spec, calls, depth="read").of
    group = spec.groups[0].name
    chosen = least_alike(like, alignment.element, {group: 0.25})
    aligned = alignment.apply(b)
    differs = (a["0.weight"] - aligned["0.weight"]).norm(dim=1) > 1e-9
    assert int(chosen[group].sum()) == 4
    assert bool(differs[chosen[group]].all())
    widening = widening_of(program, spec)
    errors = []
    for apart in (chosen[group], ~chosen[group] & (torch.arange(16) < 8)):
        wide = Wide.of(widening, Homes.partial(spec, {group: apart}), (a, aligned))
        found = refit_in_turn(program, (a, aligned), wide.state, lambda: calls, wide=wide, ridge=1e-8).state
        errors.append(error(program, found, [a, aligned], calls, wide.program))
    assert errors[0] < 0.5 * errors[1]
