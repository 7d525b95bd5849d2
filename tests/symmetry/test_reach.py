"""Operators that no output depends on are left out of a trace."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from weightspace.symmetry import derive
from weightspace.symmetry.trace import trace


class Network(nn.Module):
    """Two layers, and a forward pass that each test gives."""

    def __init__(self, run: Callable[[Network, Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run
        self.first, self.second, self.third = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def operators(run: Callable[[Network, Tensor], Tensor]) -> list[str]:
    return [call.name for call in trace(Network(run).eval(), (torch.ones(2, 4),)).calls]


def pooled_for_nobody(net: Network, x: Tensor) -> Tensor:
    hidden = net.first(x).relu()
    torch.tanh(net.second(hidden).cumsum(1))
    return net.third(hidden)


def test_weights_that_no_output_depends_on_are_unused_and_constrain_nothing():
    names = operators(pooled_for_nobody)
    assert "tanh" not in names
    assert "cumsum" not in names
    spec = derive(Network(pooled_for_nobody).eval(), (torch.ones(2, 4),))
    assert [(group.name, group.size) for group in spec.groups] == [("first", 6)]
    assert {axis.reason for axis in spec.frozen if axis.tensor.startswith("second")} == {"unused"}
    assert spec.completeness == 1  # there is nothing to keep in place


def written_through_a_view(net: Network, x: Tensor) -> Tensor:
    storage = torch.zeros(2, 6)
    storage.view(12).add_(net.first(x).cumsum(1).view(12))
    return net.third(storage)


def written_by_an_output_argument(net: Network, x: Tensor) -> Tensor:
    storage = torch.zeros(2, 6, device=net.first.weight.device)
    torch.cumsum(net.first(x), 1, out=storage)
    return net.third(storage)


def written_after_it_was_viewed(net: Network, x: Tensor) -> Tensor:
    hidden = net.first(x)
    view = hidden.view(2, 2, 3)
    hidden.mul_(net.second(x.new_ones(2, 6)).cumsum(1))
    return net.third(view.view(2, 6))


@pytest.mark.parametrize("run", [written_through_a_view, written_by_an_output_argument, written_after_it_was_viewed])
def test_writes_reach_an_output_through_storage(run: Callable[[Network, Tensor], Tensor]):
    assert "cumsum" in operators(run)
    spec = derive(Network(run).eval(), (torch.ones(2, 4),))
    assert [axis.size for axis in spec.frozen if axis.tensor == "first.bias"] == [6]


def test_several_outputs_are_all_reached():
    names = operators(lambda net, x: {"a": net.first(x).tanh(), "b": [net.first(x).sin()]})  # pyright: ignore[reportArgumentType]
    assert {"tanh", "sin"} <= set(names)
