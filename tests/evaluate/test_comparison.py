"""Copies, related networks and independent ones of several architectures, told apart."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tests.canonical.orbits import network, weights
from weightspace.errors import CheckpointMismatchError
from weightspace.evaluate import Recognised, compare, compare_stored, recognised
from weightspace.symmetry import Spec, Transformation, derive, randomized
from weightspace.symmetry.freedom import KINDS

ALL = ("permutation", *KINDS)
NETWORKS = ("perceptron", "mlp", "cnn", "gru", "gpt2")
State = dict[str, Tensor]


def single(state: State) -> State:
    return {name: t.float() if t.is_floating_point() else t for name, t in state.items()}


def moved(spec: Spec, state: State, kinds: tuple[str, ...], seed: int = 0) -> State:
    """A copy of a network somewhere else in its orbit, rounded to the type that it had."""
    change = Transformation.random(spec, torch.Generator().manual_seed(seed), kinds)
    wide = {name: t.double() if t.is_floating_point() else t for name, t in state.items()}
    return {name: t.to(state[name].dtype) for name, t in change.apply(wide).items()}


def tuned(state: State, amount: float = 0.2, seed: int = 5) -> State:
    """Every parameter moved by a share of the deviation of its tensor: what training on does to it."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: t + amount * t.abs().mean() * torch.randn(t.shape, generator=generator)
        if t.is_floating_point() and "running" not in name
        else t
        for name, t in state.items()
    }


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kinds", [("permutation",), ("permutation", "scale"), ("permutation", "scale", "sign"), ALL])
def test_a_copy_elsewhere_in_the_orbit_is_equivalent(name: str, kinds: tuple[str, ...]):
    program, spec = network(name)
    a = single(weights(program, spec))
    found = compare(a, moved(spec, a, kinds), spec, program=program)
    assert found.verdict == "equivalent", found.reason
    evidence = found.evidence
    assert evidence is not None
    assert evidence.distance_aligned is not None
    assert evidence.distance_aligned < 5e-7 < 0.1 < evidence.distance
    assert evidence.units_aligned.share == 1.0
    assert evidence.outputs is not None
    assert evidence.outputs < 1e-4


