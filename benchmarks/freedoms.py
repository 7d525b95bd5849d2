"""Verify the freedoms beside permutations: scales, signs, rotations, invertible maps, rotary frequencies.

    python benchmarks/freedoms.py [--suite timm|transformers|other|all] [--jobs N] [--sample N] [--only TEXT] [--quick]
                                  [--results FILE] [--json FILE]

Of timm the smallest network of each module, of the other suites every network below the limit. Weights are random, in
float64. Each network is checked once with a random transformation by all kinds together and its permutations, and then
on a sample of its freedoms of each kind, one by one with a control. Results are kept, one line per network, and a
network whose freedoms are those that were verified is not verified again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import suites
from harness import options, publish
from harness.lines import Lines
from harness.pool import Job, run
from rich.progress import Progress
from suites.examine import by_name

from weightspace.source import Program
from weightspace.symmetry import derive, randomized
from weightspace.symmetry.freedom import KINDS
from weightspace.symmetry.verify_freedoms import verify_freedoms

Record = dict[str, Any]
FOLDER = Path(__file__).resolve().parent / "results"
LIMIT = 40_000_000
MEMORY = 8 << 30
SECONDS = 900.0
QUICK = ("SIREN", "U-Net", "gpt2", "llama", "gptj", "bert", "t5")
COLUMNS = {
    "kind": "kind", "networks": "networks", "freedoms": "freedoms", "checked": "checked one by one",
    "worst": "worst error", "wrong": "wrong", "insensitive": "controls without effect",
}  # fmt: skip


def main() -> None:
    arguments = parse()
    store = Lines(arguments.results)
    chosen = list(suites.SUITES) if arguments.suite == "all" else [arguments.suite]
    jobs = [
        Job(f"{suite}: {name}", examined, (suite, name, store.get(f"{suite}: {name}"), arguments.sample))
        for suite in chosen
        for name in names_of(suite, arguments)
    ]
    with Progress(transient=True) as progress:
        bar = progress.add_task("networks", total=len(jobs))
        for outcome in run(jobs, workers=arguments.jobs, memory=MEMORY, seconds=SECONDS):
            store.put({"name": outcome.key} | (outcome.value or {"verified": None, "reason": outcome.failure}))
            progress.advance(bar)
    records = [record for job in jobs if (record := store.get(job.key)) is not None]
    rows = [row_of(kind, records) for kind in KINDS]
    failed = {record["name"]: record["reason"] for record in records if record["verified"] is None}
    unverified = [record["name"] for record in records if record["verified"] is False]
    summary = {
        "networks": len(records),
        "verified": sum(record["verified"] is True for record in records),
        "wrong": sum(bool(record.get("wrong")) for record in records),
        "worst_error": max((record["max_error"] for record in records if record["verified"]), default=None),
        "kinds": {row["kind"]: row["networks"] for row in rows},
    }
    notes = [f"{key}: {value}" for key, value in summary.items()]
    notes += [f"not verified: {name}" for name in unverified] + [f"{name}: {why}" for name, why in failed.items()]
    publish("Freedoms beside permutations", COLUMNS, rows, summary, arguments, notes)


def parse() -> argparse.Namespace:
    parser = options(__doc__ or "")
    parser.add_argument("--suite", choices=[*suites.SUITES, "all"], default="all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="networks at a time")
    parser.add_argument("--sample", type=int, default=4, help="freedoms of each kind that are checked one by one")
    parser.add_argument("--only", default="", metavar="TEXT", help="networks whose name or family contains it")
    parser.add_argument("--results", type=Path, default=FOLDER / "freedoms.jsonl", help="file of the stored results")
    return parser.parse_args()


def names_of(suite: str, arguments: argparse.Namespace) -> list[str]:
    """The networks to check: of timm the smallest of each module, as the coverage benchmark has found them."""
    cases = [c for c in suites.cases(suite) if arguments.only in c.name or arguments.only in c.family]
    if arguments.quick:
        return [case.name for case in cases if case.name in QUICK]
    sizes = {r["name"]: r["parameters"] for r in Lines(FOLDER / "coverage" / f"{suite}.jsonl") if "parameters" in r}
    cases = sorted((c for c in cases if sizes.get(c.name, 0) < LIMIT), key=lambda c: (sizes.get(c.name, 0), c.name))
    if suite != "timm":
        return [case.name for case in cases]
    smallest: dict[str, str] = {}
    for case in cases:
        smallest.setdefault(case.family, case.name)
    return list(smallest.values())


def examined(suite: str, name: str, before: Record | None, sample: int) -> Record:
    """Derives the freedoms of a network and verifies them, unless just these have been verified."""
    module, inputs = by_name(suite)[name].build()
    spec = derive(module, inputs.args, inputs.kwargs)
    document = json.dumps([spec.hash, spec.freedoms.to_json()], sort_keys=True)
    record: Record = {
        "name": f"{suite}: {name}",
        "freedoms": hashlib.sha256(document.encode()).hexdigest(),
        "counts": dict(Counter(freedom.kind for freedom in spec.freedoms.all)),
    }
    if before is not None and before.get("verified") and before["freedoms"] == record["freedoms"]:
        return before
    program = Program(module, inputs)
    seed = zlib.crc32(name.encode())
    state = randomized(program.state(), spec, seed)
    found = [verify_freedoms(spec, program.outputs, state, seed=seed, freedoms=0)]
    by_kind = {}
    for kind in record["counts"]:
        found.append(verify_freedoms(spec, program.outputs, state, kinds=(kind,), seed=seed, freedoms=sample))
        by_kind[kind] = {
            "checked": len(found[-1].groups),
            "error": found[-1].max_error,
            "wrong": list(found[-1].wrong),
            "insensitive": list(found[-1].insensitive),
        }
    return record | {
        "verified": all(one.max_error <= one.tolerance and not one.wrong for one in found),
        "max_error": max(one.max_error for one in found),
        "noise": found[0].noise,
        "wrong": sorted({name for one in found for name in one.wrong}),
        "by_kind": by_kind,
    }


def row_of(kind: str, records: list[Record]) -> Record:
    """One line of the table."""
    having = [record for record in records if record.get("by_kind", {}).get(kind)]
    each = [record["by_kind"][kind] for record in having]
    return {
        "kind": kind,
        "networks": len(having),
        "freedoms": sum(record["counts"][kind] for record in having),
        "checked": sum(one["checked"] for one in each),
        "worst": max((one["error"] for one in each), default=None),
        "wrong": sum(len(one["wrong"]) for one in each),
        "insensitive": sum(len(one["insensitive"]) for one in each),
    }


if __name__ == "__main__":
    main()
