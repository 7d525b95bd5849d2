"""Where the rows of embeddings come from, once models have one vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weightspace.errors import MergeError
from weightspace.merge.recipe.recipe import ModelToken, TokenSource, Zero

PADDING, ZERO, MEAN = -1, -2, -3


@dataclass(frozen=True)
class Rows:
    """Where rows come from.

    Attributes:
        models: Names of the models, the base first.
        own: The row of every token in each model, -1 where it has none (models, tokens).
        donor: Which model every row of each model is taken from, or `PADDING`, `ZERO`, `MEAN` (models, tokens).
        row: Which row of that (models, tokens).
    """

    models: tuple[str, ...]
    own: NDArray[np.int64]
    donor: NDArray[np.int64]
    row: NDArray[np.int64]

    def counts(self, model: int) -> dict[str, int]:
        """How many rows of a model come from where: its own ones, other models by name, `mean`, `zero`, `padding`."""
        donor = self.donor[model]
        from_own = (donor == model) & (self.row[model] == self.own[model])
        found = {"own": int(from_own.sum())}
        for at, name in enumerate(self.models):
            count = int(((donor == at) & ~from_own).sum())
            found |= {name: count} if count else {}
        for name, code in (("mean", MEAN), ("zero", ZERO), ("padding", PADDING)):
            found[name] = int((donor == code).sum())
        return found


def rows_of(
    ids: Mapping[str, int],
    size: int,
    models: Mapping[str, Mapping[str, int]],
    base: str | None,
    tokens: Mapping[str, TokenSource],
) -> Rows:
    """Finds a source for every row, as mergekit defines it.

    A model keeps its own rows. For a token that it lacks it gets the row of the only model that has it, or else of the
    base, or else the mean of those that have it; zeros where none has. What a recipe says of a token comes first.

    Args:
        ids: Tokens of the merged vocabulary and their numbers.
        size: Number of rows, at least as many.
        models: The tokens of each model that have a row, and which.
        base: The base, if there is one.
        tokens: What the recipe says of tokens.

    Raises:
        MergeError: The recipe names a model or a token that is not there.
    """
    names = tuple(models)
    own = np.full((len(names), size), -1, dtype=np.int64)
    for at, known in enumerate(models.values()):
        for token, number in ids.items():
            own[at, number] = known.get(token, -1)
    has = own >= 0
    count = has.sum(0)
    donor = np.full(size, PADDING, dtype=np.int64)
    donor[[*ids.values()]] = ZERO
    donor[count > 1] = MEAN
    if base is not None:
        donor[has[names.index(base)]] = names.index(base)
    donor[count == 1] = has.argmax(0)[count == 1]
    row = np.where(donor >= 0, np.take_along_axis(own, np.maximum(donor, 0)[None], 0)[0], -1)
    forced = np.zeros(size, dtype=bool)
    for token, given in tokens.items():
        number = ids[token]
        donor[number], row[number] = _given(token, given, names, models, own[:, number])
        forced[number] = given.force
    keeps = has & ~forced
    return Rows(
        names, own, np.where(keeps, np.arange(len(names))[:, None], donor[None]), np.where(keeps, own, row[None])
    )


def _given(
    token: str, given: TokenSource, names: tuple[str, ...], models: Mapping[str, Mapping[str, int]], own: NDArray
) -> tuple[int, int]:
    """The model and the row that a recipe names."""
    where, source = f"tokenizer.tokens.{token}", given.source
    if source is None:
        raise MergeError(f"{where}: expected a source (a model, or kind: zero or model_token), found none; add it")
    if isinstance(source, Zero):
        return ZERO, -1
    name = source.model if isinstance(source, ModelToken) else source
    if name not in models:
        raise MergeError(f"{where}: expected one of {', '.join(names)}, found '{name}'")
    at = names.index(name)
    if not isinstance(source, ModelToken):
        found, asked = int(own[at]), token
    elif source.token is not None:
        found, asked = models[name].get(source.token, -1), source.token
    else:
        found, asked = source.token_id if source.token_id in models[name].values() else -1, f"id {source.token_id}"
    if found is None or found < 0:
        raise MergeError(f"{where}: expected a token with a row in {name}, found that '{asked}' has none there")
    return at, found
