"""The benchmark of linear assignment as a process: every answer optimal, figures where the summary promises them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_small_matrices(tmp_path: Path):
    document = tmp_path / "assignment.json"
    command = [sys.executable, ROOT / "benchmarks/assignment.py", "--quick", "--largest", "64", "--json", document]
    subprocess.run(command, check=True, capture_output=True, text=True)
    result = json.loads(document.read_text())
    assert result["summary"]["all_optimal"]
    assert result["summary"]["speedup_min"] > 0
    assert set(result["summary"]["speedup_by_size"]) == {"64"}
    assert {row["part"] for row in result["rows"]} >= {"cold", "warm, 1% moved", "batch of 256"}
    assert all(row["gap"] <= 1e-9 for row in result["rows"])
