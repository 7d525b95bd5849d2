"""Pairs of independently trained networks: how good is the middle between them, beside the plain recipe.

    python benchmarks/real_pairs.py [--quick] [--samples N] [--seeds N] [--points N] [--json FILE]

The plain recipe is Git Re-Basin's weight matching as its paper and every port of it have it, below in `plain_recipe`:
one start, from the order as given. It runs on the same spec, in the same process. Its result depends on the visiting
order, and so does ours, hence several seeds of each: means, and the range in brackets.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from harness import options, publish
from rich.progress import track
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from weightspace.align import align
from weightspace.checkpoint import open_checkpoint
from weightspace.data import Dataset, Normalization, open_data
from weightspace.evaluate import evaluate, interpolate, measure_barriers
from weightspace.source import Program, resolve_source
from weightspace.stats import has_batchnorm, reset_batchnorm
from weightspace.symmetry import Element, Spec, derive

REPOSITORY = Path(__file__).resolve().parents[1]
ZOO = REPOSITORY / "checkpoints_zoo"
SHARED = REPOSITORY.parent / "shared" / "data"
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
BATCH = 500

State = dict[str, Tensor]


@dataclass(frozen=True)
class Pair:
    """Two checkpoints of one network and the data that they were trained for.

    Attributes:
        a: Path of the reference.
        b: Path of the network to be aligned.
        data: Path of the data.
        arch: As `--arch` takes it; None for a stack of layers that the checkpoint tells, with ReLU between.
        normalization: What the networks expect.
        large: Whether --samples limits the test images.
    """

    a: Path
    b: Path
    data: Path
    arch: str | None = None
    normalization: Normalization | None = None
    large: bool = False


PAIRS = {
    "digits MLP": Pair(
        ZOO / "digits_mlp_0.safetensors",
        ZOO / "digits_mlp_1.safetensors",
        ZOO / "digits",
        f"{ZOO / 'models.py'}:digits_mlp",
    ),
    "digits CNN": Pair(
        ZOO / "digits_cnn_0.safetensors",
        ZOO / "digits_cnn_1.safetensors",
        ZOO / "digits",
        f"{ZOO / 'models.py'}:digits_cnn",
    ),
    "MNIST MLP": Pair(
        SHARED / "mlp_seeds" / "mnist_mlp_seed0.pt", SHARED / "mlp_seeds" / "mnist_mlp_seed1.pt", SHARED / "mnist"
    ),
    "CIFAR-10 ResNet-20": Pair(
        SHARED / "resnet_cifar10" / "resnet20" / "DanSun18_run_8_1_model.th",
        SHARED / "resnet_cifar10" / "resnet20" / "DanSun18_run_8_2_model.th",
        SHARED / "cifar10",
        f"{ZOO / 'cifar_resnet.py'}:resnet20",
        IMAGENET,
        large=True,
    ),
}


def plain_recipe(a: State, b: State, spec: Spec, seed: int) -> Element:
    """Git Re-Basin, Algorithm 1 (Ainsworth et al. 2022): from the identity, groups in random order, until no gain.

    The cost of a group is formed anew at every visit, in float64, as the sum over all parameters that carry it of
    unfold(A) unfold(B)^T, the other permutations applied to B. It knows groups that stand alone, without inner ones.
    """
    if any(group.depends_on for group in spec.all_groups):
        raise ValueError("the plain recipe knows no groups within groups")
    a, b = ({name: tensor.double() for name, tensor in state.items()} for state in (a, b))
    carried = {
        group.name: [
            (block, place)
            for name, tensor in spec.tensors.items()
            if tensor.kind == "parameter"
            for block in spec.blocks[name]
            for place, dim in enumerate(block.dims)
            if dim.group == group.name
        ]
        for group in spec.groups
    }
    random = np.random.default_rng(seed)
    element, progress = spec.identity(), True
    while progress:
        progress = False
        for name in random.permutation(list(carried)):
            now = spec.apply(element, b)
            cost = sum(
                unfold(block.read(a[block.tensor]), place) @ unfold(block.read(now[block.tensor]), place).T
                for block, place in carried[name]
            )
            rows, columns = linear_sum_assignment(cost, maximize=True)
            if cost[rows, columns].sum() > np.trace(cost) + 1e-12:
                element = element.then(Element(spec.all_groups, {str(name): torch.from_numpy(columns)}))
                progress = True
    return element


def unfold(tensor: Tensor, place: int) -> np.ndarray:
    return tensor.movedim(place, 0).flatten(1).numpy() if tensor.dim() > 1 else tensor[:, None].numpy()


METHODS: dict[str, Callable[[State, State, Spec, int], Element]] = {
    "plain": plain_recipe,
    "git-rebasin": lambda a, b, spec, seed: align(a, b, spec, method="git-rebasin", seed=seed).element,
    "weights": lambda a, b, spec, seed: align(a, b, spec, method="weights", seed=seed).element,
}


class Bench:
    """One pair, loaded, with everything that is measured on it."""

    def __init__(self, pair: Pair, arguments: argparse.Namespace) -> None:
        first, second = open_checkpoint(pair.a), open_checkpoint(pair.b)
        source = resolve_source(pair.arch, checkpoint=first, activation="relu" if pair.arch is None else None)
        inputs = source.example_inputs()
        self.pair, self.arguments = pair, arguments
        self.program = Program.from_source(source)
        self.spec = derive(source.build(meta=True), inputs.args, inputs.kwargs)
        self.a, self.b = first.tensors(), second.tensors()
        self.data: Dataset = open_data(pair.data)
        self.resets = has_batchnorm(self.program)

    def batches(self):
        samples = self.arguments.samples if self.pair.large else None
        return self.data.evaluation.batches(BATCH, samples=samples, normalization=self.pair.normalization)

    def statistics(self):
        return self.data.statistics.batches(
            BATCH, samples=self.arguments.samples, shuffle_seed=0, normalization=self.pair.normalization
        )

    def accuracy(self, state: State) -> float:
        return 100 * evaluate(self.program, state, self.batches()).accuracy

    def objective(self, element: Element) -> float:
        """The plain sum of inner products, in float64, over the blocks that some group moves."""
        moved = self.spec.apply(element, self.b)
        return sum(
            float((block.read(self.a[name]).double() * block.read(moved[name]).double()).sum())
            for name, tensor in self.spec.tensors.items()
            if tensor.kind == "parameter"
            for block in self.spec.blocks[name]
            if block.groups
        )

    def method(self, name: str) -> dict[str, Any]:
        """What a method reaches, over the seeds."""
        found: dict[str, list[float]] = {"objective": [], "midpoint": [], "midpoint_reset": [], "seconds": []}
        for seed in range(self.arguments.seeds):
            began = time.perf_counter()
            element = METHODS[name](self.a, self.b, self.spec, seed)
            found["seconds"].append(time.perf_counter() - began)
            middle = interpolate(self.a, self.spec.apply(element, self.b), 0.5)
            found["objective"].append(self.objective(element))
            found["midpoint"].append(self.accuracy(middle))
            if self.resets:
                found["midpoint_reset"].append(self.accuracy(reset_batchnorm(self.program, middle, self.statistics())))
        return found

    def curves(self) -> dict[str, Any]:
        """The paths from A to B as it is and as `weights` aligns it, with seed 0."""
        aligned = self.spec.apply(METHODS["weights"](self.a, self.b, self.spec, 0), self.b)
        report = measure_barriers(
            self.program, self.a, self.b, aligned, self.batches, self.statistics, points=self.arguments.points
        )
        return report.to_json()


def rows_of(name: str, bench: Bench) -> list[dict[str, Any]]:
    curves = bench.curves()
    naive = curves["naive"]
    ends = [100 * naive["accuracy"][0], 100 * naive["accuracy"][-1]]
    middle = interpolate(bench.a, bench.b, 0.5)
    rows: list[dict[str, Any]] = [
        {
            "pair": name, "method": "none", "ends": ends, "examples": naive["samples"],
            "objective": [bench.objective(bench.spec.identity())], "midpoint": [bench.accuracy(middle)],
            "midpoint_reset": [bench.accuracy(reset_batchnorm(bench.program, middle, bench.statistics()))]
            if bench.resets else [], "barrier": naive["barrier"], "seconds": [], "curves": {"naive": naive},
        }
    ]  # fmt: skip
    for method in METHODS:
        rows.append({"pair": name, "method": method, **bench.method(method)})
    base = fmean(rows[1]["objective"])
    for row in rows:
        row["objective_ratio"] = fmean(row["objective"]) / base
        for key in ("objective", "midpoint", "midpoint_reset", "seconds"):
            row[f"{key}_shown"] = with_range(row[key])
    rows[-1] |= {
        "barrier": curves["aligned"]["barrier"], "curves": {key: curves[key] for key in ("aligned", "aligned_reset")},
        "barrier_reset": curves["aligned_reset"]["barrier"] if bench.resets else None,
    }  # fmt: skip
    return rows


def with_range(values: list[float]) -> str | None:
    if not values:
        return None
    digits = 1 if max(values) >= 10 else 3
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{fmean(values):.{digits}f} [{low}, {high}]"


def summarise(rows: list[dict[str, Any]], skipped: dict[str, str]) -> dict[str, Any]:
    """Per pair: mean accuracies in the middle, in percent, and objectives over that of the plain recipe."""
    pairs: dict[str, Any] = {}
    for row in rows:
        entry = pairs.setdefault(row["pair"], {})
        if row["method"] == "none":
            entry["ends"] = row["ends"]
        entry[row["method"]] = {
            "midpoint": fmean(row["midpoint"]),
            "midpoint_reset": fmean(row["midpoint_reset"]) if row["midpoint_reset"] else None,
            "objective_ratio": row["objective_ratio"],
            "barrier": row.get("barrier"),
            "barrier_reset": row.get("barrier_reset"),
        }
    return {"pairs": pairs, "skipped": skipped}


COLUMNS = {
    "pair": "pair", "method": "method", "ends": "ends, %", "midpoint_shown": "middle, %",
    "midpoint_reset_shown": "middle after reset, %", "objective_shown": "inner product",
    "objective_ratio": "over plain", "barrier": "barrier, nats", "barrier_reset": "after reset", "seconds_shown": "s",
}  # fmt: skip


def main() -> None:
    parser = options("Align pairs of real checkpoints and measure the middle, beside plain Git Re-Basin.")
    parser.add_argument("--samples", type=int, default=2000, metavar="N", help="CIFAR-10 images, and for resets (2000)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of every method (3)")
    parser.add_argument("--points", type=int, default=25, metavar="N", help="positions on a path (25)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.samples, arguments.seeds, arguments.points = min(arguments.samples, 250), 1, min(arguments.points, 5)
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for name in track(PAIRS, description="pairs", transient=True):
        absent = [path for path in (PAIRS[name].a, PAIRS[name].b, PAIRS[name].data) if not path.exists()]
        if absent:
            skipped[name] = f"{absent[0]} is absent"
        else:
            rows += rows_of(name, Bench(PAIRS[name], arguments))
    notes = [
        "none: B as it is. plain: Git Re-Basin's recipe. git-rebasin: our search, the same objective. "
        "weights: our default, which balances the layers and so maximises another sum than the one shown.",
        *(f"skipped {name}: {reason}" for name, reason in skipped.items()),
    ]
    publish("Pairs of real checkpoints", COLUMNS, rows, summarise(rows, skipped), arguments, notes)


if __name__ == "__main__":
    main()
