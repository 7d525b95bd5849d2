"""Tightness: symmetries that a derivation misses on purpose are found, and none are found where it is tight."""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Callable, Sequence
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.symmetry import networks
from tests.symmetry.networks import Network
from weightspace.source import Inputs, Program
from weightspace.symmetry import algebra
from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels, side_by_side
from weightspace.symmetry.propagate import propagate
from weightspace.symmetry.rules import registry
from weightspace.symmetry.tightness import Missed, Tightness, missed_transpositions
from weightspace.symmetry.trace import trace

aten = torch.ops.aten


def measured(module: nn.Module, *inputs: Tensor, tries: int = 64, seed: int = 0) -> Tightness:
    """Tightness on two batches of random inputs."""
    context = propagate(trace(module.eval(), inputs))
    program = Program(module, Inputs(inputs))
    others = Inputs(tuple(torch.randn_like(x) if x.is_floating_point() else x for x in inputs))
    forwards = [program.outputs, lambda state: program.outputs(state, others)]
    return missed_transpositions(context, forwards, program.state(), tries=tries, seed=seed)


def stack(*sizes: int, activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    """A stack of linear layers."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for n, m in itertools.pairwise(sizes):
        layers += [nn.Linear(n, m), activation()]
    return nn.Sequential(*layers[:-1])


def where(missed: Sequence[Missed]) -> set[tuple[str, tuple[tuple[str, int], ...]]]:
    return {(entry.kind, tuple(sorted(entry.places))) for entry in missed}


TIGHT: list[Callable[[], Network]] = [
    networks.mlp,
    networks.residual,
    networks.cifar_resnet20,
    networks.grouped_convolutions,
    networks.norms,
    networks.lstm,
    networks.attention_with_bias_keys,
    networks.encoder,
    networks.slopes,
    networks.llama,
]


@pytest.mark.parametrize("build", TIGHT, ids=lambda build: build.__name__)
def test_nothing_is_missed_where_the_derivation_is_tight(build: Callable[[], Network]):
    torch.manual_seed(0)
    module, inputs, kwargs = build()
    context = propagate(trace(module.eval(), inputs, kwargs))
    program = Program(module, Inputs(inputs, kwargs))
    steps: list[tuple[int, int]] = []
    found = missed_transpositions(
        context, [program.outputs], program.state(), progress=lambda *step: steps.append(step)
    )
    assert found.missed == ()
    assert 5 <= found.families <= found.tried <= len(steps)
    assert steps == [(number + 1, len(steps)) for number in range(len(steps))]
    assert len(steps) >= 64


class Padded(nn.Module):
    """A shortcut with zeros on both sides, which form one group."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 1), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        return self.head((F.relu(self.branch(x)) + F.pad(x, (0, 0, 0, 0, 2, 2))).mean((2, 3)))


def test_the_sides_of_a_padded_shortcut_are_one_group():
    assert measured(Padded(), torch.randn(2, 3, 4, 4)).missed == ()


# ----------------------------------------------------------------------------------------------- planted untightness

HIDDEN = (("0.bias", 0), ("0.weight", 0), ("2.weight", 1))


def test_an_operator_without_a_rule_is_found_on_both_of_its_sides(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(registry._TABLE, aten.tanh.default, lambda context, call: context.unknown(call))
    found = measured(stack(4, 5, 3), torch.randn(8, 4))
    assert where(found.missed) == {("joint", HIDDEN)}
    (missed,) = found.missed
    assert missed.size == 5
    assert missed.found == missed.tried > 1
    assert "no rule for aten.tanh" in missed.reason
    assert json.loads(json.dumps(found.to_json()))["missed"][0]["places"] == [list(place) for place in HIDDEN]


def freezing(context: Context, call: Call) -> Labels:
    """Freezes and passes its labels."""
    context.freeze(*context.get(call.inputs[0]), why="planted")
    return context.get(call.inputs[0])


def test_a_rule_that_freezes_too_much_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(registry._TABLE, aten.tanh.default, freezing)
    found = measured(stack(4, 5, 3), torch.randn(8, 4))
    assert ("within", HIDDEN) in where(found.missed)
    assert {entry.reason for entry in found.missed} == {"planted"}


def test_a_rule_that_cuts_too_much_is_found(monkeypatch: pytest.MonkeyPatch):
    def cutting(context: Context, call: Call) -> Labels:
        labels = context.get(call.inputs[0])
        labels[1] = side_by_side(context.algebra.carve(labels[1], [[(0, 3)], [(3, 3)]]))
        return labels

    monkeypatch.setitem(registry._TABLE, aten.tanh.default, cutting)
    found = measured(stack(4, 6, 3), torch.randn(8, 4))
    assert where(found.missed) == {("across", HIDDEN)}
    assert found.missed[0].reason == "split"


def test_a_rule_that_ties_too_much_is_found(monkeypatch: pytest.MonkeyPatch):
    def tying(context: Context, call: Call) -> Labels:
        labels = context.get(call.inputs[0])
        first = context.trace.tensors["0.weight"].key
        labels[1] = context.unify(labels[1], context.labels[first][0])
        return labels

    monkeypatch.setitem(registry._TABLE, aten.tanh.default, tying)
    found = measured(stack(4, 5, 5, 3), torch.randn(8, 4), tries=200)
    assert {entry.kind for entry in found.missed} == {"untied"}
    assert found.missed[0].found < found.missed[0].tried


def test_heads_that_share_one_permutation_are_found(monkeypatch: pytest.MonkeyPatch):
    module, inputs, _ = networks.attention()
    # The package exports the function of the same name.
    monkeypatch.setattr(sys.modules["weightspace.symmetry.derive"], "dependencies", lambda context, atoms: {})
    found = measured(module, *inputs)
    assert {entry.kind for entry in found.missed} == {"per outer"}
    assert {entry.size for entry in found.missed} == {4}
    assert len(found.missed) == 2  # queries with keys, and values with the output


class Halves(nn.Module):
    """Two layers that read the two halves of a third one."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.first, self.second = nn.Linear(4, 10), nn.Linear(5, 3), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        u, v = self.both(x).view(-1, 2, 5).unbind(1)
        return self.first(u.tanh()) + self.second(v.sigmoid())


def test_the_halves_of_an_axis_are_two_groups(monkeypatch: pytest.MonkeyPatch):
    assert measured(Halves(), torch.randn(8, 4)).missed == ()
    monkeypatch.setattr(algebra, "MOST_SEGMENTS", 0)  # then they stay one inner index of a product
    found = measured(Halves(), torch.randn(8, 4), tries=200)
    assert "per outer" in {entry.kind for entry in found.missed}
    half = {("both.weight", 0), ("both.bias", 0)}
    assert all(half < set(entry.places) for entry in found.missed)


def test_a_rule_that_ties_the_parts_of_an_axis_is_found(monkeypatch: pytest.MonkeyPatch):
    right = registry._TABLE[aten.unbind.int]

    def tying(context: Context, call: Call) -> tuple[Labels, ...]:
        first, second = cast("tuple[Labels, Labels]", right(context, call))
        context.unify(first[1], second[1])
        return first, second

    monkeypatch.setitem(registry._TABLE, aten.unbind.int, tying)
    found = measured(Halves(), torch.randn(8, 4), tries=200)
    assert {entry.kind for entry in found.missed} == {"untied"}


# ----------------------------------------------------------------------------------------------- weights without effect


class Idle(nn.Module):
    """Reads a matrix without effect, and a table in which two rows of six matter."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.layer = nn.Embedding(6, 4), nn.Linear(4, 3)
        self.nothing = nn.Parameter(torch.randn(5, 4))

    def forward(self, index: Tensor) -> Tensor:
        x = self.table(index)
        return self.layer(x) + 0 * (x @ self.nothing.t()).cumsum(-1).sum()


def test_weights_without_effect_are_not_missed():
    found = measured(Idle(), torch.tensor([[1, 2, 1]]), tries=40)
    assert found.missed == ()
    assert [entry.places for entry in found.idle if entry.kind == "within"] == [(("nothing", 0),)]
    assert found.to_json()["idle"]


def test_a_dead_class_is_not_missed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(registry._TABLE, aten.tanh.default, freezing)

    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last((self.first(x).tanh() - 2).relu())

    found = measured(Dead(), torch.randn(8, 4))
    assert found.missed == ()
    assert (("first.weight", 0), ("first.bias", 0), ("last.weight", 1)) in {entry.places for entry in found.idle}


def test_outputs_that_are_not_finite_tell_nothing():
    class Infinite(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) / 0

    found = measured(Infinite(), torch.randn(8, 4))
    assert (found.tried, found.missed) == (0, ())
    assert not math.isfinite(found.noise)


# ----------------------------------------------------------------------------------------------- against brute force


def brute_force(sizes: Sequence[int]) -> set[frozenset[tuple[str, int]]]:
    """Every set of axes of a stack on which some transposition of the same two indices preserves the function."""
    generator = torch.Generator().manual_seed(1)
    shapes = {}
    for layer, (n, m) in enumerate(itertools.pairwise(sizes)):
        shapes |= {f"{2 * layer}.weight": (m, n), f"{2 * layer}.bias": (m,)}
    state = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    x = torch.randn(8, sizes[0], generator=generator, dtype=torch.float64)

    def run(weights: dict[str, Tensor]) -> Tensor:
        y = x
        for layer in range(len(sizes) - 1):
            y = F.linear(y if layer == 0 else y.tanh(), weights[f"{2 * layer}.weight"], weights[f"{2 * layer}.bias"])
        return y

    expected = run(state)
    found = set()
    for size in set(sizes):
        places = [(name, axis) for name, shape in shapes.items() for axis, n in enumerate(shape) if n == size]
        chosen = [each for count in range(1, len(places) + 1) for each in itertools.combinations(places, count)]
        for some, (i, j) in itertools.product(chosen, itertools.combinations(range(size), 2)):
            perm = torch.arange(size)
            perm[[i, j]] = perm[[j, i]]
            moved = dict(state)
            for name, axis in some:
                moved[name] = moved[name].index_select(axis, perm)
            if torch.allclose(run(moved), expected, rtol=1e-9, atol=1e-9):
                found.add(frozenset(some))
    return found


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(2, 3), min_size=3, max_size=4), st.data())
def test_what_is_missed_is_what_brute_force_finds_and_the_spec_lacks(sizes: list[int], data: st.DataObject):
    frozen = data.draw(st.sets(st.integers(0, len(sizes) - 3)))
    calls = itertools.count()

    def sometimes(context: Context, call: Call) -> Labels:
        return (freezing if next(calls) in frozen else lambda c, call: c.get(call.inputs[0]))(context, call)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._TABLE, aten.tanh.default, sometimes)
        found = measured(stack(*sizes), torch.randn(8, sizes[0]), seed=len(frozen))
    lacking = {frozenset({(f"{2 * n}.weight", 0), (f"{2 * n}.bias", 0), (f"{2 * n + 2}.weight", 1)}) for n in frozen}
    possible = brute_force(sizes)
    assert lacking <= possible
    assert {frozenset(entry.places) for entry in found.missed if entry.kind == "within"} == lacking
    assert {frozenset(entry.places) for entry in found.missed} <= possible
