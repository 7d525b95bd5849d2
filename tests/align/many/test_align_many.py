"""Many networks at once: planted elements, small cases by brute force, and what can go wrong."""

from __future__ import annotations

import itertools
import math
from unittest.mock import Mock

import pytest
import torch

from tests.align.networks import built
from tests.align.oracle import (
    State,
    attention_spec,
    bilinear_spec,
    elements,
    fixed,
    grouped_queries_spec,
    mlp_spec,
    objective,
    random_state,
    recurrent_spec,
    spec_of,
)
from tests.align.test_planted import distance
from weightspace.align import align
from weightspace.align.many import METHODS, ManyAlignment, align_many
from weightspace.align.many.family import Family
from weightspace.errors import AlignmentError, CheckpointMismatchError
from weightspace.symmetry import Element, Spec, randomized

SPECS = {
    "mlp": mlp_spec(),
    "recurrent": recurrent_spec(gates=2),
    "attention": attention_spec(),
    "grouped queries": grouped_queries_spec(),
    "bilinear": bilinear_spec(),
}


def random_states(spec: Spec, count: int, seed: int = 0) -> list[State]:
    return [random_state(spec, 100 * seed + number) for number in range(count)]


def pairwise_objective(family: Family, moved: list[State]) -> float:
    """The definition, over all pairs, in float64."""
    return math.fsum(
        float((block.read(a[block.tensor]).double() * block.read(b[block.tensor]).double()).sum())
        for block in family.blocks
        for a, b in itertools.combinations(moved, 2)
    )


def with_noise(state: State, share: float, generator: torch.Generator) -> State:
    return {
        name: tensor + share * tensor.std(correction=0) * torch.randn(tensor.shape, generator=generator).to(tensor)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in state.items()
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("name", ["mlp", "cnn", "gru", "gpt2", "llama"])
def test_planted_elements_come_back(name: str, method: str, noise: float):
    if name in ("gpt2", "llama"):
        pytest.importorskip("transformers")
    program, spec = built(name)
    generator = torch.Generator().manual_seed(5)
    original = randomized(program.state(), spec, 1)
    planted = [spec.identity(), *(spec.random_element(generator) for _ in range(2))]
    states = [spec.apply(each, with_noise(original, noise, generator)) for each in planted]
    found = align_many(states, spec, method=method, restarts=2)
    for each, element in zip(planted, found.elements, strict=True):
        assert each.then(element).is_identity()
    assert distance(found.mean(states), original) <= 0.7 * noise + 1e-12  # a third of the variance is left


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("count", [2, 4])
def test_a_method_is_no_worse_than_the_one_it_starts_from(name: str, count: int):
    for seed in range(2):
        states = random_states(SPECS[name], count, seed)
        cycle, merged, paired = (
            align_many(states, SPECS[name], method=method, seed=seed, restarts=2).objective_after
            for method in ("cycle-consistent", "merge-many", "pairwise")
        )
        assert cycle >= merged * (1 - 1e-6)
        assert merged >= paired * (1 - 1e-6)


def test_nothing_beats_the_best_of_all_elements_and_nearly_always_it_is_found():
    spec = mlp_spec(2, 3, 3, 2)
    everything = list(elements(spec, ["a", "b"]))
    reached = 0
    for seed in range(5):
        states = random_states(spec, 3, seed)
        first, *others = Family(states, spec, torch.device("cpu")).states
        second, third = (torch.stack([flat(spec.apply(element, b)) for element in everything]) for b in others)
        pairs = (second @ flat(first))[:, None] + (third @ flat(first))[None, :] + second @ third.T
        best = float(pairs.max())
        found = align_many(states, spec, seed=seed).objective_after
        assert found <= best + 1e-4
        reached += found > best - 1e-4
    assert reached >= 4


def flat(state: State) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in state.values()])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SPECS)
def test_the_objectives_are_those_of_the_networks(name: str, method: str):
    spec, states = SPECS[name], random_states(SPECS[name], 3)
    family = Family(states, spec, torch.device("cpu"))
    found = align_many(states, spec, method=method, restarts=2)
    assert found.objective_before == pytest.approx(pairwise_objective(family, family.states), rel=1e-6)
    moved = [found.apply(index, state) for index, state in enumerate(family.states)]
    assert found.objective_after == pytest.approx(pairwise_objective(family, moved), rel=1e-6)


@pytest.mark.parametrize("name", SPECS)
def test_two_networks_have_the_objective_of_a_pair(name: str):
    spec, (a, b) = SPECS[name], random_states(SPECS[name], 2)
    found = align_many([a, b], spec, method="pairwise", restarts=4)
    alone = align(a, b, spec, restarts=4)
    assert found.objective_before == pytest.approx(objective(spec, a, b, b, balanced=True), rel=1e-5)
    assert found.objective_after == pytest.approx(alone.objective_after, rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_one_network_stays_where_it_is(method: str):
    (state,) = random_states(SPECS["mlp"], 1)
    found = align_many([state], SPECS["mlp"], method=method)
    assert found.elements[0].is_identity()
    assert found.objective_after == 0.0
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.mean([state]).items())


@pytest.mark.parametrize("method", METHODS)
def test_networks_of_zeros_do_no_harm(method: str):
    spec = SPECS["attention"]
    state = {name: torch.zeros_like(tensor) for name, tensor in random_state(spec, 0).items()}
    found = align_many([state, random_state(spec, 1), state], spec, method=method)
    assert all(not bool(tensor.isnan().any()) for tensor in found.mean([state] * 3).values())


@pytest.mark.parametrize("method", METHODS)
def test_a_network_without_symmetry(method: str):
    spec = spec_of((), {"w": (fixed(3), fixed(2))})
    states = random_states(spec, 3)
    found = align_many(states, spec, method=method)
    assert all(element.is_identity() for element in found.elements)


