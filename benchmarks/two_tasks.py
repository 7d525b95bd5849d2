"""Networks trained on different halves of the classes, merged into one that keeps both heads.

    python benchmarks/two_tasks.py [--quick] [--only TEXT] [--methods NAME ...] [--networks FOLDER] [--samples N]
        [--seeds N] [--json FILE]

One network knows the first five classes of MNIST or CIFAR-10, the other the last five (checkpoints_zoo/train_halves.py;
those that are not in `--networks` are trained first, a minute each on MNIST and some seven on CIFAR-10). *joint*: test
accuracy over all ten classes, the largest of the ten outputs of both heads side by side; these were never trained
against each other. *first*, *last*: accuracy on the classes of one half by the outputs of its own head. A network
*alone* has no outputs for the other half. *ensemble*: both networks, at twice the size and time: the ceiling. All that
goes by data goes by unlabelled training images of both halves, at most `--samples`; statistics of batch norms are
measured on these at the end. Every seed is another pair of networks; means, and the range in brackets.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from harness import options, publish
from harness.shown import with_range
from rich.progress import track
from torch import Tensor
from trained.pairs import REPOSITORY, SHARED, ZOO

from weightspace.align import align
from weightspace.checkpoint import open_checkpoint
from weightspace.data import Batch, open_data
from weightspace.merge import interpolate, join_heads, pleas
from weightspace.source import Inputs, Program, resolve_source
from weightspace.stats import has_batchnorm, reset_batchnorm
from weightspace.symmetry import derive

sys.path.insert(0, str(ZOO))
from train_halves import HALVES, RECIPES, path_of, write

State = dict[str, Tensor]
BATCH, LEARNED = 500, 100
PASSES = {"mnist_mlp": 20, "mnist_cnn": 20, "cifar_resnet20": 8}
DATA = {"mnist_mlp": SHARED / "mnist", "mnist_cnn": SHARED / "mnist", "cifar_resnet20": SHARED / "cifar10"}


@dataclass(frozen=True)
class Score:
    """Accuracies in %: over all classes, and on the classes of each half by its own head."""

    joint: float
    halves: tuple[float, float]


class Tasks:
    """Two networks with different classes as networks with the classes of both, and their data.

    Attributes:
        program: The joint network.
        spec: Its symmetry.
        a: Weights of the network of the first half.
        b: Weights of that of the last half.
        passes: Passes of distillation.
    """

    def __init__(self, network: str, folder: Path, seed: int, arguments: argparse.Namespace) -> None:
        self._recipe, self._seed, self._arguments = RECIPES[network], seed, arguments
        self.passes = PASSES[network]
        self._data = open_data(DATA[network])
        models = [open_checkpoint(path_of(folder, network, half, seed)) for half in HALVES]
        joint = join_heads(resolve_source(str(ZOO / self._recipe.arch)), models)
        inputs = joint.source.example_inputs()
        self.program = Program.from_source(joint.source)
        self.spec = derive(joint.source.build(meta=True), inputs.args, inputs.kwargs)
        self.a, self.b = (dict(joint.state(at, model)) for at, model in enumerate(models))
        self._blocks = joint.outputs

    def calls(self) -> list[Inputs]:
        """Calls on unlabelled training images of both halves."""
        return [self.program.inputs_for(x) for x, _ in self._training(LEARNED)]

    def finished(self, state: State) -> State:
        """The network with its statistics measured again, if it has any."""
        if not has_batchnorm(self.program):
            return state
        return reset_batchnorm(self.program, state, self._training(BATCH))

    def score(self, *states: State) -> Score:
        """How good the mean of the outputs of some networks is."""
        right, known, seen = 0, [0, 0], [0, 0]
        split, limit = self._data.evaluation, 500 if self._arguments.quick else None
        for x, y in split.batches(BATCH, samples=limit, shuffle_seed=0, normalization=self._recipe.normalization):
            assert y is not None
            outputs = torch.stack([self.program.prediction(state, x) for state in states]).mean(0)
            right += int((outputs.argmax(1) == y).sum())
            for half, block in enumerate(self._blocks):
                own = (y >= block.start) & (y < block.stop)
                found = outputs[own, block.start : block.stop].argmax(1) + block.start
                known[half] += int((found == y[own]).sum())
                seen[half] += int(own.sum())
        first, last = (100 * one / count for one, count in zip(known, seen, strict=True))
        return Score(100 * right / sum(seen), (first, last))

    def alone(self, half: int) -> Score:
        """One of the networks: of the other classes it knows none."""
        own = self.score((self.a, self.b)[half]).halves[half]
        return Score(own / len(HALVES), (own, 0.0) if half == 0 else (0.0, own))

    def aligned(self, method: str) -> State:
        found = align(
            self.a, self.b, self.spec, method=method, seed=self._seed, program=self.program, batches=self.calls
        )
        return found.apply(self.b)

    def _training(self, size: int) -> Iterator[Batch]:
        samples, normalization = self._arguments.samples, self._recipe.normalization
        return self._data.statistics.batches(
            size, samples=samples, shuffle_seed=self._seed, normalization=normalization
        )


def mean_of(method: str | None) -> Callable[[Tasks], Score]:
    def measure(tasks: Tasks) -> Score:
        b = tasks.b if method is None else tasks.aligned(method)
        return tasks.score(tasks.finished(interpolate(tasks.a, b, 0.5)))

    return measure


def by_pleas(tasks: Tasks) -> Score:
    calls, b = tasks.calls(), tasks.aligned("activations")
    merged = pleas((tasks.a, b), tasks.program, lambda: calls, passes=tasks.passes)
    return tasks.score(tasks.finished(merged.state))


METHODS: dict[str, Callable[[Tasks], Score]] = {
    "first alone": lambda tasks: tasks.alone(0),
    "last alone": lambda tasks: tasks.alone(1),
    "ensemble": lambda tasks: tasks.score(tasks.a, tasks.b),
    "naive": mean_of(None),
    "weights": mean_of("weights"),
    "activations": mean_of("activations"),
    "pleas": by_pleas,
}


def row_of(network: str, method: str, pairs: list[Tasks]) -> dict[str, Any]:
    """What a method reaches on the pairs of networks of a kind."""
    scores, seconds = [], []
    for seed, tasks in enumerate(pairs):
        torch.manual_seed(seed)
        began = time.perf_counter()
        scores.append(METHODS[method](tasks))
        seconds.append(time.perf_counter() - began)
    joint, first, last = [score.joint for score in scores], *zip(*(score.halves for score in scores), strict=True)
    return {
        "network": network, "method": method, "joint": joint, "first": first, "last": last, "seconds": seconds,
        "joint_shown": with_range(joint), "first_shown": with_range(first), "last_shown": with_range(last),
        "seconds_shown": with_range(seconds),
    }  # fmt: skip


def rows_of(network: str, folder: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    for seed in range(arguments.seeds):
        for half in HALVES:
            if not path_of(folder, network, half, seed).exists():
                write(network, half, seed, data=DATA[network], out=folder)
    pairs = [Tasks(network, folder, seed, arguments) for seed in range(arguments.seeds)]
    return [row_of(network, method, pairs) for method in arguments.methods]


def summarise(rows: list[dict[str, Any]], skipped: dict[str, str]) -> dict[str, Any]:
    networks: dict[str, Any] = {}
    for row in rows:
        means = {key: fmean(row[key]) for key in ("joint", "first", "last")}
        networks.setdefault(row["network"], {})[row["method"]] = means
    return {"networks": networks, "skipped": skipped}


COLUMNS = {
    "network": "network", "method": "method", "joint_shown": "joint", "first_shown": "first", "last_shown": "last",
    "seconds_shown": "s",
}  # fmt: skip


def main() -> None:
    parser = options("Merge networks that were trained on different classes, and keep both heads.")
    parser.add_argument("--only", metavar="TEXT", default="", help="networks whose name holds this")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="which (all)")
    parser.add_argument(
        "--networks", type=Path, default=REPOSITORY / "demo-output" / "halves", metavar="FOLDER",
        help="where the trained networks are kept, and those that are missing are written (demo-output/halves)",
    )  # fmt: skip
    parser.add_argument("--samples", type=int, default=5000, metavar="N", help="unlabelled examples (5000)")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="pairs of networks of each kind (2)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as in training
    if arguments.quick:
        arguments.samples, arguments.seeds = min(arguments.samples, 500), 1
    names = [name for name in RECIPES if arguments.only in name and (arguments.only or not arguments.quick)]
    names = names or ["mnist_mlp"]
    skipped = {name: f"{DATA[name]} is absent" for name in names if not DATA[name].exists()}
    rows = [
        row
        for name in track([name for name in names if name not in skipped], description="networks", transient=True)
        for row in rows_of(name, arguments.networks, arguments)
    ]
    notes = [f"skipped {name}: {reason}" for name, reason in skipped.items()]
    publish("Two tasks, both heads kept", COLUMNS, rows, summarise(rows, skipped), arguments, notes)


if __name__ == "__main__":
    main()
