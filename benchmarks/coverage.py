"""Derive the symmetry of whole libraries of networks and verify it on numbers.

    python benchmarks/coverage.py [--suite timm|transformers|other|all] [--jobs N] [--limit-parameters M] [--only TEXT]
                                  [--quick] [--summary] [--results FOLDER] [--json FILE]

Results are kept, one line per network, in benchmarks/results/coverage/SUITE.jsonl. Every network is derived in each
run; only those whose symmetry came out different from the one that was verified are verified again. The run may be
killed at any moment and started again. Of timm, the smallest network of each module is checked group by group and the
others on four groups, drawn anew for each; of the other suites, every network is checked group by group.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean, median
from typing import Any

import suites
from harness import options, publish
from harness.lines import Lines
from harness.pool import Job, Outcome, run
from rich.progress import Progress
from suites.examine import derivation, verification

Record = dict[str, Any]
RESULTS = Path(__file__).resolve().parent / "results" / "coverage"
LIMIT = 170_000_000
MEMORY = 8 << 30
SECONDS = 1200.0
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
    with Progress(transient=True) as progress:
        bar = progress.add_task(f"{suite}: deriving", total=len(names))
        for outcome in run((Job(name, derivation, (suite, name)) for name in names), **limits):
            store.put(merged(store.get(outcome.key), derived(suite, outcome)))
            progress.advance(bar)
        store.tidy({case.name for case in cases})
        jobs = [
            Job(record["name"], verification, (suite, record["name"], thorough))
            for record, thorough in in_order(store, suite == "timm")
            if record["name"] in names and is_wanted(record, thorough, arguments.limit_parameters)
        ]
        bar = progress.add_task(f"{suite}: verifying", total=len(jobs))
        for outcome in run(jobs, **limits):
            store.put(with_verification(store.records[outcome.key], outcome))
            progress.advance(bar)
    store.tidy({case.name for case in cases})
    return len(jobs)


def derived(suite: str, outcome: Outcome) -> Record:
    """What a derivation found, or that its process did not return."""
    if outcome.value is not None:
        return outcome.value
    return {"suite": suite, "name": outcome.key, "derived": False, "reason": f"not derived: {outcome.failure}"}


def merged(before: Record | None, now: Record) -> Record:
    """A fresh derivation, with the verification of the same symmetry where there is one."""
    if before is None or before.get("spec") != now.get("spec") or now.get("spec") is None:
        return {"verified": None, "missed": None} | now
    return before | now


def in_order(store: Lines, sampled: bool) -> list[tuple[Record, bool]]:
    """(derived record, whether all its groups are checked): the smallest of each family first, then by size."""
    records = sorted((r for r in store if r["derived"]), key=lambda r: (r["parameters"], r["name"]))
    smallest: dict[str, Record] = {}
    for record in records:
        smallest.setdefault(record["family"], record)
    first = list(smallest.values())
    return [(r, True) for r in first] + [(r, not sampled) for r in records if r is not smallest[r["family"]]]


def is_wanted(record: Record, thorough: bool, limit: float) -> bool:
    """Whether numbers have to be run: only what was verified as thoroughly before is kept."""
    if record["parameters"] >= limit:
        return False
    return record.get("verified") is not True or (thorough and not record.get("thorough"))


def with_verification(record: Record, outcome: Outcome) -> Record:
    if outcome.value is not None:
        return {key: value for key, value in record.items() if key != "reason"} | outcome.value
    return record | {"verified": None, "reason": f"not verified: {outcome.failure}"}


def reasons(record: Record) -> list[str]:
    """Why a network falls short of derived, complete, verified and tight."""
    if not record["derived"]:
        return [record["reason"]]
    found = []
    if record["completeness"] < 1:
        found.append(f"incomplete, frozen by {', '.join(record['unmoved'])}")
    if record.get("wrong"):
        found.append(f"wrong: {', '.join(record['wrong'])}")
    if record.get("insensitive"):
        found.append("a control that changes nothing, so that the check of its group proves nothing")
    if record.get("verified") is None:
        found.append(record.get("reason") or "not verified: above the limit of parameters")
    elif not record["verified"] and not record.get("wrong") and not record.get("insensitive"):
        found.append(f"not verified: error {record['max_error']:.1e} above {record['tolerance']:.1e}")
    if record.get("missed"):
        found.append("missed transpositions")
    return found


def shortfalls(records: Iterable[Record]) -> dict[str, list[str]]:
    """Names of networks by what they fall short of, the commonest first."""
    found: dict[str, list[str]] = {}
    for record in records:
        for reason in reasons(record):
            found.setdefault(reason, []).append(record["name"])
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def totals_of(records: list[Record]) -> Record:
    done = [r for r in records if r["derived"]]
    missed = [r["missed"] for r in done if r.get("missed") is not None]
    return {
        "models": len(records),
        "derived": len(done),
        "verified": sum(r.get("verified") is True for r in done),
        "refuted": sum(r.get("verified") is False for r in done),
        "wrong": sum(bool(r.get("wrong")) for r in done),
        "completeness_mean": fmean(r["completeness"] for r in done) if done else None,
        "completeness_least": min((r["completeness"] for r in done), default=None),
        "seconds_median": median(r["seconds"] for r in done) if done else None,
        "seconds_most": max((r["seconds"] for r in done), default=None),
        "missed": sum(missed) if missed else None,
    }


def by_family(records: list[Record]) -> list[Record]:
    families: dict[str, list[Record]] = {}
    for record in records:
        families.setdefault(record.get("family", "-"), []).append(record)
    rows = []
    for family, members in sorted(families.items()):
        total = totals_of(members)
        rows.append(
            {
                "suite": members[0]["suite"],
                "family": family,
                "models": total["models"],
                "derived": total["derived"],
                "verified": total["verified"],
                "wrong": total["wrong"],
                "missed": total["missed"],
                "completeness": total["completeness_mean"],
                "seconds": total["seconds_median"],
                "largest": max((r.get("parameters", 0) for r in members), default=0),
            }
        )
    return rows


def upshot(total: Mapping[str, Any]) -> str:
    line = f"derived {total['derived']}/{total['models']}, verified {total['verified']}, wrong {total['wrong']}"
    if total["derived"]:
        line += f", completeness {total['completeness_mean']:.4f}, derivation {total['seconds_median']:.2f} s (median)"
    return line if total["missed"] is None else f"{line}, missed transpositions {total['missed']}"


if __name__ == "__main__":
    main()