def test_dtypes_may_differ():
    spec = SPECS["mlp"]
    base = {name: tensor.bfloat16() for name, tensor in random_state(spec, 0).items()}
    planted = [spec.identity(), *(spec.random_element(torch.Generator().manual_seed(seed)) for seed in (1, 2))]
    dtypes = torch.bfloat16, torch.float64, torch.float32
    states = [
        {name: tensor.to(dtype) for name, tensor in spec.apply(element, base).items()}
        for element, dtype in zip(planted, dtypes, strict=True)
    ]
    found = align_many(states, spec)
    mean = found.mean(states)
    assert all(tensor.dtype == torch.float32 for tensor in mean.values())
    assert all(torch.equal(tensor, base[name].float()) for name, tensor in mean.items())
    assert all(tensor.dtype == torch.float64 for tensor in found.apply(1, states[1]).values())


def many_of(spec: Spec, count: int = 3) -> ManyAlignment:
    generator = torch.Generator().manual_seed(3)
    planted = tuple(spec.random_element(generator) for _ in range(count))
    return ManyAlignment(spec, planted, "cycle-consistent", 0.0, 1.0, 0.0, 0)


@pytest.mark.parametrize("name", SPECS)
def test_cycles_close(name: str):
    found = many_of(SPECS[name], 4)
    for i, j, k in itertools.permutations(range(4), 3):
        assert found.pair(i, j).then(found.pair(k, i)).then(found.pair(j, k)).is_identity()
        assert found.pair(i, j).then(found.pair(j, i)).is_identity()


@pytest.mark.parametrize("name", SPECS)
def test_a_pair_goes_through_the_universe(name: str):
    spec = SPECS[name]
    found = many_of(spec)
    universe = random_state(spec, 7)
    states = [spec.apply(element.inverse(), universe) for element in found.elements]
    there = spec.apply(found.pair(0, 2), states[2])
    assert all(torch.equal(tensor, states[0][name]) for name, tensor in there.items())


def test_the_mean_is_that_of_what_was_moved():
    spec = SPECS["mlp"]
    found, states = many_of(spec), random_states(spec, 3)
    states = [{**state, "steps": torch.tensor(number)} for number, state in enumerate(states)]
    mean = found.mean(states)
    moved = [spec.apply(element, state) for element, state in zip(found.elements, states, strict=True)]
    assert int(mean.pop("steps")) == 0
    for name, tensor in mean.items():
        torch.testing.assert_close(tensor, torch.stack([state[name] for state in moved]).mean(0))


def test_the_universe_is_that_of_the_first_network():
    for method in METHODS:
        found = align_many(random_states(SPECS["attention"], 3), SPECS["attention"], method=method, restarts=2)
        assert found.elements[0].is_identity()


def test_equal_seeds_give_equal_elements():
    states = random_states(SPECS["attention"], 4)
    for method in METHODS:
        first, second = (align_many(states, SPECS["attention"], method=method, seed=3, restarts=2) for _ in range(2))
        assert [_perms(e) for e in first.elements] == [_perms(e) for e in second.elements]


def _perms(element: Element) -> dict[str, list]:
    return {name: perm.tolist() for name, perm in element.perms.items()}


def test_nothing_that_is_given_changes():
    states = random_states(SPECS["mlp"], 3)
    before = [{name: tensor.clone() for name, tensor in state.items()} for state in states]
    align_many(states, SPECS["mlp"]).mean(states)
    for state, copy in zip(states, before, strict=True):
        assert all(torch.equal(tensor, copy[name]) for name, tensor in state.items())


def test_progress_is_told():
    for method in METHODS:
        told = Mock()
        align_many(random_states(SPECS["mlp"], 3), SPECS["mlp"], method=method, progress=told)
        assert told.call_args_list
        assert all(0 <= call.args[0] <= call.args[1] for call in told.call_args_list)


class TestRefusals:
    def test_no_network(self):
        with pytest.raises(AlignmentError, match="networks: expected at least one to align, found none"):
            align_many([], SPECS["mlp"])

    def test_an_unknown_method(self):
        with pytest.raises(AlignmentError, match=r"method 'merge': expected one of .*; did you mean 'merge-many'"):
            align_many(random_states(SPECS["mlp"], 2), SPECS["mlp"], method="merge")

    def test_no_restart(self):
        with pytest.raises(AlignmentError, match="restarts: expected at least 1, found 0"):
            align_many(random_states(SPECS["mlp"], 2), SPECS["mlp"], restarts=0)

    def test_another_shape(self):
        states = random_states(SPECS["mlp"], 3)
        states[1]["2.weight"] = torch.zeros(4, 5)
        with pytest.raises(CheckpointMismatchError, match=r"'2.weight' of network 2: expected shape \(4, 4\), found"):
            align_many(states, SPECS["mlp"])

    def test_a_missing_tensor(self):
        states = random_states(SPECS["mlp"], 3)
        del states[2]["2.weight"]
        with pytest.raises(
            CheckpointMismatchError, match=r"'2.weight': expected in checkpoint network 3, found missing"
        ):
            align_many(states, SPECS["mlp"])

    def test_nan(self):
        states = random_states(SPECS["mlp"], 3)
        states[0]["2.bias"][1] = torch.nan
        with pytest.raises(AlignmentError, match=r"'2.bias' of network 1: expected finite values"):
            align_many(states, SPECS["mlp"])

    def test_a_mean_of_another_number(self):
        with pytest.raises(AlignmentError, match="mean: expected 3 networks as aligned, found 2"):
            many_of(SPECS["mlp"]).mean(random_states(SPECS["mlp"], 2))
