"""Train the small networks of this folder on scikit-learn's digits.

Two MLPs and two CNNs, each from its own seed: other initial weights, another order of the batches. Same machine and
versions give the same files, bit for bit.

    python checkpoints_zoo/train_digits.py [--out FOLDER] [--epochs N]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from models import digits_cnn, digits_mlp
from sklearn.datasets import load_digits
from torch import Tensor, nn

from weightspace.checkpoint import Provenance, write_checkpoint
from weightspace.data import Split, open_data

NETWORKS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {"digits_mlp": digits_mlp, "digits_cnn": digits_cnn}
SEEDS = (0, 1)
EPOCHS = 60
BATCH_SIZE = 64
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 0.1
TEST_SIZE = 500
SPLIT_SEED = 0


def write_data(folder: Path) -> None:
    """Store the digits as images: 8 x 8, one channel, the 17 levels of grey 0 to 16 spread over 0 to 255."""
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.uint8)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    folder.mkdir(parents=True, exist_ok=True)
    for name, index in (("test", order[:TEST_SIZE]), ("train", order[TEST_SIZE:])):
        np.savez_compressed(folder / f"{name}.npz", x=images[index], y=labels[index])


def train(build: Callable[[], tuple[nn.Module, Tensor]], split: Split, *, seed: int, epochs: int) -> nn.Module:
    """AdamW with one cosine from the learning rate to zero; cross-entropy; no augmentation."""
    torch.manual_seed(seed)
    module, _ = build()
    module.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-len(split) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(epochs):
        for x, y in split.batches(BATCH_SIZE, shuffle_seed=seed * 10_000 + epoch):
            assert y is not None
            loss = F.cross_entropy(module(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return module.eval()


@torch.no_grad()
def accuracy(module: nn.Module, split: Split) -> float:
    (batch,) = split.batches(len(split))
    return float((module(batch.x).argmax(1) == batch.y).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the networks of checkpoints_zoo on scikit-learn's digits.")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="folder to write into")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"passes over the training set ({EPOCHS})")
    arguments = parser.parse_args()

    # The sum of a matrix product depends on the number of threads.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    write_data(arguments.out / "digits")
    data = open_data(arguments.out / "digits")
    for name, build in NETWORKS.items():
        for seed in SEEDS:
            module = train(build, data.splits["train"], seed=seed, epochs=arguments.epochs)
            recipe = {
                "network": f"models.py:{name}", "data": "scikit-learn digits", "split_seed": SPLIT_SEED,
                "epochs": arguments.epochs, "batch_size": BATCH_SIZE, "optimizer": "AdamW, cosine to zero",
                "learning_rate": LEARNING_RATE, "weight_decay": WEIGHT_DECAY,
                "test_accuracy": accuracy(module, data.splits["test"]),
            }  # fmt: skip
            provenance = Provenance("python checkpoints_zoo/train_digits.py", recipe, inputs={}, seed=seed)
            path = arguments.out / f"{name}_{seed}.safetensors"
            write_checkpoint(path, module.state_dict(), provenance=provenance)
            size = path.stat().st_size / 1024
            print(f"{path.name}: {100 * recipe['test_accuracy']:.1f} % of {TEST_SIZE} test digits, {size:.0f} KB")


if __name__ == "__main__":
    main()
