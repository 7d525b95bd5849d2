"""Estimates of memory: what makes them grow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from weightspace.checkpoint import TensorInfo
from weightspace.merge.recipe import recipe_of
from weightspace.merge.streaming import Lazily, plan_merge
from weightspace.merge.streaming.memory import peak_memory


class OfFile:
    """A model of one matrix, of which only the header is looked at."""

    def __init__(self, rows: int, columns: int = 1024, dtype: torch.dtype = torch.bfloat16) -> None:
        self._info = TensorInfo((rows, columns), dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(("w",))

    def __contains__(self, name: object, /) -> bool:
        return name == "w"

    def info(self, name: str) -> TensorInfo:
        return self._info

    def piece(self, name: str, start: int, stop: int) -> Tensor:
        raise AssertionError("only headers are read")

    def aliases(self) -> dict[str, str]:
        return {}


def memory(method: str, rows: int, workers: int = 1, **options: Any) -> int:
    content = {"merge_method": method, "models": [{"model": "a"}, {"model": "b"}], "parameters": options}
    content |= {} if method == "linear" else {"base_model": "base"}
    models = {name: OfFile(rows) for name in ("base", "a", "b")}
    return peak_memory(plan_merge(recipe_of(content, "test"), models), models, workers)


def test_linear_takes_the_same_for_every_size() -> None:
    assert memory("linear", 10_000) == memory("linear", 1_000_000)
    assert memory("linear", 10_000, workers=4) == 4 * memory("linear", 10_000)


def test_what_is_kept_of_every_chunk_counts() -> None:
    small, large = (memory("ties", rows, density=0.5) for rows in (100_000, 1_000_000))
    assert small < large < 1 << 30
    assert memory("ties", 1_000_000, density=1) < small  # then nothing is measured


def test_a_row_longer_than_a_chunk_is_taken_whole() -> None:
    recipe = recipe_of(
        {"merge_method": "model_stock", "base_model": "base", "models": [{"model": "a"}, {"model": "b"}]}, "test"
    )
    wide = {name: OfFile(2, 10**8, torch.float32) for name in ("base", "a", "b")}
    assert peak_memory(plan_merge(recipe, wide), wide, 1) > 3 * 4 * 10**8


def test_small_tensors_are_held_where_a_method_goes_over_them_several_times() -> None:
    few, many = 10_000, 20_000  # 60 and 120 MB in three models
    assert memory("ties", few, density=0.5) > memory("ties", few, density=1) + 3 * few * 1024 * 2
    assert memory("ties", many, density=0.5) < memory("ties", few, density=0.5)


def test_models_that_are_aligned_hold_whole_tensors() -> None:
    plain = {name: OfFile(100_000) for name in ("a", "b")}
    recipe = recipe_of({"merge_method": "linear", "models": [{"model": "a"}, {"model": "b"}]}, "test")
    plan = plan_merge(recipe, plain)
    made = {**plain, "b": Lazily({}, {"w": plain["b"].info("w")}, {})}
    assert peak_memory(plan, made, 1) >= peak_memory(plan, plain, 1) + 100_000 * 1024 * 2