@pytest.mark.parametrize("name", NETWORKS)
def test_training_on_is_recognised_where_it_stands_and_after_a_permutation(name: str):
    program, spec = network(name)
    a = single(weights(program, spec))
    b = tuned(a)
    found = compare(a, b, spec, program=program)
    assert found.verdict == "fine-tuned", found.reason
    assert found.evidence is not None
    assert (found.evidence.units.share or 0) > 0.9
    assert found.evidence.units.log10_chance < -3
    again = compare(a, moved(spec, b, ("permutation", "scale", "sign")), spec, program=program)
    assert again.verdict == "fine-tuned", again.reason
    assert again.evidence is not None
    assert (again.evidence.units.share or 0) < 0.5 < 0.9 < (again.evidence.units_aligned.share or 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_independent_networks_are_unrelated(name: str):
    program, spec = network(name)
    a, b = (single(dict(randomized(program.state(), spec, seed))) for seed in (0, 1))
    found = compare(a, b, spec, program=program)
    assert found.verdict == "unrelated", found.reason
    assert found.evidence is not None
    assert (found.evidence.units_aligned.share or 0) < 0.6


@pytest.mark.parametrize("width", [6, 8, 16, 64])
def test_networks_that_were_never_trained_stay_below_the_threshold_however_narrow(width: int):
    module = nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
    spec = derive(module.eval(), (torch.randn(2, 5),), {})
    for seed in range(5):
        a, b = (single(dict(randomized(module.state_dict(), spec, 2 * seed + i))) for i in (0, 1))
        assert compare(a, b, spec).verdict == "unrelated"


def test_two_units_are_too_few_to_tell_by():
    module = nn.Sequential(nn.Linear(5, 2), nn.ReLU(), nn.Linear(2, 2))
    spec = derive(module.eval(), (torch.randn(2, 5),), {})
    a = single(dict(module.state_dict()))
    b = {name: -tensor for name, tensor in a.items()}
    assert compare(a, tuned(a, 0.05), spec).verdict == "fine-tuned"
    assert compare(a, b, spec).verdict == "unrelated"
    assert "hardly any unit" in compare(a, b, spec).reason


def test_a_light_change_in_half_precision_is_no_rounding():
    program, spec = network("mlp")
    a = {name: t.bfloat16() for name, t in weights(program, spec).items()}
    b = {name: t.bfloat16() for name, t in tuned({name: t.double() for name, t in a.items()}, 0.01).items()}
    assert compare(a, b, spec).verdict == "fine-tuned"
    assert compare(a, moved(spec, b, ("permutation", "scale")), spec).verdict == "fine-tuned"
    assert compare(a, moved(spec, a, ("permutation", "scale")), spec).verdict == "equivalent"


def test_rows_say_what_alignment_did():
    program, spec = network("cnn")
    a = single(weights(program, spec))
    found = compare(a, moved(spec, a, ("permutation",)), spec)
    for row in found.tensors:
        assert row.task_vector_aligned == pytest.approx(0, abs=1e-12)
        assert row.cosine_aligned == pytest.approx(1)
    assert any(row.task_vector > 0.1 for row in found.tensors)
    assert {row.name for row in found.tensors} == {name for name in spec.tensors if "num_batches" not in name}
    for row in found.singular:
        assert row.spectra == pytest.approx(0, abs=1e-5)
        assert row.alignment_aligned == pytest.approx(1)
        assert row.alignment < 0.9
    assert sum(group.moved or 0 for group in found.groups) > 0
    document = found.to_json()
    assert document["verdict"] == "equivalent"
    assert len(document["groups"]) == len(spec.groups)  # type: ignore[arg-type]


def test_counters_of_batches_do_not_count():
    program, spec = network("cnn")
    a = single(weights(program, spec))
    b = {name: t + 7 if "num_batches" in name else t for name, t in a.items()}
    without = {name: t for name, t in a.items() if "num_batches" not in name}
    for other in (b, without):
        found = compare_stored(a, other)
        assert found is not None
        assert found.verdict == "identical"
    assert compare(without, tuned(a), spec).verdict == "fine-tuned"


def test_statistics_do_count():
    program, spec = network("cnn")
    a = single(weights(program, spec))
    b = {name: 1.5 * t if "running_mean" in name else t for name, t in a.items()}
    assert compare_stored(a, b) is None
    assert compare(a, b, spec).verdict == "fine-tuned"


def test_what_needs_no_network():
    a = {"w": torch.randn(3, 2), "b": torch.zeros(3)}
    half = {name: t.bfloat16() for name, t in a.items()}
    for other in (dict(a), half):
        found = compare_stored(a, other)
        assert found is not None
        assert found.verdict == "identical"
    assert compare_stored(a, {**a, "w": a["w"] + 1e-6}) is None
    for other, part in (
        ({"w": a["w"]}, "b of A is not in B"),
        ({**a, "w": torch.ones(2, 2)}, "(3, 2) in A and (2, 2)"),
    ):
        found = compare_stored(a, other)
        assert found is not None
        assert found.verdict == "unrelated"
        assert part in found.reason


def test_two_architectures_cannot_be_aligned():
    program, spec = network("mlp")
    a = single(weights(program, spec))
    with pytest.raises(CheckpointMismatchError, match="one architecture"):
        compare(a, {name: t for name, t in a.items() if name != "0.bias"}, spec)


def test_the_bound_on_chance_holds_for_random_orders():
    """Networks whose units are put in random order: so many in place are no more likely than the bound says."""
    module = nn.Sequential(nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 3))
    spec = derive(module.eval(), (torch.randn(2, 9),), {})
    a = single(dict(module.state_dict()))
    b = tuned(a, 0.1)
    generator = torch.Generator().manual_seed(0)
    bounds = []
    for _ in range(400):
        (group,) = recognised(spec, a, spec.apply(spec.random_element(generator), b)).values()
        bounds.append(group.log10_chance)
    for level in {bound for bound in bounds if bound < 0}:
        share = sum(bound <= level for bound in bounds) / len(bounds)
        assert share <= 10**level + 3 * math.sqrt(10**level / len(bounds))
    assert min(bounds) < 0


def test_nothing_is_no_evidence():
    assert Recognised().share is None
    assert Recognised().log10_chance == 0
