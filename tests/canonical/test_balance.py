"""Scales: the smallest weights of the orbit, variances of 1, and something sensible where zeros leave no smallest."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.canonical.orbits import State, difference, image, network, weights
from weightspace.canonical import canonicalize
from weightspace.symmetry import Spec
from weightspace.symmetry.verify import relative_error

SCALE = ("scale",)


def total(state: State) -> float:
    """The squared length of all weights but the statistics."""
    return math.fsum(float(t.double().square().sum()) for name, t in state.items() if "running" not in name)


@pytest.mark.parametrize("name", ["perceptron", "llama", "gpt2", "encoder"])
def test_no_scale_makes_the_weights_smaller(name: str):
    program, spec = network(name)
    form = canonicalize(weights(program, spec), spec, SCALE).tensors
    for seed in range(5):
        assert total(image(spec, form, seed, SCALE)) > total(form)


def test_what_makes_a_unit_is_as_large_as_what_reads_it():
    program, spec = network("perceptron")
    form = canonicalize(weights(program, spec), spec, SCALE).tensors
    made = form["0.weight"].square().sum(1) + form["0.bias"].square()
    torch.testing.assert_close(made, form["2.weight"].square().sum(0), rtol=1e-12, atol=0)


def test_variances_become_one():
    program, spec = network("resnet20")
    form = canonicalize(weights(program, spec), spec, SCALE).tensors
    for name, tensor in form.items():
        if name.endswith("running_var"):
            assert float((tensor + 1e-5 - 1).abs().max()) < 1e-14


def dead(state: State, draw: torch.Generator) -> State:
    """Weights of the perceptron with many zeros: units that nothing makes, that nothing reads, or neither."""
    state = {name: tensor.clone() for name, tensor in state.items()}
    for made, read in (("0", "2"), ("2", "4"), ("4", "6")):
        units = len(state[f"{made}.bias"])
        kill = torch.randint(0, 3, (2, units), generator=draw) == 0
        state[f"{made}.weight"][kill[0]] = 0.0
        state[f"{made}.bias"][kill[0]] = 0.0
        state[f"{read}.weight"][:, kill[1]] = 0.0
        state[f"{read}.weight"] *= torch.randint(0, 2, state[f"{read}.weight"].shape, generator=draw)
    return state


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30)
def test_dead_units_have_a_canonical_form_too(seed: int):
    program, spec = network("perceptron")
    state = dead(weights(program, spec), torch.Generator().manual_seed(seed))
    kinds = ("permutation", "scale", "sign")
    form = canonicalize(state, spec, kinds)
    assert form.unresolved == 0
    assert relative_error(program.outputs(form.tensors), program.outputs(state)) < 1e-12
    for number in range(3):
        assert (
            difference(canonicalize(image(spec, state, seed + number, kinds), spec, kinds).tensors, form.tensors)
            < 1e-10
        )


def test_weights_on_one_side_only_have_the_geometric_mean_one():
    program, spec = network("perceptron")
    state = weights(program, spec)
    state["2.weight"][:, 3] = 0.0
    form = canonicalize(state, spec, SCALE)
    logarithms = torch.cat([form.tensors["0.weight"][3], form.tensors["0.bias"][3:4]]).abs().log()
    assert abs(float(logarithms.mean())) < 1e-12
    assert [gauge.one_sided for gauge in form.gauges] == [1, 0]


def chain(spec: Spec, state: State) -> State:
    """Only a path of single weights is left: input > unit > unit, and nothing reads the end of it."""
    state = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    state["0.weight"][1, 2], state["2.weight"][4, 1], state["4.weight"][5, 4] = 3.0, 5.0, 7.0
    return state


def test_a_path_that_ends_nowhere():
    """The last unit loses its weights first, then the one before it; each weight becomes 1 where a scale can do it."""
    program, spec = network("perceptron")
    state = chain(spec, weights(program, spec))
    form = canonicalize(state, spec, SCALE).tensors
    moved = image(spec, state, 1, SCALE)
    assert difference(canonicalize(moved, spec, SCALE).tensors, form) < 1e-12
    assert abs(float(form["4.weight"][5, 4]) - 1) < 1e-12


def test_very_different_magnitudes():
    program, spec = network("perceptron")
    state = weights(program, spec)
    state["0.weight"] *= torch.logspace(-12, 12, 16, dtype=torch.float64).unsqueeze(1)
    state["4.weight"] *= 1e-9
    form = canonicalize(state, spec, SCALE)
    assert form.unresolved == 0
    assert difference(canonicalize(image(spec, state, 1, SCALE), spec, SCALE).tensors, form.tensors) < 1e-10
