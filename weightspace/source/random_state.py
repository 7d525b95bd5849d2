"""Random operations of a network that give the same numbers in every call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def fixed_random_state(device: torch.device) -> Iterator[None]:
    """Seeds the generators of torch within the context, and puts them back as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield
