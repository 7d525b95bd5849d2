"""Train networks on one half of the classes each: the first five and the last five of MNIST or of CIFAR-10.

    python checkpoints_zoo/train_halves.py mnist_mlp --data FOLDER --out FOLDER [--seeds N] [--epochs N]

No two of the networks share initial weights or an order of the batches. Each counts its own classes from 0. Same
machine and versions give the same files, bit for bit. `--data` takes what `wsp` takes: a folder with a training part
and a test part.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from cifar_resnet import resnet20_half
from models import mnist_cnn_half, mnist_mlp_half
from torch import Tensor, nn

from weightspace.checkpoint import Provenance, write_checkpoint
from weightspace.data import Normalization, Split, open_data

HALVES = ("first", "last")
CLASSES = 5  # of a half
MOMENTUM = 0.9


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: stochastic gradients with Nesterov's momentum, the rate of one cycle.

    Attributes:
        build: Makes the network, and an input that it takes.
        arch: Where that is, as `--arch` takes it.
        epochs: Passes over the examples of its half.
        batch: Examples in a batch.
        rate: The highest learning rate.
        decay: Weight decay.
        normalization: What is done to inputs in [0, 1].
        augmented: Whether images are mirrored and shifted at random, and computed in bfloat16 where that is precise
            enough.
    """

    build: Callable[[], tuple[nn.Module, Tensor]]
    arch: str
    epochs: int
    batch: int
    rate: float
    decay: float
    normalization: Normalization | None = None
    augmented: bool = False


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
RECIPES = {
    "mnist_mlp": Recipe(mnist_mlp_half, "models.py:mnist_mlp_half", 10, 64, 0.1, 1e-4),
    "mnist_cnn": Recipe(mnist_cnn_half, "models.py:mnist_cnn_half", 3, 64, 0.2, 1e-4),
    "cifar_resnet20": Recipe(
        resnet20_half, "cifar_resnet.py:resnet20_half", 60, 64, 0.1, 1e-3, IMAGENET, augmented=True
    ),
}


def half_of(split: Split, half: str) -> Split:
    """The examples of one half of the classes, which are counted from 0."""
    assert split.y is not None
    first = CLASSES * HALVES.index(half)
    chosen = np.flatnonzero((split.y >= first) & (split.y < first + CLASSES))
    return Split.from_arrays(split.x[chosen], split.y[chosen] - first, name=split.name)


def augmented(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W), every second one mirrored, shifted by up to four pixels each way over zeros."""
    n, _, height, width = x.shape
    mirrored = torch.rand(n, generator=generator) < 0.5
    x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
    down, right = torch.randint(9, (2, n, 1), generator=generator)
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    padded = F.pad(x, (4, 4, 4, 4)).permute(0, 2, 3, 1)
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def batches(recipe: Recipe, split: Split, seed: int, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
    """All batches of a training run."""
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        order = seed * 10_000 + epoch
        for x, y in split.batches(recipe.batch, shuffle_seed=order, normalization=recipe.normalization):
            assert y is not None
            yield augmented(x, generator) if recipe.augmented else x, y


def train(recipe: Recipe, split: Split, *, seed: int, epochs: int) -> nn.Module:
    """Cross-entropy; the rate rises over the first quarter and falls to nearly zero."""
    torch.manual_seed(seed)
    module, _ = recipe.build()
    module.train()
    optimizer = torch.optim.SGD(
        module.parameters(), lr=recipe.rate, momentum=MOMENTUM, nesterov=True, weight_decay=recipe.decay
    )
    steps = epochs * -(-len(split) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, steps, pct_start=0.25, cycle_momentum=False)
    for x, y in batches(recipe, split, seed, epochs):
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.augmented):
            outputs = module(x)
        loss = F.cross_entropy(outputs.float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return module.eval()


@torch.no_grad()
def accuracy(recipe: Recipe, module: nn.Module, split: Split) -> float:
    right = 0
    for x, y in split.batches(500, normalization=recipe.normalization):
        right += int((module(x).argmax(1) == y).sum())
    return right / len(split)


def path_of(folder: Path, network: str, half: str, seed: int) -> Path:
    """Where a network is written."""
    return folder / f"{network}_{half}_{seed}.safetensors"


def write(network: str, half: str, seed: int, *, data: Path, out: Path, epochs: int | None = None) -> float:
    """Trains a network and writes it, with its recipe; returns its accuracy on the test examples of its half."""
    recipe, opened = RECIPES[network], open_data(data)
    epochs = recipe.epochs if epochs is None else epochs
    own = len(HALVES) * seed + HALVES.index(half)
    module = train(recipe, half_of(opened.statistics, half), seed=own, epochs=epochs)
    reached = accuracy(recipe, module, half_of(opened.evaluation, half))
    told = {
        "network": recipe.arch, "data": data.name, "classes": half, "epochs": epochs, "batch_size": recipe.batch,
        "optimizer": f"SGD, momentum {MOMENTUM}, one cycle", "learning_rate": recipe.rate,
        "weight_decay": recipe.decay, "augmented": recipe.augmented, "test_accuracy": reached,
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    provenance = Provenance("python checkpoints_zoo/train_halves.py", told, inputs={}, seed=own)
    write_checkpoint(path_of(out, network, half, seed), module.state_dict(), provenance=provenance)
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(description="Train networks on halves of the classes of MNIST or CIFAR-10.")
    parser.add_argument("network", choices=RECIPES)
    parser.add_argument("--data", type=Path, required=True, help="the images")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="networks for each half (2)")
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over the training images")
    arguments = parser.parse_args()

    # The sum of a matrix product depends on the number of threads.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for seed in range(arguments.seeds):
        for half in HALVES:
            reached = write(
                arguments.network, half, seed, data=arguments.data, out=arguments.out, epochs=arguments.epochs
            )
            print(f"{path_of(arguments.out, arguments.network, half, seed).name}: {100 * reached:.1f} %", flush=True)


if __name__ == "__main__":
    main()
