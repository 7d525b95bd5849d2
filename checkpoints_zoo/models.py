"""The networks in this folder, for `--arch checkpoints_zoo/models.py:NAME`: each with an input that it takes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DigitsMLP(nn.Module):
    """64 -> 64 -> 64 -> 10 with ReLU between; images (N, 1, 8, 8) are flattened."""

    def __init__(self, width: int = 64, pixels: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.fc1 = nn.Linear(pixels, width)
        self.fc2 = nn.Linear(width, width)
        self.fc3 = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x.flatten(1)).relu()
        x = self.fc2(x).relu()
        return self.fc3(x)


class DigitsCNN(nn.Module):
    """Three 3 x 3 convolutions with batch norm, the second of stride 2, then the mean over space and a linear layer."""

    def __init__(self, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, stride=2, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.conv3 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(2 * width)
        self.fc = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        x = self.bn3(self.conv3(x)).relu()
        return self.fc(x.mean((2, 3)))


def digits_mlp() -> tuple[nn.Module, Tensor]:
    return DigitsMLP(), torch.zeros(2, 1, 8, 8)


def digits_cnn() -> tuple[nn.Module, Tensor]:
    return DigitsCNN(), torch.zeros(2, 1, 8, 8)


def mnist_mlp_half() -> tuple[nn.Module, Tensor]:
    """For half of the classes of MNIST, as `train_halves.py` trains it."""
    return DigitsMLP(pixels=784, classes=5), torch.zeros(2, 1, 28, 28)


def mnist_cnn_half() -> tuple[nn.Module, Tensor]:
    """Likewise."""
    return DigitsCNN(classes=5), torch.zeros(2, 1, 28, 28)
