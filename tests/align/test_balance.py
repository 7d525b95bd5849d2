"""Weights of the blocks in the objective."""

from __future__ import annotations

import pytest
import torch

from tests.align.oracle import State, attention_spec, fixed, grouped_queries_spec, mlp_spec, random_state, spec_of
from weightspace.align.balance import block_weights
from weightspace.align.problem import Problem
from weightspace.symmetry import Group, Spec
from weightspace.symmetry.axis import GroupAxis


def weights_of(spec: Spec, a: State, b: State) -> dict[str, float]:
    """The weight of every tensor that has one block."""
    blocks = [block for blocks in spec.blocks.values() for block in blocks]
    norms = [(float(block.read(a[block.tensor]).norm()), float(block.read(b[block.tensor]).norm())) for block in blocks]
    return {block.tensor: weight for block, weight in zip(blocks, block_weights(blocks, norms), strict=True)}


def scaled(state: State, factors: dict[str, float]) -> State:
    return {name: tensor * factors.get(name, 1.0) for name, tensor in state.items()}


SPEC = mlp_spec()
A, B = random_state(SPEC, 0), random_state(SPEC, 1)


def test_a_matrix_is_divided_by_the_root_of_the_product_of_its_norms():
    weights = weights_of(SPEC, A, B)
    for name in ("0.weight", "2.weight", "4.weight"):
        assert weights[name] == pytest.approx(float(A[name].norm() * B[name].norm()) ** -0.5)


def test_a_vector_takes_the_weight_of_the_matrix_beside_it_that_counts_least():
    weights = weights_of(SPEC, scaled(A, {"2.weight": 100.0}), B)
    assert weights["2.weight"] < weights["0.weight"]
    # Group a is on the first two matrices, group b on the last two.
    assert weights["0.bias"] == weights["2.bias"] == weights["2.weight"]


def test_a_vector_far_from_any_matrix_has_its_own_weight():
    spec = spec_of((Group("d", 4),), {"scale": (GroupAxis("d", 4),), "out": (fixed(1), GroupAxis("d", 4))})
    a, b = random_state(spec, 0), random_state(spec, 1)
    weights = weights_of(spec, a, b)
    assert weights["scale"] == pytest.approx(float(a["scale"].norm() * b["scale"].norm()) ** -0.5)
    # One output: a vector, too, whatever its number of axes.
    assert weights["out"] == pytest.approx(float(a["out"].norm() * b["out"].norm()) ** -0.5)


@pytest.mark.parametrize("spec", [mlp_spec(), attention_spec(), grouped_queries_spec()])
def test_permutations_do_not_change_the_weights(spec: Spec):
    a, b = random_state(spec, 0), random_state(spec, 1)
    moved = spec.apply(spec.random_element(torch.Generator().manual_seed(0)), b)
    assert weights_of(spec, a, moved) == pytest.approx(weights_of(spec, a, b))


def test_a_layer_that_is_scaled_up_gains_only_the_root():
    # The contribution of a matrix grows with the root of its scale, not with its scale.
    for factor in (1e-3, 10.0, 1e3):
        before = weights_of(SPEC, A, B)["2.weight"]
        after = weights_of(SPEC, scaled(A, {"2.weight": factor}), B)["2.weight"] * factor
        assert after / before == pytest.approx(factor**0.5)


def test_a_matrix_of_zeros_counts_nothing_and_gives_no_infinity():
    weights = weights_of(SPEC, scaled(A, {"2.weight": 0.0}), B)
    assert weights["2.weight"] == 0.0
    assert all(torch.isfinite(torch.tensor(weight)) for weight in weights.values())
    # The other matrices still say how much the biases count.
    assert weights["0.bias"] == weights["0.weight"]


def test_the_weights_are_in_the_terms_of_a_balanced_problem():
    plain, balanced = (Problem(A, B, SPEC, torch.device("cpu"), balance=balance) for balance in (False, True))
    weights = block_weights([term.block for term in plain.terms], list(plain.norms.values()))
    for term, other, weight in zip(plain.terms, balanced.terms, weights, strict=True):
        assert balanced.value(other) == pytest.approx(weight * plain.value(term), rel=1e-5)
    assert torch.equal(A["0.weight"], random_state(SPEC, 0)["0.weight"])
