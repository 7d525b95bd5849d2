"""How much of every group is kept apart: sizes as they come out, the best choice on a grid, and what cannot be had."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.align.networks import cnn, resnet20
from tests.merge.test_homes import apart, made
from tests.merge.test_refit import calls_of
from weightspace.errors import SpecError
from weightspace.merge import Homes, Stored, Wide, sized
from weightspace.merge.budget import choose, largest
from weightspace.merge.size import Size, size_of
from weightspace.source.cost import flops

SIZE = Size("parameters", {("g", None): 5.0, ("h", "g"): 12.0, (None, "h"): 3.0, ("h", "h"): 2.0, (None, None): 1.0})
LOSS = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(lambda each: [*sorted(each, reverse=True), 0.0])


@given(LOSS, LOSS, st.floats(1.0, 1.9))
@settings(max_examples=50, deadline=None)
def test_no_choice_on_the_grid_loses_less(g, h, target):
    losses = {"g": g, "h": h}
    found = choose(SIZE, losses, target)
    assert found.size <= target * (1 + 1e-6)

    def lost(shares) -> float:  # between two points of the grid it is at most what it is at the one before
        return sum(losses[name][int(share * 3 + 1e-6)] for name, share in shares.items())

    grid = [dict(zip("gh", shares, strict=True)) for shares in itertools.product((0, 1 / 3, 2 / 3, 1), repeat=2)]
    best = min(lost(shares) for shares in grid if SIZE.at(shares) <= target * SIZE.one)
    assert lost(found.shares) <= best * (1 + 1e-3) + 1e-6


def test_what_is_left_of_the_budget_is_used():
    found = choose(SIZE, {"g": [1.0, 0.0], "h": [1.0, 0.0]}, 1.3)
    assert found.size == pytest.approx(1.3, abs=1e-4)


def test_sizes_that_cannot_be_had_are_refused():
    losses = {"g": [1.0, 0.0]}
    most = largest(SIZE, ["g"])
    for target in (0.9, 2.0):
        with pytest.raises(SpecError, match=rf"size {target:g}: expected from 1 to {most:.4g}"):
            choose(SIZE, losses, target)
    assert choose(SIZE, losses, most).shares == {"g": 1.0}


@pytest.mark.parametrize("build", [cnn, resnet20])
@pytest.mark.parametrize("networks", [2, 3])
def test_sizes_are_those_of_the_network_as_it_is_stored(build, networks):
    program, spec, widening, a, b = made(build)
    models = (a, b, a)[:networks]
    shares = {name: (at % 5) / 4 for at, name in enumerate(widening.groups)}
    chosen = {name: each for group, share in shares.items() for name, each in apart(spec, (group,), share).items()}
    stored = Stored.of(Wide.of(widening, Homes.partial(spec, chosen, networks), models))
    real = {name: float(each.float().mean()) for name, each in chosen.items()}
    size = size_of(program, spec, widening.reads, networks=networks)
    assert size.one == program.parameters
    assert size.at(real) == pytest.approx(stored.program.parameters)
    work = size_of(program, spec, widening.reads, "flops", networks)
    assert work.one == pytest.approx(flops(program))
    assert work.at(real) == pytest.approx(flops(stored.program), rel=1e-6)


@pytest.mark.parametrize("measure", ["parameters", "flops"])
def test_a_network_of_a_size_has_that_size(measure):
    program, spec, _, a, b = made(cnn)
    calls = calls_of(program, 2, 16)
    found = sized(program, (a, b), spec, calls, size=1.4, measure=measure)
    stored = Stored.of(found.wide)
    cost = (lambda each: each.parameters) if measure == "parameters" else flops
    relative = cost(stored.program) / cost(program)
    assert 1.2 < relative <= 1.4 + 1e-6
    assert found.budget.size == pytest.approx(relative, abs=0.1)  # whole units


def test_shares_of_groups_that_may_not_grow_are_refused():
    program, spec, widening, a, b = made(cnn)
    calls = calls_of(program, 1, 8)
    group = widening.groups[0]
    found = sized(program, (a, b), spec, calls, shares={group: 1.0})
    assert found.wide.homes.sizes == {group: 2 * next(g.size for g in spec.groups if g.name == group)}
    with pytest.raises(SpecError, match="group 'nothing': expected one that may grow"):
        sized(program, (a, b), spec, calls, shares={"nothing": 1.0})


def test_what_is_kept_apart_is_what_merging_harms():
    """Of two layers only one differs between the networks: all that is kept apart is kept apart there."""
    program, spec, widening, a, _ = made(cnn)
    group = "wide"
    assert group in widening.groups
    b = {name: tensor.clone() for name, tensor in a.items()}
    for name in ("wide.weight", "wide.bias"):
        b[name] = torch.randn(b[name].shape, generator=torch.Generator().manual_seed(1)).to(b[name])
    found = sized(program, (a, b), spec, calls_of(program, 2, 32), size=1.15)
    assert max(found.budget.shares, key=found.budget.shares.__getitem__) == group
