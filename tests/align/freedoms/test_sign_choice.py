from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weightspace.align.freedoms.sign_choice import best_over_signs, best_signs
from weightspace.align.freedoms.sign_layout import Pattern, SignLayout

CUT, LEAVES = ("x", "y"), ("p", "q")
PATTERNS = [
    Pattern(cut + leaf)
    for size in range(3)
    for cut in itertools.combinations(CUT, size)
    for leaf in ((), ("p",), ("q",))
]
LAYOUT = SignLayout("group", {}, CUT, LEAVES)


def value(parts: dict[Pattern, float], signs: dict[str, float]) -> float:
    return sum(part * math.prod(signs[name] for name in pattern) for pattern, part in parts.items())


@given(st.dictionaries(st.sampled_from(PATTERNS), st.integers(-3, 3).map(float), min_size=1))
def test_the_best_of_all_signs(parts: dict[Pattern, float]):
    names = (*CUT, *LEAVES)
    every = [dict(zip(names, row, strict=True)) for row in itertools.product((1.0, -1.0), repeat=len(names))]
    best = max(value(parts, signs) for signs in every)
    tensors = {pattern: torch.tensor([[part, 0.0]]) for pattern, part in parts.items()}
    assert best_over_signs(LAYOUT, parts, tensors.__getitem__).tolist() == [[best, 0.0]]
    found = best_signs(LAYOUT, parts, tensors.__getitem__)
    assert value(parts, {name: float(found[name][0, 0]) for name in names}) == best
    assert all(found[name].tolist()[0][1] == 1.0 for name in names)


@pytest.mark.parametrize("patterns", [[Pattern()], [Pattern("p")], [Pattern("x")]])
def test_every_part_is_asked_for_once(patterns: list[Pattern]):
    asked: list[Pattern] = []

    def part(pattern: Pattern) -> torch.Tensor:
        asked.append(pattern)
        return torch.ones(2, 2)

    assert best_over_signs(LAYOUT, patterns, part).shape == (2, 2)
    assert asked == patterns
    signs = best_signs(LAYOUT, patterns, part)
    assert {sign.shape for sign in signs.values()} == {(2, 2)}
    assert {sign.dtype for sign in signs.values()} == {torch.float64}
