"""Tightness against brute force: every continuous symmetry and every choice of signs that a tiny network allows."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from tests.symmetry.freedom.checks import verified
from tests.symmetry.freedom.test_networks import stack

State = dict[str, Tensor]
TINY: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]] = {
    "relu": lambda: (stack(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)), (2,)),
    "tanh": lambda: (stack(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)), (2,)),
    "leaky": lambda: (stack(nn.Linear(2, 4), nn.LeakyReLU(0.2), nn.Linear(4, 2)), (2,)),
}


def random_like(tensor: Tensor) -> Tensor:
    """Random weights, and positive ones where all are (variances)."""
    if not tensor.is_floating_point():
        return tensor
    value = torch.randn(tensor.shape, dtype=torch.float64)
    return 0.5 + value.abs() if bool((tensor == 1).all()) else value


def symmetries(module: nn.Module, state: State, x: Tensor) -> int:
    """Dimension of the continuous symmetry at some weights: the null space of the Jacobian."""
    parts = jacrev(lambda weights: functional_call(module, weights, (x,)))(state)
    assert isinstance(parts, dict)
    matrix = torch.cat([part.reshape(-1, state[key].numel()) for key, part in parts.items()], 1)
    values = torch.linalg.svdvals(matrix)
    return matrix.shape[1] - int((values > 1e-9 * values[0]).sum())


@pytest.mark.parametrize("name", TINY)
def test_there_are_no_other_scalings(name: str):
    module, shape = TINY[name]()
    spec = verified(module, torch.randn(2, *shape))
    units = sum(torch.Size(spec.freedoms.shape(freedom)).numel() for freedom in spec.freedoms.only("scale").all)
    found = []
    for seed in range(8):  # a unit that no input reaches is free altogether: the fewest is what always holds
        torch.manual_seed(seed)
        state = {key: random_like(tensor) for key, tensor in module.state_dict().items()}
        found.append(symmetries(module, state, torch.randn(256, *shape, dtype=torch.float64)))
    assert min(found) == units


def signs(module: nn.Module, state: State, x: Tensor) -> int:
    """Number of the choices of signs of all weights under which the function stays."""
    keys = [key for key in state if "num_batches" not in key and not key.endswith("running_var")]
    sizes = [state[key].numel() for key in keys]
    expected = functional_call(module, state, (x,))
    found = 0
    for choice in itertools.product((1.0, -1.0), repeat=sum(sizes)):
        parts = torch.tensor(choice, dtype=torch.float64).split(sizes)
        weights = {key: state[key] * part.reshape(state[key].shape) for key, part in zip(keys, parts, strict=True)}
        found += bool(torch.allclose(functional_call(module, {**state, **weights}, (x,)), expected, atol=1e-9))
    return found


@pytest.mark.parametrize(
    "build",
    [
        lambda: stack(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)),
        lambda: stack(nn.Linear(2, 2), nn.LeakyReLU(0.3), nn.Linear(2, 1)),
        lambda: stack(nn.Linear(1, 2, bias=False), nn.BatchNorm1d(2), nn.Tanh(), nn.Linear(2, 1, bias=False)),
    ],
)
def test_there_are_no_other_signs(build: Callable[[], nn.Module]):
    torch.manual_seed(0)
    module = build().eval()
    x = torch.randn(16, next(module.parameters()).shape[1], dtype=torch.float64)
    state = {key: random_like(tensor) for key, tensor in module.state_dict().items()}
    spec = verified(build(), x[:2].float())
    free = sum(torch.Size(spec.freedoms.shape(freedom)).numel() for freedom in spec.freedoms.only("sign").all)
    assert 2**free == signs(module, state, x)
