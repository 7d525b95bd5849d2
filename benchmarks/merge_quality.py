"""Merges of independently trained networks, at the size of one and above: how good they are, by every method.

    python benchmarks/merge_quality.py [--quick] [--only TEXT] [--methods NAME ...] [--samples N] [--seeds N]
        [--json FILE]

*naive*: the mean of the weights as they are. *weights*, *activations*: the mean after alignment; *repaired*: with every
unit brought back to the mean of its moments (REPAIR, Jordan et al. 2022; before batch norms the reset of their
statistics does that, which all methods have: of such networks only the last layer differs). *at once*: every layer
solved for the mean features of the aligned networks (PLeaS, Nasery et al. 2024). *in turn*: one layer after the other,
each on what reaches it in the merged network. *pleas*: that, and then distilled towards the mean outputs; *pleas 1.2x*
and so on: with as many parameters, the rest of the units kept apart. *zipit*: the units that are most alike merged,
within each network and across (Stoica et al. 2023). *ensemble*: the mean of the outputs of both networks, at twice the
size and time: the ceiling. All that goes by data goes by unlabelled training examples, at most `--samples`; statistics
of batch norms are measured on these at the end. Results depend on the choice of examples and on visiting orders, hence
several seeds: means, and the range in brackets.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from harness import options, publish
from harness.shown import with_range
from rich.progress import track
from torch import Tensor
from trained import PAIRS, Subject, present

from weightspace.align import align
from weightspace.errors import SpecError
from weightspace.evaluate import interpolate
from weightspace.merge import pleas, refit, refit_in_turn, repair, sized, zipit
from weightspace.source import Inputs, Program

State = dict[str, Tensor]
PASSES = {"accuracy": 8, "distance": 20, "nats": 4}
MEASURED = 400  # examples on which it is decided what is kept apart


def aligned(subject: Subject, seed: int, method: str) -> State:
    found = align(
        subject.a, subject.b, subject.spec, method=method, seed=seed,
        program=subject.program, batches=lambda: subject.calls(seed),
    )  # fmt: skip
    return found.apply(subject.b)


@dataclass(frozen=True)
class Merged:
    """A merged network; its program where that is another one than that of the pair, and why there is none."""

    state: State | None
    program: Program | None = None
    reason: str = ""

    def parameters(self, subject: Subject) -> float:
        """Number of parameters, relative to that of one network."""
        program = self.program or subject.program
        return program.parameters / subject.program.parameters


def mean_of(method: str | None) -> Callable[[Subject, int], Merged]:
    def merge(subject: Subject, seed: int) -> Merged:
        b = subject.b if method is None else aligned(subject, seed, method)
        return Merged(interpolate(subject.a, b, 0.5))

    return merge


def repaired(method: str) -> Callable[[Subject, int], Merged]:
    def merge(subject: Subject, seed: int) -> Merged:
        b = aligned(subject, seed, method)
        calls: list[Inputs] = list(subject.calls(seed))
        return Merged(repair(subject.program, (subject.a, b), interpolate(subject.a, b, 0.5), lambda: calls).state)

    return merge


def solved(solve: Callable[..., Any]) -> Callable[[Subject, int], Merged]:
    def merge(subject: Subject, seed: int) -> Merged:
        b = aligned(subject, seed, "activations")
        calls: list[Inputs] = list(subject.calls(seed))
        middle = interpolate(subject.a, b, 0.5)
        return Merged(solve(subject.program, (subject.a, b), middle, lambda: calls).state)

    return merge


def by_pleas(size: float) -> Callable[[Subject, int], Merged]:
    def merge(subject: Subject, seed: int) -> Merged:
        models = subject.a, aligned(subject, seed, "activations")
        calls: list[Inputs] = list(subject.calls(seed))
        wide = None
        if size > 1:
            some = calls[: max(1, MEASURED // len(calls[0].tensors()[0]))]
            try:
                wide = sized(subject.program, models, subject.spec, some, size=size).wide
            except SpecError as error:
                return Merged(None, reason=str(error))
        passes = PASSES[subject.measure]
        found = pleas(models, subject.program, lambda: calls, wide=wide, passes=passes, seed=seed)
        return Merged(found.state, found.program)

    return merge


def by_zipit(subject: Subject, seed: int) -> Merged:
    models = subject.a, aligned(subject, seed, "activations")
    return Merged(zipit(models, subject.program, subject.spec, subject.calls(seed)).state)


METHODS: dict[str, Callable[[Subject, int], Merged]] = {
    "naive": mean_of(None),
    "weights": mean_of("weights"),
    "weights, repaired": repaired("weights"),
    "activations": mean_of("activations"),
    "activations, repaired": repaired("activations"),
    "at once": solved(refit),
    "in turn": solved(refit_in_turn),
    "pleas": by_pleas(1.0),
    **{f"pleas {size}x": by_pleas(size) for size in (1.2, 1.5, 2.0)},
    "zipit": by_zipit,
}


def row_of(name: str, method: str, subject: Subject, seeds: int) -> dict[str, Any] | str:
    """What a method reaches on a pair, over the seeds; or why it cannot be used there."""
    scores, seconds, sizes = [], [], []
    for seed in range(1 if method == "naive" else seeds):
        torch.manual_seed(seed)
        began = time.perf_counter()
        merged = METHODS[method](subject, seed)
        seconds.append(time.perf_counter() - began)
        if merged.state is None:
            return merged.reason
        state = subject.reset(merged.state, merged.program) if subject.resets else merged.state
        scores.append(subject.score(state, merged.program))
        sizes.append(merged.parameters(subject))
    return {
        "pair": name, "measure": PAIRS[name].measure, "method": method, "examples": subject.measured, "size": sizes,
        "merged": scores, "seconds": seconds, "merged_shown": with_range(scores), "seconds_shown": with_range(seconds),
        "size_shown": f"{fmean(sizes):.2f}x",
    }  # fmt: skip


def rows_of(name: str, arguments: argparse.Namespace, notes: list[str]) -> list[dict[str, Any]]:
    subject = Subject(PAIRS[name], arguments.samples)
    found = {method: row_of(name, method, subject, arguments.seeds) for method in arguments.methods}
    notes.extend(f"{name}, {method}: {row}" for method, row in found.items() if isinstance(row, str))
    rows = [row for row in found.values() if not isinstance(row, str)]
    if not rows:
        return []
    rows[0]["ends"] = [subject.score(subject.a), subject.score(subject.b)]
    rows[0]["ensemble"] = subject.ensemble()
    return rows


def summarise(rows: list[dict[str, Any]], skipped: dict[str, str]) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for row in rows:
        entry = pairs.setdefault(row["pair"], {"measure": row["measure"]})
        entry |= {key: row[key] for key in ("ends", "ensemble") if key in row}
        entry[row["method"]] = fmean(row["merged"])
    return {"pairs": pairs, "skipped": skipped}


COLUMNS = {
    "pair": "pair", "ends": "ends", "ensemble": "ensemble", "measure": "measure", "method": "method",
    "size_shown": "size", "merged_shown": "merged", "seconds_shown": "s",
}  # fmt: skip


def main() -> None:
    parser = options("Merge pairs of real checkpoints by every method.")
    parser.add_argument("--only", metavar="TEXT", default="", help="pairs whose name holds this")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="which (all)")
    parser.add_argument("--samples", type=int, default=5000, metavar="N", help="unlabelled examples (5000)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="runs of every method (5)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.samples, arguments.seeds = min(arguments.samples, 500), 1
    names, skipped = present(arguments.only, quick=arguments.quick)
    notes = [f"skipped {name}: {reason}" for name, reason in skipped.items()]
    listed = track(names, description="pairs", transient=True)
    rows = [row for name in listed for row in rows_of(name, arguments, notes)]
    publish("Pairs of real checkpoints, merged", COLUMNS, rows, summarise(rows, skipped), arguments, notes)


if __name__ == "__main__":
    main()
