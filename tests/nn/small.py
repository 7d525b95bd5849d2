"""Batches of small networks with random weights, and permuted copies of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.symmetry.networks import Network, with_input
from weightspace.nn.blocks import Blocks, stacked
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec, derive

Tensors = dict[str, Tensor]


class Sine(nn.Module):
    """sin(30 x), as in SIREN (Sitzmann et al. 2020)."""

    def forward(self, x: Tensor) -> Tensor:
        return (30 * x).sin()


def siren() -> Network:
    """An implicit representation of a grey image: coordinates in, a value out."""
    layers = [nn.Linear(2, 8), Sine(), nn.Linear(8, 8), Sine(), nn.Linear(8, 1)]
    return with_input(nn.Sequential(*layers), 4, 2)


def cnn() -> Network:
    """A classifier as in the small-CNN zoo, with a norm."""
    layers = [nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU()]
    return with_input(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)), 2, 1, 9, 9)


@st.composite
def mlps(draw: st.DrawFn) -> Callable[[], Network]:
    """Builders of multilayer perceptrons of any depth and widths."""
    widths = draw(st.lists(st.integers(1, 6), min_size=2, max_size=5))
    activation = draw(st.sampled_from([nn.ReLU, nn.Tanh, Sine]))
    norm = draw(st.booleans())

    def make() -> Network:
        layers: list[nn.Module] = []
        for width, following in itertools.pairwise(widths):
            layers += [nn.Linear(width, following), *([nn.BatchNorm1d(following)] if norm else []), activation()]
        return with_input(nn.Sequential(*layers, nn.Linear(widths[-1], 2)).eval(), 3, widths[0])

    return make


def program_of(make: Callable[[], Network]) -> tuple[Program, Spec]:
    module, args, kwargs = make()
    program = Program(module.double(), Inputs(args, kwargs))
    return program, derive(module.float(), args, kwargs)


def random_networks(spec: Spec, count: int, seed: int = 0) -> Tensors:
    """Weights by name (count, *shape), float64, of about the size of trained ones; variances are positive."""
    generator = torch.Generator().manual_seed(seed)
    made: Tensors = {}
    for name in Blocks(spec).names:
        shape = spec.tensors[name].shape
        spread = 1 / math.sqrt(max(math.prod(shape[1:]), 1))
        made[name] = spread * torch.randn(count, *shape, dtype=torch.float64, generator=generator)
        if name.endswith("running_var"):
            made[name] = made[name].abs() + 0.5
    return made


def permuted(spec: Spec, tensors: Mapping[str, Tensor], seed: int = 0) -> Tensors:
    """The same networks, each with its units in another order."""
    generator = torch.Generator().manual_seed(seed)
    count = len(next(iter(tensors.values())))
    return stacked(
        [
            spec.apply(spec.random_element(generator), {name: each[place] for name, each in tensors.items()})
            for place in range(count)
        ],
        list(tensors),
    )


def one(tensors: Mapping[str, Tensor], place: int) -> Tensors:
    """One network of a batch, as a batch."""
    return {name: each[place : place + 1] for name, each in tensors.items()}


def without_gradient(module: nn.Module) -> list[str]:
    """Parameters that no gradient reached."""
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.isfinite().all()) or not bool(parameter.grad.any())
    ]


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> bool:
    """Equal up to rounding in float64."""
    return bool(a.isfinite().all()) and torch.allclose(a, b, rtol=tolerance, atol=tolerance)
