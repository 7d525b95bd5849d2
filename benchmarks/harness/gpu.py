"""Assignment where the scores are: a GPU's times beside the product that forms the scores, and one read of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from harness.scores import FAMILIES, pair
from weightspace.assignment import solve

CASES = ((1, 4096), (1, 8192), (1, 14336), (32, 4096))  # matrices, size
ROUNDS = 3


def on_device(device: str, cases: tuple[tuple[int, int], ...] = CASES) -> list[dict[str, Any]]:
    """One row for every family and size, and for every batch; seconds are wall-clock, the best of three."""
    rows = []
    for count, n in cases:
        for families in [[name] for name in FAMILIES] if count == 1 else [list(FAMILIES)]:
            pairs = [pair(families[seed % len(families)], n, seed, device) for seed in range(count)]
            a, b = (torch.stack(each) for each in zip(*pairs, strict=True))
            scores = a @ b.mT
            found = solve(scores, backend="auction")
            sizes = scores.abs().amax((1, 2)).double().cpu()
            unit = found.value.abs().maximum(n * torch.finfo(torch.float32).eps * sizes)
            gap = float((found.gap / unit).max())
            rows.append(
                {
                    "part": f"{device}, {count} at once", "n": n,
                    "family": families[0] if count == 1 else "all in turn",
                    "seconds": seconds(lambda s=scores: solve(s, backend="auction"), scores),
                    "product_seconds": seconds(lambda a=a, b=b: a @ b.mT, scores),
                    "floor_seconds": seconds(lambda s=scores: s.sum(), scores), "below_scipy": None, "gap": gap,
                    "optimal": gap <= 1e-9,
                }
            )  # fmt: skip
            rows[-1]["passes_at_floor"] = rows[-1]["seconds"] / rows[-1]["floor_seconds"]
    return rows


def seconds(call: Callable[[], Any], on: Tensor) -> float:
    best = math.inf
    for _ in range(ROUNDS):
        wait(on)
        began = time.perf_counter()
        call()
        wait(on)
        best = min(best, time.perf_counter() - began)
    return best


def wait(on: Tensor) -> None:
    if on.is_cuda:
        torch.cuda.synchronize(on.device)
