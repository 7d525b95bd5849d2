"""Models read with other rows: any piece is a part of the whole, and only rows that it holds are read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from weightspace.checkpoint import TensorInfo
from weightspace.merge.recipe import TokenSource
from weightspace.merge.streaming import Lazily
from weightspace.merge.streaming.vocabulary import shared
from weightspace.merge.streaming.vocabulary.rows import rows_of

NAME, BIAS, OTHER = "wte.weight", "lm_head.bias", "ln_f.weight"
TOKENS = 300


class Counting(Lazily):
    """Counts the elements that are read."""

    read = 0

    def piece(self, name: str, start: int, stop: int) -> Tensor:
        self.read += stop - start
        return super().piece(name, start, stop)


def model(seed: int, rows: int, dtype: torch.dtype, width: int = 5) -> Counting:
    draw = torch.Generator().manual_seed(seed)
    tensors = {NAME: torch.randn(rows, width, generator=draw), BIAS: torch.randn(rows, generator=draw)}
    tensors = {name: tensor.to(dtype) for name, tensor in (tensors | {OTHER: torch.ones(width)}).items()}
    return Counting(tensors, {name: TensorInfo(tuple(each.shape), each.dtype) for name, each in tensors.items()}, {})


@pytest.fixture
def three() -> tuple[dict[str, Counting], dict[str, dict[str, int]]]:
    """Models that each know other tokens in another order."""
    random = np.random.default_rng(0)
    models, known = {}, {}
    for seed, (name, dtype) in enumerate({"a": torch.float32, "b": torch.bfloat16, "c": torch.float64}.items()):
        tokens = random.permutation(TOKENS)[:200]
        known[name] = {f"t{token}": int(row) for row, token in enumerate(tokens)}
        models[name] = model(seed, 210, dtype)
    return models, known


def whole(models: dict[str, Counting], known: dict[str, dict[str, int]], own: str, name: str, base: str) -> Tensor:
    """What the rules say, row by row."""
    tensors = {each: model.piece(name, 0, model.info(name).nbytes).reshape(210, -1) for each, model in models.items()}
    rows = []
    for at in range(TOKENS):
        has = {each: tensors[each][tokens[f"t{at}"]].double() for each, tokens in known.items() if f"t{at}" in tokens}
        mean = sum(has.values()) / len(has) if has else torch.zeros(tensors[own].shape[1], dtype=torch.float64)
        rows.append(has.get(own, has.get(base, mean)))
    filled = torch.stack(rows)
    return torch.cat([filled, filled.mean(0).expand(20, -1)])


@pytest.mark.parametrize("own", ["a", "b", "c"])
@pytest.mark.parametrize("name", [NAME, BIAS])
@pytest.mark.parametrize("base", [None, "b"])
def test_any_piece_is_a_part_of_the_whole(three, own: str, name: str, base: str | None) -> None:
    models, known = three
    rows = rows_of({f"t{at}": at for at in range(TOKENS)}, TOKENS + 20, known, base, {})
    view = shared(models, rows, (NAME, BIAS))[own]
    expected = whole(models, known, own, name, base or "")
    assert view.info(name).shape == (TOKENS + 20, *models[own].info(name).shape[1:])
    assert view.info(name).dtype == models[own].info(name).dtype
    assert view.info(OTHER) == models[own].info(OTHER)
    flat = expected.reshape(-1)
    for start, stop in [(0, len(flat)), (0, 1), (7, 8), (3, 777), (len(flat) - 103, len(flat) - 1), (13, 13 + 640)]:
        torch.testing.assert_close(view.piece(name, start, min(stop, len(flat))).double(), flat[start:stop])


def test_rows_that_are_not_needed_are_not_read(three) -> None:
    models, known = three
    rows = rows_of({f"t{at}": at for at in range(TOKENS)}, TOKENS, known, "a", {})
    view = shared(models, rows, (NAME,))["a"]
    view.piece(NAME, 0, 40 * 5)
    assert sum(each.read for each in models.values()) <= 40 * 5 * 5


def test_forced_rows_are_the_same_in_every_model(three) -> None:
    models, known = three
    token = next(iter(known["c"]))
    tokens = {token: TokenSource(source="c", force=True)}
    rows = rows_of({f"t{at}": at for at in range(TOKENS)}, TOKENS, known, None, tokens)
    at = int(token[1:]) * 5
    found = [view.piece(NAME, at, at + 5).double() for view in shared(models, rows, (NAME,)).values()]
    expected = models["c"].piece(NAME, 0, 5).double()
    for each in found:
        torch.testing.assert_close(each, expected)
