"""The mean of many independently trained networks: as they are, and aligned in every way that `align_many` knows.

    python benchmarks/many.py [--quick] [--samples N] [--seeds N] [--restarts N] [--only TEXT] [--json FILE]

Every method works on the same sum of inner products over all pairs, in balanced blocks. Results depend on random
starts, hence several seeds of each: means, and the range in brackets. Where networks have batch norms, the mean is also
measured with its statistics measured again on training images.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from harness import options, publish
from harness.shown import with_range
from rich.progress import track
from torch import Tensor

from weightspace.align.many import METHODS, ManyAlignment, align_many
from weightspace.checkpoint import open_checkpoint
from weightspace.data import Dataset, Normalization, open_data
from weightspace.evaluate import evaluate
from weightspace.source import Program, resolve_source
from weightspace.stats import has_batchnorm, reset_batchnorm
from weightspace.symmetry import derive

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
BATCH = 500

State = dict[str, Tensor]


@dataclass(frozen=True)
class Networks:
    """Checkpoints of one architecture and the data that they were trained for.

    Attributes:
        paths: The checkpoints.
        data: Path of the data.
        arch: As `--arch` takes it; None for a stack of layers that the checkpoint tells, with ReLU between.
        normalization: What the networks expect.
        slow: Whether --quick leaves them out.
    """

    paths: tuple[Path, ...]
    data: Path
    arch: str | None = None
    normalization: Normalization | None = None
    slow: bool = False


def mlps(name: str, data: str, count: int) -> Networks:
    return Networks(
        tuple(SHARED / "mlp_seeds" / f"{name}_mlp_seed{seed}.pt" for seed in range(count)),
        SHARED / data,
        slow=count > 3,
    )


CASES = {
    **{f"MNIST MLP x {count}": mlps("mnist", "mnist", count) for count in (3, 5, 7)},
    **{f"Fashion MLP x {count}": mlps("fashion_mnist", "fashion_mnist_resplit", count) for count in (3, 5, 7)},
    "CIFAR-10 ResNet-20 x 3": Networks(
        tuple(SHARED / "resnet_cifar10" / "resnet20" / f"DanSun18_run_8_{run}_model.th" for run in (1, 2, 3)),
        SHARED / "cifar10",
        f"{REPOSITORY / 'checkpoints_zoo' / 'cifar_resnet.py'}:resnet20",
        IMAGENET,
        slow=True,
    ),
}


class Bench:
    """One case, loaded, with everything that is measured on it."""

    def __init__(self, case: Networks, arguments: argparse.Namespace) -> None:
        checkpoints = [open_checkpoint(path) for path in case.paths]
        activation = "relu" if case.arch is None else None
        source = resolve_source(case.arch, checkpoint=checkpoints[0], activation=activation)
        inputs = source.example_inputs()
        self.case, self.arguments = case, arguments
        self.program = Program.from_source(source)
        self.spec = derive(source.build(meta=True), inputs.args, inputs.kwargs)
        self.states = [checkpoint.tensors() for checkpoint in checkpoints]
        self.data: Dataset = open_data(case.data)
        self.resets = has_batchnorm(self.program)

    def accuracy(self, state: State) -> float:
        """In percent, on the first --samples images of the evaluation split."""
        batches = self.data.evaluation.batches(
            BATCH, samples=self.arguments.samples, normalization=self.case.normalization
        )
        return 100 * evaluate(self.program, state, batches).accuracy

    def reset(self, state: State) -> State:
        batches = self.data.statistics.batches(
            BATCH, samples=self.arguments.samples, shuffle_seed=0, normalization=self.case.normalization
        )
        return reset_batchnorm(self.program, state, batches)

    def row(self, method: str, found: list[ManyAlignment], seconds: list[float]) -> dict[str, Any]:
        """What a method reaches, over its runs."""
        means = [alignment.mean(self.states) for alignment in found]
        return {
            "method": method,
            "objective": [alignment.objective_after for alignment in found],
            "mean": [self.accuracy(mean) for mean in means],
            "mean_reset": [self.accuracy(self.reset(mean)) for mean in means] if self.resets else [],
            "seconds": seconds,
        }

    def rows(self) -> list[dict[str, Any]]:
        still = ManyAlignment(self.spec, (self.spec.identity(),) * len(self.states), "none", 0.0, 0.0, 0.0, 0)
        rows = [{**self.row("none", [still], []), "ends": [self.accuracy(state) for state in self.states]}]
        for method in reversed(METHODS):
            found, seconds = [], []
            for seed in range(self.arguments.seeds):
                began = time.perf_counter()
                found.append(
                    align_many(self.states, self.spec, method=method, restarts=self.arguments.restarts, seed=seed)
                )
                seconds.append(time.perf_counter() - began)
            rows.append(self.row(method, found, seconds))
        rows[0]["objective"] = [found[0].objective_before]
        return rows


def summarise(rows: list[dict[str, Any]], skipped: dict[str, str]) -> dict[str, Any]:
    """Per case and method: mean objective, and mean accuracies of the mean network, in percent."""
    cases: dict[str, Any] = {}
    for row in rows:
        entry = cases.setdefault(row["case"], {})
        if "ends" in row:
            entry["ends"] = row["ends"]
        entry[row["method"]] = {
            key: fmean(row[key]) if row[key] else None for key in ("objective", "mean", "mean_reset", "seconds")
        }
    return {"cases": cases, "skipped": skipped}


COLUMNS = {
    "case": "networks", "method": "method", "ends_shown": "each, %", "mean_shown": "their mean, %",
    "mean_reset_shown": "mean after reset, %", "objective_shown": "inner products", "seconds_shown": "s",
}  # fmt: skip


def main() -> None:
    parser = options("Align several checkpoints at once and measure the mean of all of them.")
    parser.add_argument("--samples", type=int, default=2000, metavar="N", help="images, and for resets (2000)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of every method (3)")
    parser.add_argument("--restarts", type=int, default=5, metavar="N", help="starts of every search (5)")
    parser.add_argument("--only", metavar="TEXT", help="cases whose names contain it")
    arguments = parser.parse_args()
    cases = {name: case for name, case in CASES.items() if arguments.only is None or arguments.only in name}
    if arguments.quick:
        cases = {name: case for name, case in cases.items() if not case.slow}
        arguments.samples, arguments.seeds, arguments.restarts = min(arguments.samples, 1000), 1, 2
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for name, case in track(cases.items(), description="networks", transient=True):
        absent = [path for path in (*case.paths, case.data) if not path.exists()]
        if absent:
            skipped[name] = f"{absent[0]} is absent"
        else:
            rows += [{"case": name, **row} for row in Bench(case, arguments).rows()]
    for row in rows:
        row["ends_shown"] = with_range(row["ends"]) if "ends" in row else None
        for key in ("objective", "mean", "mean_reset", "seconds"):
            row[f"{key}_shown"] = with_range(row[key])
    notes = [
        "none: as they are. pairwise: each with the first. merge-many: each with the mean of the others. "
        "cycle-consistent: all at once. Means over the seeds, with the range.",
        *(f"skipped {name}: {reason}" for name, reason in skipped.items()),
    ]
    publish("The mean of many networks", COLUMNS, rows, summarise(rows, skipped), arguments, notes)


if __name__ == "__main__":
    main()
