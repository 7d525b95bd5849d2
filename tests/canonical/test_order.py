"""The order of units: complete, as far as weights tell units apart, against all group elements tried one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.align.oracle import (
    State,
    attention_spec,
    bilinear_spec,
    elements,
    fixed,
    grouped_queries_spec,
    mlp_spec,
    random_state,
    recurrent_spec,
    spec_of,
)
from tests.canonical.orbits import same
from weightspace.canonical import canonicalize
from weightspace.canonical.measures import Exact, Rounded
from weightspace.canonical.order import order_of
from weightspace.symmetry import Group, Spec
from weightspace.symmetry.axis import GroupAxis

SPECS = {
    "perceptron": mlp_spec(),
    "recurrent": recurrent_spec(),
    "gates": recurrent_spec(n=3, gates=2),
    "attention": attention_spec(),
    "grouped queries": grouped_queries_spec(),
    "bilinear": bilinear_spec(),
}
PERMUTATION = ("permutation",)


def graph_spec(n: int) -> Spec:
    """One tensor, with one group on both axes: a graph, and its canonical form."""
    g = GroupAxis("g", n)
    return spec_of((Group("g", n),), {"w": (g, g)})


def equivalent(spec: Spec, first: State, second: State) -> bool:
    """Whether some group element leads from one state to the other, by trying all."""
    return any(
        same(spec.apply(element, first), second) for element in elements(spec, [group.name for group in spec.groups])
    )


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
@given(seed=st.integers(0, 10**6))
@settings(max_examples=25)
def test_tied_units_too_come_out_the_same_bit_for_bit(spec: Spec, seed: int):
    state = random_state(spec, seed, integers=True)
    moved = spec.apply(spec.random_element(torch.Generator().manual_seed(seed)), state)
    form = canonicalize(state, spec, PERMUTATION)
    assert same(canonicalize(moved, spec, PERMUTATION).tensors, form.tensors)
    assert same(form.tensors, spec.apply(form.transformation.element, state))


@pytest.mark.parametrize(
    "spec",
    [mlp_spec(2, 3, 3, 1), recurrent_spec(n=3), attention_spec(heads=2, qk=2, vo=2, width=1), graph_spec(4)],
    ids=["perceptron", "recurrent", "attention", "graph"],
)
@given(data=st.data())
@settings(max_examples=25)
def test_forms_are_equal_just_where_weights_are_equivalent(spec: Spec, data: st.DataObject):
    """Against all elements. Entries of 0 and 1 make units that nothing but their place in the whole tells apart."""
    states = []
    for _ in range(2):
        seed = data.draw(st.integers(0, 10**6))
        generator = torch.Generator().manual_seed(seed)
        states.append(
            {
                name: torch.randint(0, 2, tensor.shape, generator=generator).float()
                for name, tensor in spec.tensors.items()
            }
        )
    first, second = (canonicalize(state, spec, PERMUTATION).tensors for state in states)
    assert same(first, second) == equivalent(spec, *states)


@pytest.mark.parametrize(
    "edges",
    [
        [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)],  # a hexagon,
        [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)],  # and two triangles, which refinement cannot tell from it
    ],
)
@pytest.mark.parametrize("measure", [Exact(), Rounded(1e-11)])
def test_regular_graphs_are_told_apart_by_setting_units_apart(edges: list[tuple[int, int]], measure: Exact | Rounded):
    spec = graph_spec(6)
    w = torch.zeros(6, 6, dtype=torch.float64)
    for i, j in edges:
        w[i, j] = w[j, i] = 1.0
    forms = set()
    for seed in range(8):
        moved = spec.apply(spec.random_element(torch.Generator().manual_seed(seed)), {"w": w})
        order = order_of(spec, moved, measure)
        assert all(ties.tied == 0 for ties in order.ties.values())
        forms.add(spec.apply(order.element, moved)["w"].numpy().tobytes())
    assert len(forms) == 1


def test_units_are_sorted_by_length():
    spec = mlp_spec()
    form = canonicalize(random_state(spec, 0), spec, PERMUTATION).tensors
    names = ("0.weight", "0.bias", "2.weight")
    shares = [form[name].double().square() / form[name].double().square().sum() for name in names]
    lengths = shares[0].sum(1) + shares[1] + shares[2].sum(0)
    assert bool((lengths[1:] < lengths[:-1]).all())


def test_equal_units_are_reported_as_interchangeable():
    spec = mlp_spec(first=6)
    state = random_state(spec, 0)
    for copy in (3, 5):
        state["0.weight"][copy], state["0.bias"][copy] = state["0.weight"][1], state["0.bias"][1]
        state["2.weight"][:, copy] = state["2.weight"][:, 1]
    for measure in (Exact(), Rounded(1e-5)):
        ties = order_of(spec, state, measure).ties
        assert {name: (t.interchangeable, t.tied) for name, t in ties.items()} == {"a": (3, 0)}


def test_units_that_differ_by_less_than_rounding_are_close():
    spec = spec_of((Group("g", 2),), {"w": (GroupAxis("g", 2), fixed(1))})
    tolerance = 1e-5
    state = {"w": torch.tensor([[1.0], [1.0]], dtype=torch.float64)}
    keys, slack = Rounded(tolerance).keys(relation_of(spec, state), 0, cells_of(spec), 0)
    assert slack is not None
    gap = float(slack[0] / keys[0].abs())
    state["w"][1] = 1 + gap  # just at the limit
    assert order_of(spec, state, Rounded(tolerance)).ties["g"].close > 0
    state["w"][1] = 1 + 100 * gap
    assert order_of(spec, state, Rounded(tolerance)).ties == {}


def relation_of(spec: Spec, state: State):
    from weightspace.canonical.relations import relations_of

    (relation,) = relations_of(spec, state)
    return relation


def cells_of(spec: Spec):
    from weightspace.canonical.cells import Cells

    return Cells(spec.all_groups)


def test_more_equal_units_than_can_be_tried_are_one_step():
    """A hundred dead units."""
    spec = mlp_spec(first=120)
    state = random_state(spec, 0)
    for name, axis in (("0.weight", 0), ("0.bias", 0), ("2.weight", 1)):
        state[name].index_fill_(axis, torch.arange(10, 110), 0.0)
    order = order_of(spec, state, Exact())
    assert order.ties["a"].interchangeable == 100
    assert order.ties["a"].tied == 0


def test_signed_zeros_differ_for_permutations_alone():
    spec = mlp_spec()
    state = random_state(spec, 0)
    state["0.weight"][1], state["0.bias"][1], state["2.weight"][:, 1] = 0.0, 0.0, 0.0
    state["0.weight"][2], state["0.bias"][2], state["2.weight"][:, 2] = -0.0, 0.0, 0.0
    assert order_of(spec, state, Exact()).ties == {}
    assert order_of(spec, state, Exact(signed_zeros=False)).ties["a"].interchangeable == 2


def test_integers_and_complex_numbers_tell_units_apart():
    g = GroupAxis("g", 4)
    spec = spec_of((Group("g", 4),), {"n": (g,), "z": (g,), "m": (g,)})
    state = {
        "n": torch.tensor([1, 1, 2, 2]),
        "z": torch.tensor([1 + 1j, 1 - 1j, 1 + 1j, 1 - 1j]),
        "m": torch.tensor([True, True, True, True]),
    }
    form = canonicalize(state, spec, PERMUTATION)
    assert form.unresolved == 0
    for seed in range(5):
        moved = spec.apply(spec.random_element(torch.Generator().manual_seed(seed)), state)
        assert same(canonicalize(moved, spec, PERMUTATION).tensors, form.tensors)
