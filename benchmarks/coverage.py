"""Derive the symmetry of whole libraries of networks and verify it on numbers.

    python benchmarks/coverage.py [--suite timm|transformers|other|all] [--jobs N] [--limit-parameters M] [--only TEXT]
                                  [--resume] [--quick] [--summary] [--results FOLDER] [--json FILE]

Results are kept, one line per network, in benchmarks/results/coverage/SUITE.jsonl. Every network is derived in each
run; only those whose symmetry came out different from the one that was verified are verified again. The run may be
killed at any moment and started again, with --resume for what it had not come to. The smallest network of each family,
and all below a million parameters, are checked group by group, the others on four groups, drawn anew for each. Then
transpositions that the spec does not have are tried on the smallest of each family and on all below 12M parameters: one
that preserves the function is a symmetry that was missed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import suites
from harness import options, publish
from harness.lines import Lines
from harness.pool import Job, Outcome, run
from rich.progress import Progress
from suites.examine import derivation, examination, tightness
from suites.summary import by_family, shortfalls, totals_of, upshot

Record = dict[str, Any]
RESULTS = Path(__file__).resolve().parent / "results" / "coverage"
LIMIT = 170_000_000
THOROUGH_LIMIT = 1_000_000
TIGHTNESS_LIMIT = 12_000_000  # parameters; a transposition is a forward pass or two, and there are many of them
MEMORY = 8 << 30
SECONDS = 3600.0
QUICK = {
    "timm": ("test_byobnet", "test_convnext", "test_vit"),
    "transformers": ("gpt2", "bert", "t5"),
    "other": ("LSTM, stacked bidirectional", "TransformerEncoder, norm first", "GATConv, heads", "SIREN", "U-Net"),
}
COLUMNS = {
    "suite": "suite",
    "family": "family",
    "models": "networks",
    "derived": "derived",
    "verified": "verified",
    "wrong": "wrong",
    "missed": "missed transpositions",
    "completeness": "completeness, mean",
    "seconds": "derivation, median (s)",
    "largest": "parameters of the largest",
}


def main() -> None:
    arguments = parse()
    chosen = list(suites.SUITES) if arguments.suite == "all" else [arguments.suite]
    stores = {suite: Lines(arguments.results / f"{suite}.jsonl") for suite in chosen}
    run_now = 0 if arguments.summary else sum(examine(suite, store, arguments) for suite, store in stores.items())
    records = [record for store in stores.values() for record in store]
    rows = [row for suite in chosen for row in by_family([r for r in records if r["suite"] == suite])]
    totals = {suite: totals_of([r for r in records if r["suite"] == suite]) for suite in chosen}
    summary = totals_of(records) | {"suites": totals, "shortfalls": shortfalls(records), "verifications_run": run_now}
    notes = [f"{suite}: {upshot(total)}" for suite, total in totals.items()]
    notes += [f"  {reason}: {len(names)}: {', '.join(names)}" for reason, names in summary["shortfalls"].items()]
    publish("Symmetry of libraries of networks", COLUMNS, rows, summary, arguments, notes)


def parse() -> argparse.Namespace:
    parser = options(__doc__ or "")
    parser.add_argument("--suite", choices=[*suites.SUITES, "all"], default="all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="networks at a time")
    parser.add_argument("--limit-parameters", type=float, default=LIMIT, help="verify networks below this size")
    parser.add_argument("--only", default="", metavar="TEXT", help="networks whose name or family contains it")
    parser.add_argument("--resume", action="store_true", help="leave out what an earlier run has done")
    parser.add_argument("--summary", action="store_true", help="run nothing, tabulate the stored results")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the stored results")
    return parser.parse_args()


def examine(suite: str, store: Lines, arguments: argparse.Namespace) -> int:
    """Derives every network that was asked for, then verifies those that need it, and stores what is found.

    Returns:
        How many had to be verified.
    """
    cases = suites.cases(suite)
    names = [c.name for c in cases if arguments.only in c.name or arguments.only in c.family]
    if arguments.quick:
        names = [name for name in names if name in QUICK[suite]]
    limits = {"workers": arguments.jobs, "memory": MEMORY, "seconds": SECONDS}
    verified_now = 0
    with Progress(transient=True) as progress:
        new = [name for name in names if "parameters" not in (store.get(name) or {})]
        bar = progress.add_task(f"{suite}: sizes of new networks", total=len(new))
        for outcome in run((Job(name, derivation, (suite, name)) for name in new), **limits):
            store.put(updated(suite, None, outcome))
            progress.advance(bar)
        store.tidy({case.name for case in cases})
        queue = [entry for entry in in_order(store) if entry[0]["name"] in names]
        if arguments.resume:
            limit = arguments.limit_parameters
            queue = [entry for entry in queue if not is_verified(*entry) and entry[0]["parameters"] < limit]
        bar = progress.add_task(f"{suite}: deriving and verifying", total=len(queue))
        for outcome in run((Job(r["name"], examination, arguments_of(r, t, arguments)) for r, t in queue), **limits):
            store.put(updated(suite, store.get(outcome.key), outcome))
            verified_now += "verified" in (outcome.value or {})
            progress.advance(bar)
        queue = [entry for entry in in_order(store) if entry[0]["name"] in names]
        queue.sort(key=lambda entry: (not entry[1], entry[0]["parameters"]))  # the smallest of each family first
        tight = [
            Job(record["name"], tightness, (suite, record["name"], tries(record)))
            for record, thorough in queue
            if record["missed"] is None
            and record["parameters"] < arguments.limit_parameters
            and (thorough or record["parameters"] < TIGHTNESS_LIMIT)
        ]
        bar = progress.add_task(f"{suite}: trying transpositions", total=len(tight))
        for outcome in run(tight, **limits):
            failure = {"missed": None, "tightness_failure": outcome.failure}
            store.put(store.records[outcome.key] | (outcome.value or failure))
            progress.advance(bar)
    store.tidy({case.name for case in cases})
    return verified_now


def in_order(store: Lines) -> list[tuple[Record, bool]]:
    """(derived record, whether all its groups are checked), what has been verified last, what costs little first."""
    records = sorted((r for r in store if "parameters" in r), key=lambda r: (r["parameters"], r["name"]))
    smallest: dict[str, str] = {}
    for record in records:
        smallest.setdefault(record["family"], record["name"])
    first = set(smallest.values())
    queue = [(r, r["name"] in first or r["parameters"] < THOROUGH_LIMIT) for r in records]
    return sorted(queue, key=lambda entry: (is_verified(*entry), cost(*entry)))


def is_verified(record: Record, thorough: bool) -> bool:
    return record.get("verified") is True and (record["thorough"] or not thorough)


def tries(record: Record) -> int:
    """How many transpositions; classes of frozen indices are tried twice each in any case."""
    return 64 if record["parameters"] < TIGHTNESS_LIMIT else 24


def cost(record: Record, thorough: bool) -> float:
    """Proportional to the time that a verification takes, roughly."""
    return (record.get("groups", 0) if thorough else 4) * (record["parameters"] + 1e6)


def arguments_of(record: Record, thorough: bool, arguments: argparse.Namespace) -> tuple[Any, ...]:
    """What `examination` takes."""
    verified_spec = record["spec"] if is_verified(record, thorough) else None
    return record["suite"], record["name"], verified_spec, thorough, arguments.limit_parameters


def updated(suite: str, before: Record | None, outcome: Outcome) -> Record:
    """The record after a job; what was found of the same symmetry before is kept."""
    unknown = {"suite": suite, "name": outcome.key, "derived": False, "verified": None, "missed": None}
    if outcome.value is None:
        return (before or unknown) | {"verified": None, "reason": f"not verified: {outcome.failure}"}
    if before is None or before.get("spec") != outcome.value.get("spec"):
        return unknown | outcome.value
    return {key: value for key, value in before.items() if key != "reason"} | outcome.value


if __name__ == "__main__":
    main()
