"""Small networks whose units may change their signs, each with inputs that it takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from tests.align.networks import Network, built_of, cnn, gru, mlp, resnet20
from tests.align.oracle import State
from weightspace.source import Inputs
from weightspace.symmetry import Spec, Transformation, randomized


def of_widths(*widths: int) -> Callable[[], Network]:
    """A tanh perceptron, to be built."""
    return partial(perceptron, *widths)


def perceptron(*widths: int, activation: type[nn.Module] = nn.Tanh) -> Network:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1]), Inputs((torch.randn(4, widths[0]),))


def narrow() -> Network:
    return perceptron(3, 4, 4, 2)


def relu() -> Network:
    return perceptron(6, 12, 12, 3, activation=nn.ReLU)


def two_layers() -> Network:
    return perceptron(12, 32, 48, 5)


def three_layers() -> Network:
    return perceptron(10, 16, 64, 32, 4)


def convolutions() -> Network:
    """The signs before and after the batch norm meet in its shift and in what reads it."""
    layers = (
        nn.Conv2d(1, 6, 5), nn.BatchNorm2d(6), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 3), nn.Tanh(),
        nn.Flatten(), nn.Linear(16 * 2 * 2, 20), nn.Tanh(), nn.Linear(20, 10),
    )  # fmt: skip
    return nn.Sequential(*layers), Inputs((torch.randn(2, 1, 12, 12),))


def normed() -> Network:
    """Two coupled signs per unit in a group small enough to try all."""
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 2)), Inputs((torch.randn(4, 3),))


class Siren(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(2, 32), nn.Linear(32, 32), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.sin(30 * self.second(torch.sin(30 * self.first(x)))))


def siren() -> Network:
    return Siren(), Inputs((torch.randn(5, 2),))


class Gated(nn.Module):
    """A gated perceptron on a residual stream that ends in tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(12, 16), nn.Linear(16, 4)
        self.gate, self.up, self.down = nn.Linear(16, 32), nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.into(x))
        return self.out(torch.tanh(x + self.down(nn.functional.silu(self.gate(x)) * self.up(x))))


def gated() -> Network:
    return Gated(), Inputs((torch.randn(5, 12),))


NETWORKS = {
    build.__name__: build for build in (two_layers, three_layers, mlp, convolutions, siren, gated, gru, cnn, resnet20)
}


def with_weights(build: Callable[[], Network], seed: int) -> tuple[Spec, State]:
    """The symmetry of a network, and weights of a random one of its kind."""
    torch.manual_seed(0)
    program, spec = built_of(build())
    return spec, randomized(program.state(), spec, seed)


def planted(spec: Spec, state: State, seed: int) -> tuple[Transformation, State]:
    """A random permutation with random signs, and the weights that it makes."""
    generator = torch.Generator().manual_seed(seed)
    transformation = Transformation.random(spec, generator, ("permutation", "sign"))
    return transformation, transformation.apply(state)


def noisy(state: State, share: float, seed: int) -> State:
    """Weights with Gaussian noise of a share of each tensor's standard deviation."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + share * tensor.std(correction=0) * torch.randn(tensor.shape, generator=generator).to(tensor)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in state.items()
    }


def distance(found: State, expected: State) -> float:
    """Norm of the difference over the norm of what was expected, over all floating tensors."""
    names = [name for name, tensor in expected.items() if tensor.is_floating_point()]
    missed = sum(float((found[name] - expected[name]).double().square().sum()) for name in names)
    return (missed / sum(float(expected[name].double().square().sum()) for name in names)) ** 0.5
