"""What the records of many networks come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean, median
from typing import Any

Record = dict[str, Any]


def reasons(record: Record) -> list[str]:
    """Why a network falls short of derived, complete, verified and tight."""
    if not record["derived"]:
        return [record["reason"]]
    found = []
    if record["completeness"] < 1:
        found.append(f"incomplete, frozen by {', '.join(record.get('unmoved') or record['frozen'])}")
    if record.get("wrong"):
        found.append(f"wrong: {', '.join(record['wrong'])}")
    if record.get("insensitive"):
        found.append("a control that changes nothing, so that the check of its group proves nothing")
    if record.get("verified") is None:
        found.append(record.get("reason") or "not verified yet")
    elif not record["verified"] and not record.get("wrong") and not record.get("insensitive"):
        found.append(f"not verified: error {record['max_error']:.1e} above {record['tolerance']:.1e}")
    if record.get("missed"):
        found.append(
            "missed transpositions, frozen by " + ", ".join(sorted({m["reason"] for m in record["missed_classes"]}))
        )
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
        "tried": len(missed),
        "tight": sum(count == 0 for count in missed),
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
    if total["missed"] is not None:
        line += f", transpositions tried on {total['tried']} networks, none missed in {total['tight']}"
    return line
