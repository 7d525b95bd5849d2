"""Greedy soups of models of which it is known which belong in."""

from __future__ import annotations

import pytest
import torch

from weightspace.errors import MergeError
from weightspace.merge.by_data import greedy_soup


def test_models_are_taken_while_the_score_does_not_fall() -> None:
    """Numbers near 10 are good; the one far away would drag the mean off, the two on either side make it better."""
    models = [{"w": torch.tensor(each)} for each in (50.0, 9.0, 12.0, 9.5)]
    soup = greedy_soup(models, lambda state: -abs(float(state["w"]) - 10.0))
    assert [each.model for each in soup.tried] == [3, 1, 2, 0]
    assert [each.taken for each in soup.tried] == [True, False, False, False]
    models = [{"w": torch.tensor(each)} for each in (50.0, 9.0, 10.5)]
    soup = greedy_soup(models, lambda state: -abs(float(state["w"]) - 10.0))
    assert [(each.model, each.taken) for each in soup.tried] == [(2, True), (1, True), (0, False)]
    assert float(soup.state["w"]) == 9.75


def test_a_score_that_stays_is_no_fall_and_means_are_equal_weighted() -> None:
    models = [{"w": torch.tensor(each)} for each in (1.0, 2.0, 6.0)]
    soup = greedy_soup(models, lambda _: 0.5)
    assert all(each.taken for each in soup.tried)
    assert [each.model for each in soup.tried] == [0, 1, 2]
    torch.testing.assert_close(soup.state["w"], torch.tensor(3.0))


def test_what_is_scored_was_finished() -> None:
    """The statistics of single models are their own; those of every mean are measured anew, from the bare mean."""
    models = [{"w": torch.tensor(each)} for each in (1.0, 2.0, 3.0)]
    seen = []
    soup = greedy_soup(
        models, lambda state: seen.append(float(state["w"])) or 0.0, lambda state: {"w": state["w"] + 10}
    )
    assert seen == [1.0, 2.0, 3.0, 11.5, 12.0]
    assert float(soup.state["w"]) == 12.0


def test_one_model_is_itself_and_none_is_refused() -> None:
    model = {"w": torch.tensor(1.0)}
    assert greedy_soup([model], lambda _: 1.0).state is model
    with pytest.raises(MergeError, match="at least one model"):
        greedy_soup([], lambda _: 1.0)
