"""Tokens of different architectures in one batch."""

from __future__ import annotations

import pytest
import torch

from weightspace.errors import SpecError
from weightspace.nn.tokens import TokenLayout, collated


def test_batches_of_two_lengths_are_padded() -> None:
    short, long = TokenLayout({"w": (2, 3)}, 3), TokenLayout({"w": (4, 4)}, 3)
    small = short.tokens({"w": torch.randn(2, 2, 3)})
    large = long.tokens({"w": torch.randn(1, 4, 4)})
    batch = collated([small, large])
    assert len(batch) == 3
    assert batch.tokens.shape == (3, 8, 3)
    assert batch.present.sum(1).tolist() == [2, 2, 8]
    assert torch.equal(batch.tokens[:2, :2], small.tokens)
    assert torch.equal(batch.positions[2:], large.positions)
    assert not bool(batch.tokens[:2, 2:].any())
    assert torch.equal(short.tensors(batch.tokens[:2])["w"], short.tensors(small.tokens)["w"])


def test_two_sizes_do_not_mix() -> None:
    tensors = {"w": torch.randn(1, 2, 3)}
    batches = [TokenLayout({"w": (2, 3)}, size).tokens(tensors) for size in (2, 3)]
    with pytest.raises(SpecError, match=r"one token size, found \[2, 3\]"):
        collated(batches)
    with pytest.raises(SpecError, match="found no batch"):
        collated([])
