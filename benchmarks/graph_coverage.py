"""Whole libraries of networks as parameter graphs and back, bit for bit.

    python benchmarks/graph_coverage.py [--suite timm|transformers|all] [--only TEXT] [--quick] [--json FILE]

The smallest network of each of timm's modules, as `coverage.py` has found it (`results/coverage/timm.jsonl`), and all
of transformers' families in tiny configurations. For each the symmetry is derived, the graph laid out from that alone,
and random weights are taken to a graph (`convert`), back to tensors (`back`) and to a graph again (`again`): both must
be what they were, and the tensors all that the state dict has. Edges carry up to 9 entries, one where the graph would
not fit into 5 GB. Seconds are wall-clock; `layout` is for the spec, once for all networks that have it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import suites
from harness import options, publish
from harness.pool import Job, run
from rich.progress import track
from suites.round_trip import round_trip

Record = dict[str, Any]
COVERAGE = Path(__file__).resolve().parent / "results" / "coverage" / "timm.jsonl"
SUITES = ("timm", "transformers")
MEMORY, SECONDS = 6 << 30, 900.0
QUICK = {"timm": ("test_vit", "test_resnet", "test_convnext", "xcit_nano_12_p8_224"), "transformers": ("gpt2", "t5")}
CHECKS = ("to_tensors_exact", "to_graph_exact", "whole")
COLUMNS = {
    "suite": "suite",
    "family": "family",
    "name": "network",
    "entries": "entries",
    "nodes": "nodes",
    "edges": "edges",
    "taps": "taps",
    "bytes": "bytes",
    "derive": "derive (s)",
    "layout": "layout (s)",
    "convert": "convert (s)",
    "again": "again (s)",
    "back": "back (s)",
    "round_trip": "round trip",
}


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--suite", choices=[*SUITES, "all"], default="all")
    parser.add_argument("--only", default="", metavar="TEXT", help="networks whose name or family contains it")
    arguments = parser.parse_args()
    chosen = SUITES if arguments.suite == "all" else (arguments.suite,)
    rows = [row for suite in chosen for row in examined(suite, arguments)]
    failed = [f"{row['suite']} {row['name']}: {row.get('reason', 'not what it was')}"
              for row in rows if not row["round_trip"]]  # fmt: skip
    shallow = [f"{row['name']} with {row['changed']}" for row in rows if row.get("changed")]
    narrow = [row["name"] for row in rows if row.get("taps") == 1]
    summary = {suite: totals([row for row in rows if row["suite"] == suite]) for suite in chosen}
    notes = [f"{suite}: {total['round_trips']} of {total['networks']} networks there and back, bit for bit"
             for suite, total in summary.items()]  # fmt: skip
    notes += [f"built smaller: {', '.join(shallow)}"] if shallow else []
    notes += [f"one entry on an edge: {', '.join(narrow)}"] if narrow else []
    publish("Parameter graphs of libraries", COLUMNS, rows, summary | {"failed": failed}, arguments, notes + failed)


def examined(suite: str, arguments: argparse.Namespace) -> list[Record]:
    """A row for every network, the smallest first."""
    chosen = [
        (family, name)
        for family, name in (smallest() if suite == "timm" else families())
        if (arguments.only in name or arguments.only in family) and (not arguments.quick or name in QUICK[suite])
    ]
    jobs = [Job(f"{family} {name}", round_trip, (suite, family, name)) for family, name in chosen]
    rows = []
    for outcome in track(run(jobs, workers=1, memory=MEMORY, seconds=SECONDS), suite, len(jobs), transient=True):
        family, name = outcome.key.split(" ", 1)
        row = outcome.value or {"suite": suite, "family": family, "name": name, "reason": outcome.failure}
        rows.append(row | {"round_trip": all(row.get(check, False) for check in CHECKS)})
    return rows


def smallest() -> list[tuple[str, str]]:
    """(module, network) of timm, the smallest of each."""
    found: dict[str, Record] = {}
    for line in COVERAGE.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if "parameters" in record:
            best = found.setdefault(record["family"], record)
            found[record["family"]] = min(best, record, key=lambda each: (each["parameters"], each["name"]))
    return [(r["family"], r["name"]) for r in sorted(found.values(), key=lambda each: each["parameters"])]


def families() -> Iterator[tuple[str, str]]:
    """(family, network) of transformers."""
    return ((case.family, case.name) for case in suites.cases("transformers"))


def totals(rows: list[Record]) -> Record:
    done = [row for row in rows if row["round_trip"]]
    sums = {key: sum(row[key] for row in done) for key in ("entries", "nodes", "edges", "bytes")}
    seconds = {key: sum(row[key] for row in done) for key in ("derive", "layout", "convert", "again", "back")}
    return {"networks": len(rows), "round_trips": len(done)} | sums | {"seconds": seconds}


if __name__ == "__main__":
    main()
