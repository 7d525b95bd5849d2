"""Networks of different widths: units without a counterpart."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from tests.align.oracle import State, attention_spec, fixed, grouped_queries_spec, mlp_spec, random_state, spec_of
from weightspace.align.widths import align_widths
from weightspace.errors import AlignmentError
from weightspace.symmetry import Element, Group, Spec
from weightspace.symmetry.axis import GroupAxis

CASES = {
    "mlp": (mlp_spec(64, 9, 8, 64), mlp_spec(64, 6, 8, 64)),
    "heads": (attention_spec(heads=4, qk=5, vo=4, width=99), attention_spec(heads=3, qk=3, vo=4, width=99)),
    "grouped queries": (
        grouped_queries_spec(kv=4, queries=3, vo=5, width=99),
        grouped_queries_spec(kv=3, queries=2, vo=3, width=99),
    ),
}


def part_of(wide: Spec, narrow: Spec, state: State, chosen: Element) -> State:
    """The narrow network that some units of a wide one make: those that come first under an element."""
    moved = wide.apply(chosen, state)
    result = {}
    for name, tensor in narrow.tensors.items():
        result[name] = torch.zeros(tensor.shape)
        for large, small in zip(wide.blocks[name], narrow.blocks[name], strict=True):
            small.write(result[name], large.read(moved[name])[tuple(slice(dim.size) for dim in small.dims)])
    return result


@pytest.mark.parametrize("name", CASES)
def test_the_units_of_a_part_are_found_and_the_others_have_none(name: str):
    wide, narrow = CASES[name]
    sizes = {group.name: group.size for group in narrow.groups}
    for seed in range(5):
        a = random_state(wide, seed)
        chosen = wide.random_element(torch.Generator().manual_seed(seed))
        b = part_of(wide, narrow, a, chosen)
        found = align_widths(a, b, wide, narrow, seed=seed)
        back = chosen.inverse()
        for group in wide.groups:
            expected = back.perm(group.name)
            exists = expected < sizes[group.name]
            for outer, old in zip(group.depends_on, back.outer_coordinates(group), strict=True):
                exists &= (old < sizes[outer]).unsqueeze(-1)
            assert torch.equal(found.counterparts[group.name], torch.where(exists, expected, -1))
        for tensor, values in found.padded.items():
            kept = values != 0
            assert torch.equal(values[kept], a[tensor][kept])


def test_one_layer_is_the_rectangular_assignment():
    def spec(n: int) -> Spec:
        h = GroupAxis("h", n)
        return spec_of((Group("h", n),), {"in": (h, fixed(3)), "bias": (h,), "out": (fixed(2), h)})

    wide, narrow = spec(9), spec(5)
    for seed in range(10):
        a, b = random_state(wide, 2 * seed), random_state(narrow, 2 * seed + 1)
        found = align_widths(a, b, wide, narrow, method="git-rebasin")
        scores = a["in"] @ b["in"].T + torch.outer(a["bias"], b["bias"]) + a["out"].T @ b["out"]
        rows, columns = linear_sum_assignment(scores.numpy(), maximize=True)
        expected = torch.full((9,), -1)
        expected[torch.from_numpy(rows)] = torch.from_numpy(columns)
        gained = sum(float(scores[row, int(u)]) for row, u in enumerate(found.counterparts["h"]) if u >= 0)
        assert gained == pytest.approx(float(scores[rows, columns].sum()), abs=1e-4)
        assert int((found.counterparts["h"] >= 0).sum()) == 5


def test_equal_widths_are_the_ordinary_alignment():
    spec = mlp_spec()
    a = random_state(spec, 0)
    element = spec.random_element(torch.Generator().manual_seed(0))
    found = align_widths(a, spec.apply(element, a), spec, spec)
    assert all(torch.equal(found.padded[name], a[name]) for name in a)
    assert all(bool((units >= 0).all()) for units in found.counterparts.values())


@pytest.mark.parametrize(
    ("wide", "narrow", "message"),
    [
        (mlp_spec(first=4), mlp_spec(first=6), "narrow network to have at most 4 units in group 'a', found 6"),
        (mlp_spec(), mlp_spec(inputs=4), "tensor '0.weight': expected both networks to have the same symmetry"),
        (mlp_spec(), attention_spec(), "expected it in both networks, found it in one"),
    ],
)
def test_what_is_not_a_narrower_network_is_refused(wide: Spec, narrow: Spec, message: str):
    with pytest.raises(AlignmentError, match=message):
        align_widths(random_state(wide, 0), random_state(narrow, 1), wide, narrow)
