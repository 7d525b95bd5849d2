"""Runs that are held up at sites see what a run that is watched sees."""

from __future__ import annotations

import pytest
import torch

from tests.align.networks import NETWORKS, built
from tests.source.test_exported import InPlace
from weightspace.source import Inputs, Program
from weightspace.source.walking import Plan, Walk
from weightspace.source.watching import Passing
from weightspace.symmetry import randomized
from weightspace.symmetry.sites import Site


def parts(passing: Passing) -> list[torch.Tensor]:
    return [passing.inputs, passing.output, passing.normed, passing.summed]


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "gru"])
@pytest.mark.parametrize("looking", ["through", "up_to"])
def test_what_passes_a_site_is_what_a_watched_run_shows(name, looking):
    program, spec = built(name)
    state = randomized(program.state(), spec, 0)
    sites = program.sites(program.inputs)
    expected: dict[str, Passing] = {}

    def keep(site: Site, passing: Passing) -> None:
        expected[site.weight] = passing

    program.watch(state, program.inputs, sites, sites.alone, keep)
    plan = Plan(program.exported(), sites.alone)
    assert plan.places.keys() == expected.keys() != set()
    walk = Walk(plan, program.inputs, next(iter(state.values())))
    for site in sites.alone:
        for one, two in zip(parts(getattr(walk, looking)(state, site)), parts(expected[site.weight]), strict=True):
            torch.testing.assert_close(one, two)
        assert walk.held > 0


def test_it_goes_on_with_the_weights_as_they_are_by_then():
    program, spec = built("mlp")
    state, other = (randomized(program.state(), spec, seed) for seed in range(2))
    sites = program.sites(program.inputs).alone
    walk = Walk(Plan(program.exported(), sites), program.inputs, state["0.weight"])
    walk.up_to(state, sites[0])
    mixed = {**state, "0.weight": other["0.weight"]}
    found = walk.up_to(mixed, sites[1])
    seen: list[Passing] = []
    all_sites = program.sites(program.inputs)
    program.watch(mixed, program.inputs, all_sites, [all_sites.alone[1]], lambda _, passing: seen.append(passing))
    torch.testing.assert_close(found.inputs, seen[0].inputs)


def test_a_graph_that_writes_in_place_is_not_walked():
    program = Program(InPlace().eval(), Inputs((torch.randn(3, 4),)))
    assert not Plan(program.exported(), program.sites(program.inputs).alone).places
