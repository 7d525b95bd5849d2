"""Estimates of memory: what makes them grow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from weightspace.checkpoint import TensorInfo
from weightspace.merge.recipe import recipe_of
from weightspace.merge.streaming import Lazily, plan_merge
from weightspace.merge.streaming.memory import peak_memory


def model(rows: int, dtype: torch.dtype = torch.bfloat16) -> Lazily:
    """One matrix that is never made."""
    tensors: dict[str, Tensor] = {}
    return Lazily(tensors, {"w": TensorInfo((rows, 1024), dtype)}, {})


def memory(method: str, rows: int, workers: int = 1, **options: Any) -> int:
    content = {"merge_method": method, "models": [{"model": "a"}, {"model": "b"}], "parameters": options}
    content |= {} if method == "linear" else {"base_model": "base"}
    models = {name: model(rows) for name in ("base", "a", "b")}
    plan = plan_merge(recipe_of(content, "test"), models)
    return peak_memory(plan, {}, workers)


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
    wide = {name: Lazily({}, {"w": TensorInfo((2, 10**8), torch.float32)}, {}) for name in ("base", "a", "b")}
    assert peak_memory(plan_merge(recipe, wide), {}, 1) > 3 * 4 * 10**8


def test_models_that_are_aligned_hold_whole_tensors() -> None:
    models = {name: model(100_000) for name in ("a", "b")}
    plan = plan_merge(recipe_of({"merge_method": "linear", "models": [{"model": "a"}, {"model": "b"}]}, "test"), models)
    assert peak_memory(plan, {"b": models["b"]}, 1) >= peak_memory(plan, {}, 1) + 100_000 * 1024 * 2
