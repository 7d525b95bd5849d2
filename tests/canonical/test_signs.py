"""Signs: fixed by what leans to one side, and reported where nothing does."""

from __future__ import annotations

import torch

from tests.canonical.orbits import difference, image, network, same, weights
from weightspace.canonical import canonicalize

SIGN = ("permutation", "sign")


def test_signs_and_permutations_alone_are_exact():
    program, spec = network("recurrent")
    state = {name: tensor.float() for name, tensor in weights(program, spec).items()}
    form = canonicalize(state, spec, SIGN)
    for seed in range(10):
        assert same(canonicalize(image(spec, state, seed, SIGN), spec, SIGN).tensors, form.tensors)


def test_the_largest_entry_becomes_positive():
    program, spec = network("perceptron")
    form = canonicalize(weights(program, spec), spec, ("sign",)).tensors
    assert bool((form["2.bias"] > 0).all())


def test_without_biases_signs_spread_from_the_inputs_along_the_connections():
    program, spec = network("recurrent")
    state = weights(program, spec)
    for name in ("cell.bias_ih", "cell.bias_hh"):
        state[name].zero_()
    state["cell.weight_ih"][1:] = 0.0  # only unit 0 sees the input,
    state["head.weight"].zero_()  # none is seen,
    state["cell.weight_hh"].copy_(
        torch.diag(torch.tensor([1.0, -2.0, 3.0, 4.0, -5.0, 6.0, 7.0]), -1)
    )  # and each unit sees the one before it
    form = canonicalize(state, spec, SIGN)
    assert form.unresolved == 0
    assert form.gauges[0].changed > 0
    for seed in range(10):
        moved = image(spec, state, seed, SIGN)
        assert difference(canonicalize(moved, spec, SIGN).tensors, form.tensors) == 0
    assert bool((form.tensors["cell.weight_hh"] >= 0).all())


def test_a_unit_that_leans_nowhere_is_reported():
    program, spec = network("perceptron")
    state = weights(program, spec)
    state["2.bias"][3] = 0.0
    state["2.weight"][3] = torch.tensor([1.0, -1.0] * 8)
    state["4.weight"][:, 3] = torch.tensor([1.0, -1.0] * 6)
    assert canonicalize(state, spec, SIGN).unresolved == 1
    state["4.weight"][0, 3] = 2.0
    assert canonicalize(state, spec, SIGN).unresolved == 0


def test_a_unit_without_weights_needs_no_sign():
    program, spec = network("perceptron")
    state = weights(program, spec)
    state["2.bias"][3], state["2.weight"][3], state["4.weight"][:, 3] = 0.0, 0.0, 0.0
    assert canonicalize(state, spec, SIGN).unresolved == 0
