"""ResNets for CIFAR-10 (He et al. 2015, section 4.2), for `--arch checkpoints_zoo/cifar_resnet.py:resnet20`.

Named as the widely copied PyTorch checkpoints name them. Shortcuts are of option A: every second pixel, and channels
padded with zeros on both sides, without parameters. The checkpoints expect ImageNet's mean and deviation:
`--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.pad = (channels - channels_in) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride != 1 or self.pad:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(y + x)


class CifarResNet(nn.Module):
    """Three stages of n blocks each with 16, 32 and 64 channels (times ``width``)."""

    def __init__(self, blocks: int, width: int = 1, classes: int = 10) -> None:
        super().__init__()
        c = 16 * width
        self.conv1 = nn.Conv2d(3, c, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c)
        self.layer1 = self._stage(c, c, blocks, 1)
        self.layer2 = self._stage(c, 2 * c, blocks, 2)
        self.layer3 = self._stage(2 * c, 4 * c, blocks, 2)
        self.linear = nn.Linear(4 * c, classes)

    @staticmethod
    def _stage(channels_in: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
        first = Block(channels_in, channels, stride)
        return nn.Sequential(first, *(Block(channels, channels, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def resnet20() -> tuple[nn.Module, Tensor]:
    return CifarResNet(3), torch.zeros(2, 3, 32, 32)


def resnet32() -> tuple[nn.Module, Tensor]:
    return CifarResNet(5), torch.zeros(2, 3, 32, 32)


def resnet56() -> tuple[nn.Module, Tensor]:
    return CifarResNet(9), torch.zeros(2, 3, 32, 32)


def resnet20_half() -> tuple[nn.Module, Tensor]:
    """For half of the classes, as `train_halves.py` trains it."""
    return CifarResNet(3, classes=5), torch.zeros(2, 3, 32, 32)
