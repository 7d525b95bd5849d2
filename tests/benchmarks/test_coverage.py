"""The coverage benchmark as a process: what it finds, and what it does not do twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("timm")
ROOT = Path(__file__).resolve().parents[2]
RUN = ("--suite", "timm", "--quick", "--jobs", "1")


def coverage(results: Path, *options: str) -> dict[str, Any]:
    document = results / "summary.json"
    subprocess.run(
        [sys.executable, ROOT / "benchmarks/coverage.py", "--results", results, "--json", document, *options],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    return json.loads(document.read_text())["summary"]


def stored(results: Path) -> dict[str, dict[str, Any]]:
    lines = (results / "timm.jsonl").read_text().splitlines()
    return {record["name"]: record for record in map(json.loads, lines)}


def test_networks_are_derived_verified_and_not_verified_twice(tmp_path: Path) -> None:
    first = coverage(tmp_path, *RUN)
    assert (first["models"], first["derived"], first["verified"], first["wrong"]) == (3, 3, 3, 0)
    assert first["verifications_run"] == 3
    assert 0.99 <= first["completeness_mean"] <= 1
    assert first["seconds_median"] > 0
    assert (first["tried"], first["missed"]) == (3, 0)
    assert first["suites"]["timm"]["verified"] == 3

    before = stored(tmp_path)
    for record in before.values():
        assert record["thorough"]  # each is the smallest of its module here
        assert record["groups_checked"] == record["groups"]
        assert record["max_error"] < record["tolerance"]

    # A line that was cut off, as by a kill, and one whose symmetry is not what is derived now.
    lines = (tmp_path / "timm.jsonl").read_text().splitlines(keepends=True)
    changed = json.dumps(before["test_convnext"] | {"spec": "of older rules"})
    kept = [line for line in lines if "test_vit" in line]
    cut = next(line for line in lines if "test_byobnet" in line)[:40]
    (tmp_path / "timm.jsonl").write_text("".join([*kept, changed, "\n", cut]))
    second = coverage(tmp_path, *RUN)
    assert (second["verified"], second["verifications_run"]) == (3, 2)
    after = stored(tmp_path)
    assert after["test_vit"]["verification_seconds"] == before["test_vit"]["verification_seconds"]
    assert after["test_convnext"]["spec"] == before["test_convnext"]["spec"]

    third = coverage(tmp_path, *RUN)
    assert (third["verified"], third["verifications_run"]) == (3, 0)


def test_networks_above_the_limit_are_listed_with_the_reason(tmp_path: Path) -> None:
    summary = coverage(tmp_path, *RUN, "--only", "test_vit", "--limit-parameters", "1000")
    assert (summary["derived"], summary["verified"], summary["verifications_run"]) == (1, 0, 0)
    assert summary["shortfalls"] == {"not verified: above the limit of parameters": ["test_vit"]}
    assert coverage(tmp_path, "--suite", "timm", "--summary") == summary
