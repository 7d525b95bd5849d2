"""Deriving the symmetry of large networks on the meta device: seconds of one core, and memory.

    python benchmarks/large_models.py [--quick] [--only NAME ...] [--json FILE]

Every network has the size at which it was published and no weights; it is built and derived in a process of its own,
on one thread, whose peak memory is compared with that of a process that has only imported what is needed. The seconds
are those of the processor, so that what else runs on the machine does not count.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from typing import Any

from harness import options, publish

QUICK = ("llama-7b", "mixtral-8x7b", "gpt2-xl")
SEVEN_BILLION = "llama-7b"


def measure(name: str | None) -> dict[str, Any]:
    """Builds and derives one network; with no name only imports."""
    import torch
    from suites.families.large import FAMILIES

    from weightspace.symmetry import derive

    torch.set_num_threads(1)
    row: dict[str, Any] = {"network": name}
    family = next((family for family in FAMILIES if family.name == name), None)
    if family is not None:
        start = time.process_time()
        module, inputs = family.build(meta=True)
        row["parameters"] = sum(parameter.numel() for parameter in module.parameters())
        built = time.process_time()
        spec = derive(module, inputs.args, inputs.kwargs)
        row["build_seconds"], row["derive_seconds"] = built - start, time.process_time() - built
        row["groups"], row["completeness"] = len(spec.groups), spec.completeness
    row["peak_gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return row


def alone(name: str | None) -> dict[str, Any]:
    """`measure` in a fresh process, so that its peak is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (name,))


COLUMNS = {
    "network": "network", "parameters": "parameters", "groups": "groups", "completeness": "complete",
    "build_seconds": "build, s", "derive_seconds": "derive, s", "peak_gigabytes": "peak, GiB",
    "extra_gigabytes": "above imports, GiB",
}  # fmt: skip


def main() -> None:
    from suites.families.large import FAMILIES

    parser = options("Derive the symmetry of large networks without their weights.")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these networks (all; three with --quick)")
    arguments = parser.parse_args()
    known = [family.name for family in FAMILIES]
    names = arguments.only or [name for name in known if name in QUICK or not arguments.quick]
    if unknown := set(names) - set(known):
        parser.error(f"no such network: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    idle = alone(None)["peak_gigabytes"]
    rows = []
    for name in names:
        row = alone(name)
        rows.append(row | {"extra_gigabytes": row["peak_gigabytes"] - idle})
        print(f"{name}: {row['derive_seconds']:.1f} s, {row['peak_gigabytes']:.2f} GiB", file=sys.stderr)
    seconds = [row["derive_seconds"] for row in rows]
    summary = {
        "networks": len(rows),
        "derive_seconds_median": statistics.median(seconds),
        "derive_seconds_max": max(seconds),
        "peak_gigabytes_max": max(row["peak_gigabytes"] for row in rows),
        "import_gigabytes": idle,
        "completeness_min": min(row["completeness"] for row in rows),
    }
    for row in rows:
        if row["network"] == SEVEN_BILLION:
            summary["seven_billion_seconds"] = row["derive_seconds"]
            summary["seven_billion_gigabytes"] = row["peak_gigabytes"]
    publish(
        "Large networks on the meta device",
        COLUMNS,
        rows,
        summary,
        arguments,
        [f"{k}: {v}" for k, v in summary.items()],
    )


if __name__ == "__main__":
    main()
