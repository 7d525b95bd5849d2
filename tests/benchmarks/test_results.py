"""The stored results of the coverage benchmark: whole, and without a false symmetry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "coverage"


@pytest.mark.parametrize("suite", ["timm", "other", "transformers"])
def test_no_network_is_refuted_and_every_gap_has_its_reason(suite: str) -> None:
    path = FOLDER / f"{suite}.jsonl"
    if not path.exists():
        pytest.skip(f"no results of {suite} are stored")
    records: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    names = [record["name"] for record in records]
    assert names == sorted(set(names))
    for record in records:
        name = record["name"]
        assert record["suite"] == suite
        if not record["derived"]:
            assert record["reason"], name
            continue
        assert not record.get("wrong"), name
        if record["completeness"] < 1:
            assert record.get("unmoved") or record["frozen"], name
        if record["verified"]:
            assert record["max_error"] <= record["tolerance"], name
