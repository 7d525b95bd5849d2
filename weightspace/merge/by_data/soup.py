"""Greedy soups: the mean of those models that do not make it worse (Wortsman et al. 2022, Model soups, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from weightspace.errors import MergeError
from weightspace.merge.interpolate import interpolate

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Tried:
    """A model that was tried.

    Attributes:
        model: Which one.
        alone: Its score.
        together: The score of the soup with it.
        taken: Whether it stayed in.
    """

    model: int
    alone: float
    together: float
    taken: bool


@dataclass(frozen=True)
class Soup:
    """A mean of some of the models.

    Attributes:
        state: Its weights.
        tried: All models, in the order in which they were tried.
    """

    state: State
    tried: tuple[Tried, ...]


def greedy_soup(
    models: Sequence[State],
    score: Callable[[State], float],
    finish: Callable[[State], State] = lambda state: state,
    *,
    progress: Callable[[int, int, str], None] | None = None,
) -> Soup:
    """Adds models to a mean, the best first, each if the score does not fall.

    Args:
        models: Their weights, in one coordinate system. Equally good ones are tried in this order.
        score: How good weights are on held-out examples; larger is better.
        finish: What is done to every mean before it is scored, such as measuring the statistics of batch norms again.
        progress: Called with (scores done, scores in all, what is going on).

    Raises:
        MergeError: There are no models.
        CheckpointMismatchError: They differ in a name or a shape.
    """
    if not models:
        raise MergeError("greedy soup: expected at least one model, found none; give models")
    total = 2 * len(models) - 1

    def told(done: int, what: str) -> None:
        if progress is not None:
            progress(done, total, what)

    alone = []
    for number, model in enumerate(models):
        told(number, f"model {number + 1} alone")
        alone.append(score(model))
    first, *others = sorted(range(len(models)), key=lambda number: -alone[number])
    state, mean, best, members = models[first], models[first], alone[first], 1
    tried = [Tried(first, best, best, True)]
    for number in others:
        told(len(models) + len(tried) - 1, f"model {number + 1} in the soup")
        raw = interpolate(mean, models[number], 1.0 / (members + 1))
        candidate = finish(raw)
        together = score(candidate)
        tried.append(Tried(number, alone[number], together, together >= best))
        if together >= best:
            state, mean, best, members = candidate, raw, together, members + 1
    return Soup(state, tuple(tried))
