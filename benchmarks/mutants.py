"""A mutation test over the rule table: wrong rules are injected, and the verifier has to find them out.

    python benchmarks/mutants.py [--quick] [--only TEXT] [--json FILE]

Every rule is made wrong in each of the ways of `tests/symmetry/mutation/operators.py`; then networks that use its
operator are derived and verified: each sample of the operator with its operands as parameters and a random linear map
after it, the same with all sizes equal where it runs so, and small real networks. Whether a result that differs from
the right one is sound is decided apart from the verifier, by every generator of the claimed group.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

from harness import options, publish
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the samples of the operators belong to the tests

from tests.symmetry.mutation.exercises import of_networks, of_samples, overloads, samples
from tests.symmetry.mutation.judge import Verdict, judged, judged_shared, share_caught
from tests.symmetry.mutation.operators import OPERATORS
from tests.symmetry.mutation.shared import SHARED

STATUSES = ("caught", "error", "escaped", "restricting", "harmless", "equivalent")
COLUMNS = {"fault": "fault", "rules": "rules"} | {status: status for status in STATUSES}
QUICK = 16  # every so many rules


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--only", default="", metavar="TEXT", help="rules of operators whose name contains it")
    arguments = parser.parse_args()
    step = QUICK if arguments.quick else 1
    chosen = [overload for overload in overloads() if arguments.only in str(overload)][::step]
    exercises, without = of_samples(chosen if arguments.quick or arguments.only else None)
    exercises += () if arguments.quick else of_networks()
    mutants = [(overload, fault) for overload in chosen for fault in OPERATORS]
    verdicts = [
        judged(overload, fault, exercises, samples())
        for overload, fault in track(mutants, description="rules", transient=True)
    ]
    verdicts += [
        judged_shared(fault, exercises, [entry for entry in samples() if entry.op in chosen])
        for fault in track([] if arguments.only else SHARED, description="what rules share", transient=True)
    ]
    counts = Counter(verdict.status for verdict in verdicts)
    refused, passed = (sum(len(getattr(v, key)) for v in verdicts) for key in ("refused", "passed"))
    summary: dict[str, Any] = {
        "rules": len(chosen),
        "networks": len(exercises),
        "mutants": len(verdicts),
        **{status: counts[status] for status in STATUSES},
        "share_caught": share_caught(verdicts),
        "unsound_specs_refused": refused,
        "unsound_specs_passed": passed,
        "samples_without_network": without,
    }
    notes = [
        f"{len(verdicts)} mutants of {len(chosen)} rules on {len(exercises)} networks",
        f"{summary['share_caught']:.1%} of those that make a result unsound are caught",
        f"the verifier refused {refused} of {refused + passed} unsound specs",
        "restricting: every result is sound, some are smaller, which the tightness of the samples shows",
        *(f"escaped: {v.rule}: {v.fault}" for v in verdicts if v.status == "escaped"),
    ]
    summary["verdicts"] = documents(verdicts)
    publish("Wrong rules", COLUMNS, by_fault(verdicts), summary, arguments, notes)


def by_fault(verdicts: list[Verdict]) -> list[dict[str, Any]]:
    rows = []
    for fault in dict.fromkeys(verdict.fault for verdict in verdicts):
        counts = Counter(verdict.status for verdict in verdicts if verdict.fault == fault)
        rows.append({"fault": fault, "rules": counts.total()} | {status: counts[status] for status in STATUSES})
    return rows


def documents(verdicts: list[Verdict]) -> list[dict[str, Any]]:
    """Every mutant with what became of it."""
    return [
        {"rule": v.rule, "fault": v.fault, "status": v.status, "refused": len(v.refused), "passed": list(v.passed)}
        for v in verdicts
    ]


if __name__ == "__main__":
    main()
