"""Worker processes: what fails in one is recorded, and the others go on."""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("harness.pool")


def test_failures_stay_with_their_job(pool: Any) -> None:
    jobs = [
        pool.Job("fine", dict, ([("a", 1)],)),
        pool.Job("error", int, ("no number",)),
        pool.Job("crash", os.abort, ()),
        pool.Job("memory", bytearray, (1 << 40,)),
        pool.Job("hangs", time.sleep, (1000,)),
        pool.Job("fine again", dict, ([("b", 2)],)),
    ]
    found = {o.key: o for o in pool.run(jobs, workers=1, memory=4 << 30, seconds=20)}
    assert list(found) == [job.key for job in jobs]
    assert found["fine"].value == {"a": 1}
    assert found["fine again"].value == {"b": 2}
    assert found["error"].failure == "ValueError: invalid literal for int() with base 10: 'no number'"
    assert found["crash"].failure == "its process died (ended by SIGABRT)"
    assert found["memory"].failure == "needs more than 4 GiB of memory"
    assert found["hangs"].failure == "not done within 20 s"
    assert all(found[key].value is None for key in ("error", "crash", "memory", "hangs"))


def test_jobs_run_side_by_side(pool: Any) -> None:
    jobs = [pool.Job(str(number), dict, ([("n", number)],)) for number in range(12)]
    found = list(pool.run(jobs, workers=2, memory=4 << 30, seconds=100))
    assert sorted(int(o.key) for o in found) == list(range(12))
    assert all(o.value == {"n": int(o.key)} for o in found)
