"""Graphs of libraries: the stored results, and one network of each library there and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
RESULTS = BENCHMARKS / "results" / "graph" / "coverage.json"


def rows() -> list[dict[str, Any]]:
    return json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]


def test_every_network_that_is_derived_comes_back() -> None:
    networks = rows()
    assert len({row["family"] for row in networks if row["suite"] == "timm"}) >= 98
    assert len({row["family"] for row in networks if row["suite"] == "transformers" and row["round_trip"]}) >= 20
    for row in networks:
        # A symmetry that cannot be derived is the matter of `coverage.py`.
        assert row["round_trip"] or row["reason"].startswith(("TraceError", "ImportError")), row["name"]


@pytest.mark.parametrize(
    ("suite", "family", "name"), [("timm", "byobnet", "test_byobnet"), ("transformers", "t5", "t5")]
)
def test_there_and_back(monkeypatch: pytest.MonkeyPatch, suite: str, family: str, name: str) -> None:
    pytest.importorskip(suite)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from suites.round_trip import round_trip

    found = round_trip(suite, family, name)
    assert found["to_tensors_exact"]
    assert found["to_graph_exact"]
    assert found["whole"]
    assert found["edges"] > 100
