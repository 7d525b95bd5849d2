"""Pairs of independently trained networks: how good is the middle between them, by every method.

    python benchmarks/real_pairs.py [--quick] [--only TEXT] [--methods NAME ...] [--samples N] [--seeds N] [--points N]
        [--json FILE]

*none*: B as it is. *plain*: Git Re-Basin's weight matching as its paper and every port of it have it, in the same
process on the same spec. *git-rebasin*: our search, the same objective. *weights*: our default, which balances the
layers and so maximises another sum than the one shown. *activations*: correlation of units on training examples.
*ste*: permutations learned on the loss. Names that end in *-all*: the same with all freedoms beside permutations that
the network has (rotations of a residual stream only where its output head is untied). Each result depends on visiting
orders and on the choice of examples, hence several seeds of each: means, and the range in brackets. The middle of
networks with batch norm also has its statistics measured again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any

from harness import options, publish
from harness.shown import with_range
from peers.git_rebasin import PlainRecipe
from rich.progress import track
from torch import Tensor
from trained import PAIRS, Subject, present

from weightspace.align import align
from weightspace.evaluate import interpolate, measure_barriers
from weightspace.symmetry import Transformation
from weightspace.symmetry.freedom import KINDS


def plain_recipe(subject: Subject, seed: int) -> Transformation:
    recipe = PlainRecipe(subject.a, subject.b, subject.spec)
    recipe.run(seed)
    return Transformation(subject.spec, recipe.element)


def ours(method: str, *kinds: str) -> Callable[[Subject, int], Transformation]:
    """One of the methods of `weightspace.align`, with the network and training examples at hand."""
    return lambda subject, seed: align(
        subject.a, subject.b, subject.spec, method=method, seed=seed, kinds=("permutation", *kinds),
        program=subject.program, batches=lambda: subject.calls(seed),
    ).transformation  # fmt: skip


METHODS: dict[str, Callable[[Subject, int], Transformation]] = {
    "none": lambda subject, seed: Transformation.identity(subject.spec),
    "plain": plain_recipe,
    **{name: ours(name) for name in ("git-rebasin", "weights", "weights-activations", "activations", "ste")},
    **{f"{name}-all": ours(name, *KINDS) for name in ("weights", "activations", "ste")},
}
SEEDLESS = ("none",)


def objective(subject: Subject, moved: Mapping[str, Tensor]) -> float:
    """The plain sum of inner products, in float64, over the blocks that some group moves."""
    spec = subject.spec
    return sum(
        float((block.read(subject.a[name]).double() * block.read(moved[name]).double()).sum())
        for name, tensor in spec.tensors.items()
        if tensor.kind == "parameter"
        for block in spec.blocks[name]
        if block.groups
    )


def row_of(name: str, method: str, subject: Subject, arguments: argparse.Namespace) -> dict[str, Any]:
    """What a method reaches on a pair, over the seeds."""
    row: dict[str, Any] = {
        "pair": name, "measure": PAIRS[name].measure, "method": method, "examples": subject.measured,
        "objective": [], "midpoint": [], "midpoint_reset": [], "seconds": [],
    }  # fmt: skip
    for seed in range(1 if method in SEEDLESS else arguments.seeds):
        began = time.perf_counter()
        moved = METHODS[method](subject, seed).apply(subject.b)
        row["seconds"].append(time.perf_counter() - began)
        middle = interpolate(subject.a, moved, 0.5)
        row["objective"].append(objective(subject, moved))
        row["midpoint"].append(subject.score(middle))
        if subject.resets:
            row["midpoint_reset"].append(subject.score(subject.reset(middle)))
    for key in ("objective", "midpoint", "midpoint_reset", "seconds"):
        row[f"{key}_shown"] = with_range(row[key])
    return row


def curves(subject: Subject, points: int) -> dict[str, Any]:
    """The paths from A to B as it is and as `weights` aligns it, with seed 0."""
    aligned = METHODS["weights"](subject, 0).apply(subject.b)
    return measure_barriers(
        subject.program, subject.a, subject.b, aligned, subject.labelled, subject.statistics, points=points
    ).to_json()


def rows_of(name: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    subject = Subject(PAIRS[name], arguments.samples)
    rows = [row_of(name, method, subject, arguments) for method in arguments.methods]
    rows[0]["ends"] = [subject.score(subject.a), subject.score(subject.b)]
    if arguments.points and PAIRS[name].measure == "accuracy":
        paths = curves(subject, arguments.points)
        rows[0]["curves"] = paths
        rows[0]["barrier"] = {path: paths[path]["barrier"] for path in paths if paths[path] is not None}
    return rows


def summarise(rows: list[dict[str, Any]], skipped: dict[str, str]) -> dict[str, Any]:
    """Per pair: the measure in the middle by every method, means over the seeds."""
    pairs: dict[str, Any] = {}
    for row in rows:
        entry = pairs.setdefault(row["pair"], {"measure": row["measure"]})
        if "ends" in row:
            entry["ends"] = row["ends"]
        if "barrier" in row:
            entry["barrier"] = row["barrier"]
        entry[row["method"]] = {
            "midpoint": fmean(row["midpoint"]),
            "midpoint_reset": fmean(row["midpoint_reset"]) if row["midpoint_reset"] else None,
            "objective": fmean(row["objective"]),
            "seconds": fmean(row["seconds"]),
        }
    return {"pairs": pairs, "skipped": skipped}


COLUMNS = {
    "pair": "pair", "method": "method", "ends": "ends", "measure": "measure", "midpoint_shown": "middle",
    "midpoint_reset_shown": "middle after reset", "objective_shown": "inner product", "seconds_shown": "s",
}  # fmt: skip


def main() -> None:
    parser = options("Align pairs of real checkpoints and measure the middle, by every method.")
    parser.add_argument("--only", metavar="TEXT", default="", help="pairs whose name holds this")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="which (all)")
    parser.add_argument(
        "--samples", type=int, default=2500, metavar="N", help="CIFAR-10 images, and for methods (2500)"
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="runs of every method (5)")
    parser.add_argument("--points", type=int, default=25, metavar="N", help="positions on a path; 0 for none (25)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.samples, arguments.seeds, arguments.points = min(arguments.samples, 250), 1, min(arguments.points, 5)
        arguments.methods = [method for method in arguments.methods if not method.startswith("ste")]
    names, skipped = present(arguments.only, quick=arguments.quick)
    rows = [row for name in track(names, description="pairs", transient=True) for row in rows_of(name, arguments)]
    notes = [f"skipped {name}: {reason}" for name, reason in skipped.items()]
    publish("Pairs of real checkpoints", COLUMNS, rows, summarise(rows, skipped), arguments, notes)


if __name__ == "__main__":
    main()
