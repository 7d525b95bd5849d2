"""The pairs: where they lie, of which network they are, and on what they are measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weightspace.data import Normalization

REPOSITORY = Path(__file__).resolve().parents[2]
ZOO = REPOSITORY / "checkpoints_zoo"
SHARED = REPOSITORY.parent / "shared" / "data"
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

Measure = Literal["accuracy", "nats", "distance"]


@dataclass(frozen=True)
class Pair:
    """Two checkpoints of one network and what they were trained for.

    Attributes:
        a: Path of the reference.
        b: Path of the network to be aligned.
        data: Path of the data: labelled examples, or a text; None where inputs are drawn from the box that the network
            was trained on.
        arch: As `--arch` takes it; None for what lies beside the checkpoint or its tensors tell, with ReLU between.
        normalization: What the networks expect.
        large: Whether --samples limits the test examples.
        measure: Accuracy in %, loss of the next character in nats, or the squared distance from the mean of the outputs
            of both ends over its variance.
        untied: Give the output heads tensors of their own first (`wsp untie`).
    """

    a: Path
    b: Path
    data: Path | None
    arch: str | None = None
    normalization: Normalization | None = None
    large: bool = False
    measure: Measure = "accuracy"
    untied: bool = False

    @property
    def paths(self) -> list[Path]:
        """Files and folders that it needs."""
        return [path for path in (self.a, self.b, self.data) if path is not None]


def _mlp(data: str, kind: str, one: int, two: int) -> Pair:
    folder = SHARED / "mlp_seeds"
    return Pair(folder / f"{kind}_mlp_seed{one}.pt", folder / f"{kind}_mlp_seed{two}.pt", SHARED / data)


def _resnet(depth: int, one: str, two: str) -> Pair:
    folder = SHARED / "resnet_cifar10" / f"resnet{depth}"
    paths = (folder / f"DanSun18_run_{run}_model.th" for run in (one, two))
    return Pair(*paths, SHARED / "cifar10", f"{ZOO / 'cifar_resnet.py'}:resnet{depth}", IMAGENET, large=True)


def _ours(name: str) -> Pair:
    paths = (ZOO / f"{name}_{seed}.safetensors" for seed in (0, 1))
    return Pair(*paths, ZOO / "digits", f"{ZOO / 'models.py'}:{name}")


def _lenet(one: str, two: str) -> Pair:
    paths = (SHARED / "cifar_lenet" / f"{name}_cifar_net.pth" for name in (one, two))
    arch = f"{Path(__file__).with_name('architectures.py')}:lenet"
    return Pair(*paths, SHARED / "cifar10", arch, HALVES, large=True)


def _acas(one: str, two: str) -> Pair:
    paths = (SHARED / "acasxu" / f"ACASXU_run2a_{name}.safetensors" for name in (one, two))
    return Pair(*paths, None, f"{Path(__file__).with_name('architectures.py')}:acas_xu", measure="distance")


_TEXT = SHARED / "shakespeare"

PAIRS = {
    "digits MLP": _ours("digits_mlp"),
    "digits CNN": _ours("digits_cnn"),
    "MNIST MLP": _mlp("mnist", "mnist", 0, 1),
    "Fashion-MNIST MLP": _mlp("fashion_mnist_resplit", "fashion_mnist", 0, 1),
    "CIFAR-10 LeNet, bearmeal and camron": _lenet("bearmeal", "camron"),
    "CIFAR-10 LeNet, bearmeal and kang812": _lenet("bearmeal", "kang812"),
    "CIFAR-10 ResNet-20": _resnet(20, "8_1", "8_2"),
    "CIFAR-10 ResNet-20, 8_1 and 8_3": _resnet(20, "8_1", "8_3"),
    "CIFAR-10 ResNet-20, 8_2 and 8_3": _resnet(20, "8_2", "8_3"),
    "CIFAR-10 ResNet-32": _resnet(32, "1", "4"),
    "CIFAR-10 ResNet-56": _resnet(56, "1", "3"),
    "ACAS Xu 1_1 and 1_2": _acas("1_1", "1_2"),
    "Shakespeare GPT-2": Pair(_TEXT / "gpt2_0", _TEXT / "gpt2_1", _TEXT / "tinyshakespeare.txt", measure="nats"),
    "Shakespeare GPT-2, untied": Pair(
        _TEXT / "gpt2_0", _TEXT / "gpt2_1", _TEXT / "tinyshakespeare.txt", measure="nats", untied=True
    ),
}
