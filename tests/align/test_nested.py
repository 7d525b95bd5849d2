"""Matching of similarities against all elements, one by one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.align.oracle import elements, spec_of
from weightspace.align.nested import match_similarities
from weightspace.align.streams import frozen_and_movable
from weightspace.errors import AlignmentError
from weightspace.symmetry import Element, Group, Spec

FROZEN = Group("place", 2, (), ())
CASES = {
    "flat": (Group("a", 4), Group("b", 3)),
    "heads": (Group("h", 3), Group("qk", 2, ("h",)), Group("vo", 2, ("h",))),
    "three levels": (Group("g", 2), Group("h", 2, ("g",)), Group("d", 2, ("g", "h"))),
    "copies in place": (FROZEN, Group("d", 3, ("place",))),
    "nested in a copy": (FROZEN, Group("h", 2), Group("d", 2, ("place", "h"))),
    "two outer groups": (Group("e", 2), Group("h", 2), Group("d", 2, ("e", "h"))),
}


def similarity(spec: Spec, group: Group, generator: torch.Generator) -> Tensor:
    groups = {each.name: each for each in spec.all_groups}
    frozen, movable = frozen_and_movable(group, groups)
    copies = math.prod(groups[name].size for name in frozen)
    m = group.size * math.prod(groups[name].size for name in movable)
    return torch.randn(copies, m, m, generator=generator, dtype=torch.float64)


def score(spec: Spec, similarities: dict[str, Tensor], element: Element) -> float:
    """Sum of the similarities of every unit of A with the unit of B that takes its slot, one unit at a time."""
    groups = {group.name: group for group in spec.all_groups}
    total = 0.0
    for name, matrix in similarities.items():
        group = groups[name]
        frozen, movable = frozen_and_movable(group, groups)
        order = [*frozen, *movable, name]
        sizes = [groups[each].size for each in order]
        table = matrix.reshape(*sizes[: len(frozen)], *sizes[len(frozen) :], *sizes[len(frozen) :])
        for index in torch.cartesian_prod(*map(torch.arange, sizes)).reshape(-1, len(sizes)).tolist():
            new = dict(zip(order, index, strict=True))

            def old(each: str, new: dict[str, int] = new) -> int:
                if not groups[each].movable:
                    return new[each]
                return int(element.perm(each)[(*(new[outer] for outer in groups[each].depends_on), new[each])])

            total += float(table[(*index, *(old(each) for each in order[len(frozen) :]))])
    return total


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", [name for name in CASES if name != "two outer groups"])
def test_no_element_is_better(name: str, seed: int) -> None:
    spec = spec_of(CASES[name], {})
    generator = torch.Generator().manual_seed(seed)
    similarities = {group.name: similarity(spec, group, generator) for group in spec.groups}
    names = [group.name for group in spec.groups]
    found = score(spec, similarities, match_similarities(spec, similarities))
    assert found == pytest.approx(max(score(spec, similarities, element) for element in elements(spec, names)))


@pytest.mark.parametrize("name", CASES)
def test_a_planted_element_is_found(name: str) -> None:
    spec = spec_of(CASES[name], {})
    generator = torch.Generator().manual_seed(0)
    planted = spec.random_element(generator)
    similarities = {group.name: similarity(spec, group, generator) for group in spec.groups}
    for group, matrix in similarities.items():  # 1 for units of one slot under the planted element, else 0
        for place in torch.cartesian_prod(*map(torch.arange, matrix.shape)).reshape(-1, 3).tolist():
            alone = torch.zeros_like(matrix)
            alone[tuple(place)] = 1.0
            matrix[tuple(place)] = score(spec, {group: alone}, planted)
    found = match_similarities(spec, similarities)
    assert all(torch.equal(found.perm(group.name), planted.perm(group.name)) for group in spec.groups)


def test_groups_that_were_not_seen_stay() -> None:
    spec = spec_of(CASES["heads"], {})
    generator = torch.Generator().manual_seed(0)
    found = match_similarities(spec, {"qk": similarity(spec, spec.groups[1], generator)})
    assert set(found.perms) == {"h", "qk"}  # heads are told apart by what is inside


def test_nan_is_refused() -> None:
    spec = spec_of((Group("a", 2),), {})
    with pytest.raises(AlignmentError, match="NaN"):
        match_similarities(spec, {"a": torch.full((1, 2, 2), torch.nan)})
