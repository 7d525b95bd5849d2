"""Times of short and long calls on a machine that does other things too."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

SHORT = 2e-3  # shorter calls are repeated for as long before the clock is read again


def cpu_seconds(calls: dict[str, Callable[[], Any]], budget: float) -> dict[str, float]:
    """CPU seconds of this thread for each call: the best of rounds in which all take their turn.

    Every call is made once; then whole rounds follow as long as the budget of wall-clock seconds lasts, up to 30. A
    short call finds in the caches what it left there, not what another did.
    """
    end = time.perf_counter() + budget
    best = {name: _once(call, 1) for name, call in calls.items()}
    repeat = {name: max(1, int(SHORT / max(taken, 1e-7))) for name, taken in best.items()}
    for _ in range(30):
        if time.perf_counter() > end:
            break
        for name, call in calls.items():
            best[name] = min(best[name], _once(call, repeat[name]))
    return best


def _once(call: Callable[[], Any], repeat: int) -> float:
    if repeat > 1:
        call()
    began = time.thread_time()
    for _ in range(repeat):
        call()
    return (time.thread_time() - began) / repeat
