"""Shared by the tests of canonical forms: networks with weights, random images of them, how far two states differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from tests.align import networks as aligned
from tests.symmetry import networks as derived
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec, derive, randomized
from weightspace.symmetry.transformation import Transformation

State = dict[str, Tensor]
ALL = ("permutation", "scale", "sign", "linear")


class Recurrent(nn.Module):
    """A recurrent layer that a linear one reads: its recurrent weight carries its units on both axes."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.RNNCell(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 8)
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state)


def _own() -> dict[str, tuple[nn.Module, Inputs]]:
    layers = nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)
    return {
        "perceptron": (nn.Sequential(*layers), Inputs((torch.randn(4, 6),))),
        "recurrent": (Recurrent(), Inputs((torch.randn(2, 5, 4),))),
    }


def network(name: str) -> tuple[Program, Spec]:
    """A network by name: of this file, of the tests of alignment, or of those of the symmetry."""
    torch.manual_seed(0)
    own = _own()
    if name in own:
        module, inputs = own[name]
    elif name in aligned.NETWORKS:
        module, inputs = aligned.NETWORKS[name]()
    else:
        module, args, kwargs = getattr(derived, name)()
        inputs = Inputs(args, kwargs)
    module.eval()
    return Program(module, inputs), derive(module, inputs.args, inputs.kwargs)


def weights(program: Program, spec: Spec) -> State:
    """Random weights and statistics in float64."""
    return dict(randomized(program.state(), spec, 0))


def image(spec: Spec, state: Mapping[str, Tensor], seed: int, kinds: Iterable[str]) -> State:
    """Weights moved by a random transformation of some kinds; scales before a batch norm only grow."""
    moved = Transformation.random(spec, torch.Generator().manual_seed(seed), kinds)
    grown = {
        freedom.name: torch.where(
            moved.values[freedom.name] < 1, 1 / moved.values[freedom.name], moved.values[freedom.name]
        )
        for freedom in spec.freedoms.all
        if freedom.name in moved.values and any(place.offset for place in freedom.places)
    }
    return Transformation(spec, moved.element, {**moved.values, **grown}).apply(state)


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether two states are the same bit for bit."""
    return list(first) == list(second) and all(
        first[name].dtype == second[name].dtype
        and first[name].cpu().numpy().tobytes() == second[name].cpu().numpy().tobytes()
        for name in first
    )


def difference(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """Largest difference of an entry, relative to the largest entry of its tensor."""
    worst = 0.0
    for name, tensor in first.items():
        if tensor.numel():
            size = float(second[name].double().abs().max())
            worst = max(worst, float((tensor.double() - second[name].double()).abs().max()) / (size or 1.0))
    return worst


def narrowed(state: Mapping[str, Tensor]) -> State:
    """The state in float32."""
    return {name: t.float() if t.is_floating_point() else t for name, t in state.items()}
