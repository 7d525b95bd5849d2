"""`align`: what it reports against what it does, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.align.oracle import (
    State,
    attention_spec,
    bilinear_spec,
    fixed,
    grouped_queries_spec,
    inner_product,
    mlp_spec,
    objective,
    random_state,
    recurrent_spec,
    spec_of,
)
from weightspace.align import METHODS, align
from weightspace.align.problem import Problem
from weightspace.align.unit import units_of
from weightspace.errors import AlignmentError, CheckpointMismatchError
from weightspace.symmetry import Element, Group, Spec, TensorSpec
from weightspace.symmetry.axis import GroupAxis

SEEDS = st.integers(0, 2**20)
SPECS = {
    "mlp": mlp_spec(),
    "recurrent": recurrent_spec(gates=3),
    "attention": attention_spec(),
    "grouped queries": grouped_queries_spec(),
    "bilinear": bilinear_spec(),
}
EVERY_METHOD = pytest.mark.parametrize("method", ["weights", "git-rebasin"])  # the others have tests of their own
EVERY_SPEC = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def pair(spec: Spec, seed: int, *, integers: bool = False) -> tuple[State, State]:
    return random_state(spec, 2 * seed, integers=integers), random_state(spec, 2 * seed + 1, integers=integers)


@EVERY_SPEC
@EVERY_METHOD
@settings(max_examples=8)
@given(SEEDS, st.booleans())
def test_the_objective_is_the_inner_product_of_the_weights(spec: Spec, method: str, seed: int, integers: bool):
    a, b = pair(spec, seed, integers=integers)
    result = align(a, b, spec, method=method, seed=seed)
    balanced = METHODS[method].balanced
    assert result.objective_before == pytest.approx(objective(spec, a, b, b, balanced=balanced), abs=1e-4)
    after = objective(spec, a, b, result.apply(b), balanced=balanced)
    assert result.objective_after == pytest.approx(after, abs=1e-4)
    assert result.objective_after >= result.objective_before


@EVERY_SPEC
@settings(max_examples=8)
@given(SEEDS)
def test_git_rebasin_maximises_the_plain_inner_product(spec: Spec, seed: int):
    a, b = pair(spec, seed)
    result = align(a, b, spec, method="git-rebasin", seed=seed)
    # What no group moves is the same before and after.
    gained = inner_product(spec, a, result.apply(b)) - inner_product(spec, a, b)
    assert result.objective_after - result.objective_before == pytest.approx(gained, abs=1e-4)


@EVERY_SPEC
@EVERY_METHOD
@settings(max_examples=8)
@given(SEEDS)
def test_the_gain_of_a_group_is_what_putting_it_back_loses(spec: Spec, method: str, seed: int):
    a, b = pair(spec, seed)
    result = align(a, b, spec, method=method, seed=seed)
    aligned, balanced = result.apply(b), METHODS[method].balanced
    assert [report.name for report in result.groups] == [group.name for group in spec.groups]
    for report, group in zip(result.groups, spec.groups, strict=True):
        perm = result.element.perm(group.name)
        back = Element(spec.all_groups, {group.name: perm.argsort(-1)})
        assert result.element.then(back).moved(group.name) == 0
        left = objective(spec, a, b, spec.apply(back, aligned), balanced=balanced)
        assert report.gain == pytest.approx(result.objective_after - left, abs=1e-4)
        if group.name != "h":  # a descent on the recurrent weight may end where a single transposition gains
            assert report.gain >= -1e-3
        assert report.moved == int((perm != torch.arange(group.size)).sum())
        assert (report.size, report.copies) == (group.size, perm.numel() // group.size)


@EVERY_SPEC
@pytest.mark.parametrize("balance", [True, False])
@settings(max_examples=8)
@given(SEEDS, st.booleans())
def test_no_step_of_a_descent_lowers_the_objective(spec: Spec, balance: bool, seed: int, integers: bool):
    a, b = pair(spec, seed, integers=integers)
    problem = Problem(a, b, spec, torch.device("cpu"), balance=balance)
    problem.move(spec.random_element(torch.Generator().manual_seed(seed)))
    for _ in range(4):
        for unit in units_of(problem):
            before = problem.objective()
            gain = unit.step(problem)
            assert gain >= 0.0
            assert problem.objective() - before == pytest.approx(gain, abs=1e-4)
            assert problem.objective() >= before
    moved = spec.apply(problem.element, b)
    assert problem.objective() == pytest.approx(objective(spec, a, b, moved, balanced=balance), abs=1e-4)


@EVERY_SPEC
def test_further_starts_never_give_a_worse_result(spec: Spec):
    for seed in range(5):
        a, b = pair(spec, seed)
        objectives = [align(a, b, spec, restarts=number).objective_after for number in (1, 2, 3, 6)]
        assert objectives == sorted(objectives)


@EVERY_SPEC
def test_equal_seeds_give_equal_results_and_leave_the_global_seed_alone(spec: Spec):
    a, b = pair(spec, 3)
    copies = {name: tensor.clone() for name, tensor in b.items()}
    state = torch.get_rng_state()
    first, second = (align(a, b, spec, restarts=4, seed=5) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first.element.perm(group.name), second.element.perm(group.name)) for group in spec.groups)
    assert {**first.report(), "seconds": 0} == {**second.report(), "seconds": 0}
    assert all(torch.equal(b[name], copies[name]) for name in b)


@EVERY_SPEC
@pytest.mark.parametrize("integers", [False, True])
def test_a_network_is_aligned_to_itself_by_the_identity(spec: Spec, integers: bool):
    a = random_state(spec, 4, integers=integers)
    result = align(a, {name: tensor.clone() for name, tensor in a.items()}, spec, restarts=4)
    assert result.element.is_identity()
    assert result.objective_before == result.objective_after
    assert all((report.moved, report.gain) == (0, 0.0) for report in result.groups)
    assert all(torch.equal(result.apply(a)[name], a[name]) for name in a)


# Not the bilinear one: none of its blocks tells of one inner group alone, and three starts may all end elsewhere.
@pytest.mark.parametrize("name", [name for name in SPECS if name != "bilinear"])
def test_planted_elements_come_back(name: str):
    spec = SPECS[name]
    for seed in range(20):
        a = random_state(spec, seed)
        planted = spec.random_element(torch.Generator().manual_seed(seed))
        result = align(a, spec.apply(planted, a), spec, seed=seed)
        assert planted.then(result.element).is_identity()


def test_dead_units_and_duplicates_give_finite_numbers():
    spec = mlp_spec(first=8, second=8)
    a, b = pair(spec, 0)
    for state, dead, twice in ((a, [1, 2], 3), (b, [0, 5, 6], 4)):
        for name, axis in (("0.weight", 0), ("0.bias", 0), ("2.weight", 1)):
            state[name].index_fill_(axis, torch.tensor(dead), 0.0)
            state[name].select(axis, 7).copy_(state[name].select(axis, twice))
    result = align(a, b, spec)
    numbers = [result.objective_before, result.objective_after, *(report.gain for report in result.groups)]
    assert bool(torch.isfinite(torch.tensor(numbers)).all())
    assert result.objective_after > result.objective_before
    assert align(a, a, spec).element.is_identity()


def test_networks_of_zeros_stay_as_they_are():
    spec = grouped_queries_spec()
    zeros = {name: torch.zeros(tensor.shape) for name, tensor in spec.tensors.items()}
    result = align(zeros, zeros, spec)
    assert (result.objective_before, result.objective_after) == (0.0, 0.0)
    assert result.element.is_identity()
    assert align(random_state(spec, 0), zeros, spec).element.is_identity()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_are_matched_in_float32_and_keep_their_type(dtype: torch.dtype):
    spec = attention_spec()
    a, b = ({name: tensor.to(dtype) for name, tensor in state.items()} for state in pair(spec, 1))
    result = align(a, b, spec)
    wide_a, wide_b = ({name: tensor.float() for name, tensor in state.items()} for state in (a, b))
    same = align(wide_a, wide_b, spec)
    assert all(torch.equal(result.element.perm(group.name), same.element.perm(group.name)) for group in spec.groups)
    assert result.objective_after == same.objective_after
    assert {tensor.dtype for tensor in result.apply(b).values()} == {dtype}


def test_a_tied_tensor_counts_once_and_stays_tied():
    d = GroupAxis("d", 4)
    axes = {"embed": (fixed(6), d), "norm": (d,)}
    spec = spec_of((Group("d", 4),), axes, {"head": "embed"})
    a, b = pair(spec, 0)
    once = align(a, b, spec)
    tied = align({**a, "head": a["embed"]}, {**b, "head": b["embed"]}, spec)
    assert tied.objective_after == once.objective_after
    moved = tied.apply({**b, "head": b["embed"]})
    assert tied.element.moved("d") > 0
    assert torch.equal(moved["head"], moved["embed"])
    assert torch.equal(moved["embed"], b["embed"][:, tied.element.perm("d")])


@pytest.mark.parametrize("kind", ["statistic", "buffer"])
def test_running_statistics_and_buffers_move_but_do_not_count(kind: str):
    plain = mlp_spec()
    tensors = {**plain.tensors, "running_mean": TensorSpec((GroupAxis("a", 4),), kind)}  # type: ignore[arg-type]
    spec = Spec(plain.all_groups, tensors, {})
    a, b = pair(plain, 0)
    expected = align(a, b, plain)
    for seed in range(3):
        means = torch.randn(2, 4, generator=torch.Generator().manual_seed(seed)) * 1e4
        result = align({**a, "running_mean": means[0]}, {**b, "running_mean": means[1]}, spec)
        assert result.objective_after == expected.objective_after
        assert torch.equal(result.element.perm("a"), expected.element.perm("a"))
        assert torch.equal(result.apply({"running_mean": means[1]})["running_mean"], means[1][result.element.perm("a")])


def test_a_group_that_no_parameter_carries_stays():
    spec = Spec((Group("a", 3),), {"table": TensorSpec((GroupAxis("a", 3),), "buffer")}, {})
    result = align({"table": torch.tensor([1.0, 2, 3])}, {"table": torch.tensor([3.0, 2, 1])}, spec)
    assert (result.objective_after, result.groups[0].moved, result.groups[0].gain) == (0.0, 0, 0.0)


def test_preservation_is_measured_where_a_network_is_at_hand():
    spec = mlp_spec()
    a, b = pair(spec, 0)
    x = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def forward(state):
        h = torch.relu(x.to(state["0.weight"].dtype) @ state["0.weight"].T + state["0.bias"])
        h = torch.relu(h @ state["2.weight"].T + state["2.bias"])
        return [h @ state["4.weight"].T + state["4.bias"]]

    assert align(a, b, spec).preservation_error is None
    kept = align(a, b, spec, forward=forward)
    assert not kept.element.is_identity()
    assert kept.preservation_error is not None
    assert kept.preservation_error < 1e-12
    # A spec that leaves out a reader of the units claims too much, and the figure says so.
    partial = Spec(
        spec.all_groups,
        {**spec.tensors, "2.weight": TensorSpec((GroupAxis("b", 4), fixed(4)))},
        {},
    )
    broken = align(a, b, partial, forward=forward).preservation_error
    assert broken is not None
    assert broken > 1e-3


class Lazy(Mapping):
    """A checkpoint that counts how often each tensor is read."""

    def __init__(self, tensors: State) -> None:
        self.tensors, self.reads = tensors, Counter()

    def __getitem__(self, name):
        self.reads[name] += 1
        return self.tensors[name]

    def __contains__(self, name):
        return name in self.tensors

    def __iter__(self):
        return iter(self.tensors)

    def __len__(self):
        return len(self.tensors)


def test_a_lazy_checkpoint_is_read_once_to_be_checked_and_once_to_be_matched():
    spec = mlp_spec()
    a, b = (Lazy(state) for state in pair(spec, 0))
    align(a, b, spec)
    assert a.reads == b.reads == {name: 1 if name == "4.bias" else 2 for name in spec.tensors}  # that one never moves


def test_progress_counts_the_starts():
    a, b = pair(mlp_spec(), 0)
    seen = []
    align(a, b, mlp_spec(), restarts=3, progress=lambda *state: seen.append(state))
    done = [done for done, _, _ in seen]
    assert done == sorted(done)
    assert {0, 1, 2, 3} <= set(done)
    assert {total for _, total, _ in seen} == {3}
    assert all(text.startswith("objective ") for *_, text in seen)


def test_the_report_is_json_and_names_every_group():
    spec = attention_spec()
    report = align(*pair(spec, 0), spec, seed=7).report()
    again = json.loads(json.dumps(report))
    assert again == report
    assert [group["name"] for group in report["groups"]] == ["heads", "qk", "vo"]
    assert [group["copies"] for group in report["groups"]] == [1, 3, 3]
    assert (report["seed"], report["method"], report["spec_hash"]) == (7, "weights", spec.hash)
    assert {"objective_before", "objective_after", "preservation_error", "seconds", "sweeps"} <= set(report)


class TestRefusals:
    spec = mlp_spec()

    def states(self) -> tuple[State, State]:
        return pair(self.spec, 0)

    @pytest.mark.parametrize("which", [0, 1])
    def test_a_missing_tensor(self, which: int):
        states = self.states()
        del states[which]["2.bias"]
        with pytest.raises(CheckpointMismatchError, match=rf"'2.bias': expected in checkpoint {'AB'[which]}"):
            align(*states, self.spec)

    @pytest.mark.parametrize("which", [0, 1])
    def test_a_wrong_shape(self, which: int):
        states = self.states()
        states[which]["2.weight"] = torch.zeros(4, 5)
        with pytest.raises(CheckpointMismatchError, match=r"'2.weight' of [AB]: expected shape \(4, 4\), found \(4, 5"):
            align(*states, self.spec)

    @pytest.mark.parametrize("which", [0, 1])
    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    @pytest.mark.parametrize("name", ["0.weight", "4.bias"])
    def test_values_that_are_not_finite(self, which: int, bad: float, name: str):
        states = self.states()
        states[which][name].view(-1)[0] = bad
        with pytest.raises(AlignmentError, match=rf"'{name}' of {'AB'[which]}: expected finite values"):
            align(*states, self.spec)

    def test_an_unknown_method(self):
        with pytest.raises(AlignmentError, match=r"method 'magic': expected one of .*, weights, "):
            align(*self.states(), self.spec, method="magic")
        with pytest.raises(AlignmentError, match="did you mean 'git-rebasin'"):
            align(*self.states(), self.spec, method="gitrebasin")

    @pytest.mark.parametrize("restarts", [0, -1])
    def test_no_starts(self, restarts: int):
        with pytest.raises(AlignmentError, match=f"at least 1, found {restarts}"):
            align(*self.states(), self.spec, restarts=restarts)

    def test_every_message_is_one_line(self):
        a, b = self.states()
        for call in (
            lambda: align(a, {}, self.spec),
            lambda: align({**a, "0.bias": torch.zeros(2)}, b, self.spec),
            lambda: align({**a, "0.bias": torch.full((4,), torch.nan)}, b, self.spec),
            lambda: align(a, b, self.spec, method=""),
        ):
            with pytest.raises((AlignmentError, CheckpointMismatchError)) as caught:
                call()
            assert "\n" not in str(caught.value)


def test_an_alignment_is_immutable():
    result = align(*pair(mlp_spec(), 0), mlp_spec())
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.seed = 3  # type: ignore[misc]
