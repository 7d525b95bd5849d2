"""Networks with scales and signs, random weights of them, and weights that are one to their symmetry."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from tests.canonical.orbits import image
from tests.nn import small
from tests.nn.small import Tensors, one, random_networks
from tests.symmetry import networks
from tests.symmetry.networks import Network, with_input
from weightspace.graph import GraphLayout, graph_layout
from weightspace.nn.blocks import stacked
from weightspace.nn.gmn import Stacked
from weightspace.symmetry import Spec, derive

KINDS = ("permutation", "scale", "sign")


def relu() -> Network:
    """A perceptron whose units may be scaled."""
    return with_input(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)), 2, 3)


def tanh() -> Network:
    """A perceptron whose units may change their signs."""
    return with_input(nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)), 2, 3)


def recurrent() -> Network:
    """Signs of units lie at both ends of a recurrent weight."""
    return networks.gru()


class Tensordot(nn.Module):
    """Every unit of two axes is told apart by a constant; on edges the second axis is taps."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.randn(3, 5, 2)), nn.Parameter(torch.randn(5, 2, 4))
        self.register_buffer("constant", torch.arange(1.0, 11).view(5, 2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensordot(torch.tanh(torch.tensordot(x, self.first, 1)) * self.constant, self.second, 2)


class Buffered(nn.Module):
    """A buffer that networks have in common stands between what makes units and what reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 5), nn.Linear(5, 2)
        self.register_buffer("constant", torch.ones(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.sigmoid(self.first(x)) * self.constant)


NETWORKS: list[Callable[[], Network]] = [
    relu, tanh, small.siren, small.cnn, networks.mlp, networks.vgg, networks.residual, networks.grouped_convolutions,
    networks.depthwise_separable, networks.dense, networks.norms, networks.autoencoder, networks.encoder, recurrent,
]  # fmt: skip


def batch(network: Network, count: int = 3, seed: int = 0) -> tuple[GraphLayout, Tensors]:
    """The layout of a network, and random weights of some of its kind."""
    module, args, kwargs = network
    layout = graph_layout(derive(module.eval(), args, kwargs))
    return layout, random_networks(layout.spec, count, seed)


def moved(spec: Spec, tensors: Tensors, kinds: Iterable[str] = KINDS) -> Tensors:
    """The same networks, each moved by a random transformation of its own."""
    count = len(next(iter(tensors.values())))
    single = [{name: each[place] for name, each in tensors.items()} for place in range(count)]
    return stacked([image(spec, each, seed, kinds) for seed, each in enumerate(single)], list(tensors))


def of(layout: GraphLayout, tensors: Tensors) -> Stacked:
    """A batch for a metanetwork."""
    return Stacked(layout, tensors)


def alone(layout: GraphLayout, tensors: Tensors, place: int) -> Stacked:
    """One network of a batch."""
    return Stacked(layout, one(tensors, place))


def some(tensors: Tensors, name: str, change: Callable[[Tensor], Tensor]) -> Tensors:
    """The networks with one tensor changed."""
    return {**tensors, name: change(tensors[name].clone())}
