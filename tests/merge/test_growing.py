"""Graphs that grow: cuts between units, numbers in views and paddings, and ensembles of real shapes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.align.networks import Network, cnn, gpt2, resnet20
from tests.merge.test_homes import apart, made
from tests.merge.test_refit import calls_of
from weightspace.errors import SpecError
from weightspace.merge import Homes, Stored, Wide
from weightspace.merge.growing import moved
from weightspace.source import Inputs
from weightspace.symmetry import Group, Spec
from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis, Run, SumAxis


class Gated(nn.Module):
    """Cuts a fused projection into halves, one by slices and one by chunks, and flattens by numbers in its code."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 12, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        self.depth = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.last = nn.Linear(4 * 25, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        y = torch.sigmoid(y[:, :6]) * y[:, 6:]
        a, b = self.two(y).chunk(2, 1)
        return self.last(torch.tanh(self.depth(a * torch.sigmoid(b))).reshape(len(x), 100))


def gated() -> Network:
    return Gated(), Inputs((torch.randn(2, 2, 5, 5),))


def resnet18() -> Network:
    timm = pytest.importorskip("timm")
    return timm.create_model("resnet18", num_classes=5), Inputs((torch.randn(2, 3, 32, 32),))


def mobilenet() -> Network:
    timm = pytest.importorskip("timm")
    return timm.create_model("mobilenetv3_small_050", num_classes=5), Inputs((torch.randn(2, 3, 32, 32),))


def grown(sizes: dict[str, int], more: dict[str, int]) -> Homes:
    spec = Spec(tuple(Group(name, size) for name, size in sizes.items()), {}, {})
    return Homes.partial(spec, {name: torch.arange(sizes[name]) < count for name, count in more.items()})


SCATTERED = SumAxis((GroupAxis("g", 4), GroupAxis("h", 3)), (Run(0, 0, 2), Run(1, 0, 3), Run(0, 2, 2)))


@pytest.mark.parametrize(
    ("axis", "places", "expected"),
    [
        (FixedAxis(5), (0, 2, 5), (0, 2, 5)),
        (GroupAxis("g", 4), (0, 2, 4), (0, None, 5)),
        (GroupAxis("other", 4), (0, 2, 4), (0, 2, 4)),
        (ProductAxis((FixedAxis(3), GroupAxis("g", 4))), (4, 8, 9, 12), (5, 10, None, 15)),
        (ProductAxis((GroupAxis("g", 4), FixedAxis(3))), (0, 3, 12), (0, None, 15)),
        (SCATTERED, (0, 2, 5, 7, 1, 3), (0, 2, 7, 10, None, None)),
    ],
)
def test_cuts_between_indices_move_with_what_lies_before_them(axis: Axis, places, expected):
    homes = grown({"g": 4, "h": 3, "other": 4}, {"g": 1, "h": 2})
    assert tuple(moved(axis, homes, place) for place in places) == expected


def test_new_units_of_what_lies_scattered_belong_to_its_last_stretch():
    homes = grown({"g": 4, "h": 3}, {"g": 1, "h": 2})
    axis = homes.axis(SCATTERED)
    assert axis.size == 10
    assert isinstance(axis, SumAxis)
    assert [run.length for run in axis.runs] == [2, 5, 3]
    assert homes.present(SCATTERED)[0].tolist() == [True] * 2 + [True, True, True, False, False] + [True, True, False]
    product = ProductAxis((GroupAxis("g", 4), FixedAxis(2)))
    with pytest.raises(SpecError, match="lies scattered"):
        homes.axis(SumAxis((product, FixedAxis(1)), (Run(0, 0, 2), Run(1, 0, 1), Run(0, 2, 6))))


@pytest.mark.parametrize("build", [gated, cnn, resnet20, resnet18, mobilenet])
def test_every_group_of_a_convolutional_network_may_grow_and_all_apart_it_is_the_ensemble(build):
    program, spec, widening, a, b = made(build)
    assert not widening.refused
    wide = Wide.of(widening, Homes.partial(spec, apart(spec, widening.groups, 1.0)), (a, b))
    stored = Stored.of(wide)
    for inputs in calls_of(program, 1, 3):
        expected = (program.outputs(a, inputs)[0] + program.outputs(b, inputs)[0]) / 2
        call = wide.program.call_of(inputs)
        for network, state in ((wide.program, wide.state), (stored.program, stored.state(wide.state))):
            torch.testing.assert_close(network.outputs(state, call)[0], expected, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("build", [gated, cnn, resnet20, gpt2])
def test_without_its_zeros_a_network_is_the_same_function(build):
    _, spec, widening, a, b = made(build)
    wide = Wide.of(widening, Homes.partial(spec, apart(spec, widening.groups, 0.4)), (a, b))
    stored = Stored.of(wide)
    state = stored.state(wide.state)
    expected, found = wide.program.outputs(wide.state)[0], stored.program.outputs(state)[0]
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    assert stored.program.parameters < wide.program.parameters or not stored.parts
    assert set(state) == set(stored.exported.tensors) - stored.exported.constants


def test_three_networks_side_by_side():
    program, spec, widening, a, b = made(gated)
    models = (a, b, {name: 0.3 * tensor for name, tensor in a.items()})
    homes = Homes.partial(spec, apart(spec, widening.groups, 1.0), 3)
    wide = Wide.of(widening, homes, models)
    stored = Stored.of(wide)
    expected = torch.stack([program.outputs(model)[0] for model in models]).mean(0)
    call = stored.program.call_of(program.inputs)
    found = stored.program.outputs(stored.state(wide.state), call)[0]
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
