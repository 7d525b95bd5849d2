"""Pieces of a tensor: how often they are read, and that it makes no difference to the result."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from weightspace.checkpoint import Checkpoint, open_checkpoint
from weightspace.merge.recipe import recipe_of
from weightspace.merge.streaming import merge_files, prepare, reading


@pytest.fixture
def reads(monkeypatch) -> Counter[str]:
    """How often each tensor was read."""
    counts: Counter[str] = Counter()
    piece = Checkpoint.piece

    def counted(self: Checkpoint, name: str, start: int, stop: int) -> torch.Tensor:
        counts[name] += 1
        return piece(self, name, start, stop)

    monkeypatch.setattr(Checkpoint, "piece", counted)
    return counts


@pytest.mark.parametrize("method", ["ties", "slerp", "linear"])
def test_measured_tensors_are_read_once_if_small_and_in_every_pass_if_large(tmp_path, reads, monkeypatch, method):
    for name in ("base", "a", "b"):
        save(tmp_path / f"{name}.safetensors", name)
    content: dict[str, Any] = {"merge_method": method, "models": [{"model": "a.safetensors"}]}
    if method != "linear":
        content |= {"base_model": "base.safetensors"}
    if method != "slerp":
        content["models"].append({"model": "b.safetensors"})
    if method == "ties":
        content["parameters"] = {"density": 0.5}
    recipe, passes = recipe_of(content, "test"), {"ties": 3, "slerp": 2, "linear": 1}[method]
    models = len(recipe.referenced)
    merge_files(prepare(recipe, tmp_path / "held.safetensors", folder=tmp_path))
    assert reads == {"w": models, "b": models}
    reads.clear()
    monkeypatch.setattr(reading, "_MOST", 0)
    merge_files(prepare(recipe, tmp_path / "anew.safetensors", folder=tmp_path))
    assert reads == {"w": models * passes, "b": models * passes}
    held, anew = (open_checkpoint(tmp_path / f"{name}.safetensors").tensors() for name in ("held", "anew"))
    assert all(torch.equal(held[name], anew[name]) for name in held)


def save(path: Path, seed: str) -> None:
    drawn = torch.Generator().manual_seed(len(seed) + ord(seed[0]))
    save_file({"w": torch.randn(7, 5, generator=drawn), "b": torch.randn(9, generator=drawn)}, path)
