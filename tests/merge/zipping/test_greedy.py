"""Greedy zips against one that looks at every pair in every step."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from weightspace.merge.zipping import greedy
from weightspace.merge.zipping.greedy import zip_units


def slow(similar: Tensor, models: int, size: int, alpha: float, beta: float) -> list[list[int]]:
    """The rules word by word, on sets of units, similarities in a table of pairs."""
    n = len(similar) // models
    homes = {unit: {unit} for unit in range(len(similar))}
    like = {(one, two): float(similar[one, two]) for one, two in itertools.permutations(homes, 2)}
    budget = dict.fromkeys(range(models), int(beta * n + 1e-9))

    def networks(units: set[int]) -> list[int]:
        return [unit // n for unit in units]

    def begun(units: set[int]) -> bool:
        return len(set(networks(units))) > 1

    while len(homes) > size:
        full = sum(map(begun, homes.values())) >= size
        best = None
        for one, two in itertools.combinations(sorted(homes), 2):
            shared = set(networks(homes[one])) & set(networks(homes[two]))
            if any(not budget[network] for network in shared):
                continue
            if full and begun(homes[one]) and begun(homes[two]):
                continue
            if full and not begun(homes[one]) and not begun(homes[two]) and not shared:
                continue
            if best is None or like[one, two] > like[best]:
                best = one, two
        assert best is not None
        one, two = best
        for network in set(networks(homes[one])) & set(networks(homes[two])):
            budget[network] -= 1
        homes[one] |= homes.pop(two)
        for other, units in homes.items():
            if other != one:
                together = networks(homes[one] | units)
                factor = alpha if len(set(together)) < len(together) else 1.0
                like[one, other] = like[other, one] = factor * min(like[one, other], like[two, other])
    of = {unit: number for number, (_, units) in enumerate(sorted(homes.items())) for unit in units}
    return [[of[network * n + unit] for unit in range(n)] for network in range(models)]


@st.composite
def cases(draw) -> tuple[Tensor, int, int, float, float]:
    models, n = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    size = draw(st.integers(n, models * n))
    values = draw(st.sampled_from(["ties", "real"]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    units = models * n
    upper = torch.randint(-2, 3, (units, units), generator=generator).double()
    if values == "real":
        upper = torch.randn(units, units, generator=generator, dtype=torch.float64)
    alpha, beta = draw(st.sampled_from([0.0, 0.3, 1.0])), draw(st.sampled_from([0.0, 0.125, 0.34, 1.0]))
    return upper.triu() + upper.triu(1).T, models, size, alpha, beta


@given(cases())
def test_it_makes_the_choices_of_the_slow_one(case) -> None:
    similar, models, size, alpha, beta = case
    found = zip_units(similar, models, size, alpha=alpha, beta=beta)
    assert [own.tolist() for own in found] == slow(similar, models, size, alpha, beta)
    assert set(torch.cat(found).tolist()) == set(range(size))


@given(cases())
def test_budgets_are_kept_and_without_any_no_home_holds_two_of_one_network(case) -> None:
    similar, models, size, alpha, beta = case
    n = len(similar) // models
    for own in zip_units(similar, models, size, alpha=alpha, beta=beta):
        assert n - len(own.unique()) <= int(beta * n + 1e-9)


def test_looking_at_few_rows_together_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.randn(60, 60, generator=torch.Generator().manual_seed(0))
    similar = values + values.T
    expected = zip_units(similar, 3, 20, alpha=0.3, beta=0.2)
    monkeypatch.setattr(greedy, "_CHUNK", 100)
    found = zip_units(similar, 3, 20, alpha=0.3, beta=0.2)
    assert all(torch.equal(one, two) for one, two in zip(expected, found, strict=True))


def test_homes_are_in_the_order_of_the_first_network() -> None:
    values = torch.randn(40, 40, generator=torch.Generator().manual_seed(0))
    first, second = zip_units(values + values.T, 2, 20, alpha=0.3, beta=0.0)
    assert first.tolist() == list(range(20))
    assert sorted(second.tolist()) == list(range(20))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"size": 3}, "expected 4 to 8 units, found 3"), ({"size": 9}, "found 9"), ({"alpha": 1.5}, "alpha: .* found 1.5"),
     ({"beta": -0.1}, "beta: .* found -0.1")],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(changes: dict[str, float], message: str) -> None:
    given: dict = {"size": 4, "alpha": 0.3, "beta": 0.1} | changes
    with pytest.raises(ValueError, match=message):
        zip_units(torch.eye(8), 2, given["size"], alpha=given["alpha"], beta=given["beta"])
