"""Architectures of checkpoints that come without their code; each returns the network and an example input."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LeNet(nn.Module):
    """The network of PyTorch's CIFAR-10 tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.conv1, self.conv2):
            x = nn.functional.max_pool2d(layer(x).relu(), 2)
        return self.fc3(self.fc2(self.fc1(x.flatten(1)).relu()).relu())


class AcasXu(nn.Module):
    """Six hidden layers of fifty units between five normalised inputs and five scores (Julian et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        widths = [5, *[50] * 6, 5]
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


def lenet() -> tuple[nn.Module, Tensor]:
    return LeNet(), torch.zeros(2, 3, 32, 32)


def acas_xu() -> tuple[nn.Module, Tensor]:
    return AcasXu(), torch.zeros(2, 5)
