"""A little training towards mean outputs: it comes nearer, starts where it is told, and needs no labels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.align.networks import built_of, cnn, gpt2
from tests.merge.test_refit import calls_of, error, perceptron, vit
from weightspace.align import align
from weightspace.errors import DataError
from weightspace.evaluate import interpolate
from weightspace.merge import distill, pleas, refit_in_turn, sized
from weightspace.source import Program
from weightspace.symmetry import Spec, randomized

State = dict[str, Tensor]


def pair(program: Program, spec: Spec) -> tuple[State, State]:
    a, b = (randomized(program.state(), spec, seed) for seed in range(2))
    return a, align(a, b, spec).apply(b)


@pytest.mark.parametrize("build", [perceptron, gpt2, vit])
def test_every_step_of_pleas_comes_nearer(build):
    torch.manual_seed(0)
    program, spec = built_of(build())
    a, b = pair(program, spec)
    calls = calls_of(program, 4, 16)
    seen: list[tuple[int, int]] = []
    solved = refit_in_turn(program, [a, b], interpolate(a, b, 0.5), lambda: calls).state
    found = pleas((a, b), program, lambda: calls, passes=20, progress=lambda done, total, _: seen.append((done, total)))
    assert error(program, found.state, [a, b], calls) < error(program, solved, [a, b], calls)
    assert len(found.losses) == 21
    assert min(found.losses) < found.losses[0]
    assert seen[-1] == (80, 80)
    assert a.keys() == found.state.keys()


def test_it_starts_where_it_is_told_and_leaves_that_as_it_is():
    torch.manual_seed(0)
    program, spec = built_of(perceptron())
    a, b = pair(program, spec)
    calls = calls_of(program)
    start = {name: tensor.clone() for name, tensor in a.items()}
    found = distill(program, [a, b], start, lambda: calls, passes=1, rate=0.0)
    assert all(torch.equal(found.state[name], a[name]) for name in a)
    distill(program, [a, b], start, lambda: calls, passes=2)
    assert all(torch.equal(start[name], a[name]) for name in a)


def test_equal_seeds_give_equal_results():
    torch.manual_seed(0)
    program, spec = built_of(perceptron())
    a, b = pair(program, spec)
    calls = calls_of(program)
    one, two, other = (distill(program, [a, b], a, lambda: calls, passes=2, seed=seed).losses for seed in (0, 0, 1))
    assert one == two != other


def test_running_statistics_are_not_trained():
    torch.manual_seed(0)
    program, spec = built_of(cnn())
    a, b = pair(program, spec)
    found = distill(program, [a, b], a, lambda: calls_of(program, 2, 8), passes=2).state
    changed = {name for name in a if not torch.equal(found[name], a[name])}
    assert changed
    assert changed <= set(program.parameter_names)


def test_without_passes_it_is_least_squares_alone():
    torch.manual_seed(0)
    program, spec = built_of(perceptron())
    a, b = pair(program, spec)
    calls = calls_of(program)
    found = pleas((a, b), program, lambda: calls, passes=0)
    solved = refit_in_turn(program, [a, b], interpolate(a, b, 0.5), lambda: calls)
    assert all(torch.equal(found.state[name], solved.state[name]) for name in a)
    assert found.residuals == solved.residuals
    assert found.losses == ()


def test_without_data_it_says_so():
    program, _ = built_of(perceptron())
    with pytest.raises(DataError, match="at least one batch, found none"):
        distill(program, [program.state()], program.state(), list, passes=1)


def test_a_rate_that_is_too_high_is_lowered_and_the_start_is_never_lost():
    torch.manual_seed(0)
    program, spec = built_of(perceptron())
    a, b = pair(program, spec)
    calls = calls_of(program, 12)
    start = refit_in_turn(program, [a, b], interpolate(a, b, 0.5), lambda: calls).state
    for rate in (1.0, 30.0):
        found = distill(program, [a, b], start, lambda: calls, passes=3, rate=rate)
        assert error(program, found.state, [a, b], calls) <= 1.05 * error(program, start, [a, b], calls)
        assert min(found.losses) <= found.losses[0]


@pytest.mark.parametrize("build", [perceptron, gpt2, vit])
def test_a_wider_network_is_merged_from_its_spec_alone(build):
    torch.manual_seed(0)
    program, spec = built_of(build())
    a, b = pair(program, spec)
    calls = calls_of(program, 4, 16)
    chosen = sized(program, (a, b), spec, calls[:2], size=1.3)
    found = pleas((a, b), program, lambda: calls, wide=chosen.wide, passes=5)
    assert 1.2 < found.program.parameters / program.parameters <= 1.3
    mean = error(program, interpolate(a, b, 0.5), [a, b], calls)
    assert error(program, found.state, [a, b], calls, found.program) < 0.5 * mean
