"""Verification: right specs pass, wrong ones are caught and named, and rounding is not taken for either."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from weightspace.source import Inputs, Program
from weightspace.symmetry import Group, Spec, TensorSpec, derive, randomized, verify
from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis
from weightspace.symmetry.verify import NOISE_FACTOR, TOLERANCE, relative_error

A, B, IN, OUT = GroupAxis("a", 5), GroupAxis("b", 5), FixedAxis(3, "input"), FixedAxis(4, "output")
GROUPS = (Group("a", 5), Group("b", 5))
RIGHT: dict[str, tuple[Axis, ...]] = {
    "0.weight": (A, IN),
    "0.bias": (A,),
    "2.weight": (B, A),
    "2.bias": (B,),
    "4.weight": (OUT, B),
    "4.bias": (OUT,),
}


def spec(changes: Mapping[str, tuple[Axis, ...]] | None = None, groups: tuple[Group, ...] = GROUPS) -> Spec:
    """The spec of `network`, with some tensors claimed to have other axes."""
    axes = {**RIGHT, **(changes or {})}
    return Spec(groups, {name: TensorSpec(tensor) for name, tensor in axes.items()}, {})


@pytest.fixture
def network() -> Program:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 4))
    return Program(module, Inputs((torch.randn(6, 3),)))


def state(program: Program, seed: int = 0) -> dict[str, Tensor]:
    return randomized(program.state(), spec(), seed)


def test_a_right_spec_passes_with_every_control(network: Program):
    found = verify(spec(), network.outputs, state(network))
    assert found.verified
    assert found.max_error < 1e-12
    assert 0 < found.noise < 1e-12
    assert found.tolerance == TOLERANCE
    assert [check.name for check in found.groups] == ["a", "b"]
    assert all(check.error < 1e-12 and check.control is not None and check.control > 1e-3 for check in found.groups)
    assert (found.wrong, found.insensitive) == ((), ())


FREE_OUTPUT: dict[str, tuple[Axis, ...]] = {"4.weight": (GroupAxis("c", 4), B), "4.bias": (GroupAxis("c", 4),)}
WRONG = {
    "two groups swapped": ({"2.weight": (A, B)}, GROUPS, {"a", "b"}),
    "an axis carries another group": ({"4.weight": (OUT, A)}, GROUPS, {"a", "b"}),
    "an axis carries a group that it has not": ({"2.bias": (A,)}, GROUPS, {"a", "b"}),
    "an axis is left out": ({"0.bias": (FixedAxis(5, "forgotten"),)}, GROUPS, {"a"}),
    "the output is claimed": (FREE_OUTPUT, (*GROUPS, Group("c", 4)), {"c"}),
    "the input is claimed": ({"0.weight": (A, GroupAxis("c", 3))}, (*GROUPS, Group("c", 3)), {"c"}),
}


@pytest.mark.parametrize(("changes", "groups", "guilty"), WRONG.values(), ids=WRONG.keys())
def test_wrong_specs_are_caught_and_the_groups_named(
    changes: dict[str, tuple[Axis, ...]], groups: tuple[Group, ...], guilty: set[str], network: Program
):
    found = verify(spec(changes, groups), network.outputs, state(network))
    assert not found.verified
    assert set(found.wrong) == guilty
    assert found.max_error > 1e-2
    named = {check.name: check.error for check in found.groups}
    assert all((error > 1e-2) == (name in guilty) for name, error in named.items())


def test_a_wrong_spec_of_a_group_that_is_not_checked_alone_is_found_by_bisection(network: Program):
    claimed = spec({"0.bias": (FixedAxis(5, "forgotten"),)})
    found = verify(claimed, network.outputs, state(network), groups=0)
    assert found.groups == ()
    assert (found.verified, found.wrong) == (False, ("a",))


def test_independence_that_is_not_there_is_caught():
    # One scale for all heads: their inner bases cannot be permuted one by one.
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside, self.scale, self.out = nn.Linear(3, 8), nn.Parameter(torch.ones(4)), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out((self.inside(x).view(-1, 2, 4) * self.scale).flatten(1))

    program = Program(Shared(), Inputs((torch.randn(5, 3),)))
    axis = ProductAxis((GroupAxis("h", 2), GroupAxis("d", 4)))
    tensors: dict[str, tuple[Axis, ...]] = {
        "inside.weight": (axis, FixedAxis(3)),
        "inside.bias": (axis,),
        "out.weight": (FixedAxis(2), axis),
        "out.bias": (FixedAxis(2),),
        "scale": (GroupAxis("d", 4),),
    }

    def claim(*outer: str) -> Spec:
        kept = {name: axes for name, axes in tensors.items() if not (outer and name == "scale")}
        groups = (Group("h", 2), Group("d", 4, outer))
        return Spec(groups, {name: TensorSpec(axes) for name, axes in kept.items()}, {})

    values = randomized(program.state(), claim())
    assert verify(claim(), program.outputs, values).verified
    assert verify(claim("h"), program.outputs, values).wrong == ("d",)
    found = derive(Shared().eval(), (torch.randn(5, 3),))
    assert [group.depends_on for group in found.groups if group.size == 4] == [()]


class Ignored(nn.Module):
    """A branch whose result is multiplied by zero."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.head = nn.Linear(3, 5), nn.Linear(5, 2)
        self.ignored, self.tail = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.used(x))) + 0.0 * self.tail(torch.tanh(self.ignored(x)))


def test_a_group_that_nothing_depends_on_is_reported_as_idle():
    program = Program(Ignored(), Inputs((torch.randn(5, 3),)))
    found_spec = derive(Ignored().eval(), (torch.randn(5, 3),))
    found = verify(found_spec, program.outputs, randomized(program.state(), found_spec))
    assert found.idle == ("ignored",)
    assert (found.wrong, found.insensitive) == ((), ())
    assert found.verified
    assert {check.name: (check.control or 0) > 1e-3 for check in found.groups} == {"used": True, "ignored": False}


def test_a_group_whose_controls_change_nothing_though_its_weights_matter_is_insensitive():
    class Summed(nn.Module):
        """Units that are summed as they come: which is which matters neither to weights nor to biases."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x).sum(1, keepdim=True)

    program = Program(Summed(), Inputs((torch.randn(5, 3),)))
    found_spec = derive(Summed().eval(), (torch.randn(5, 3),))
    found = verify(found_spec, program.outputs, randomized(program.state(), found_spec))
    assert found.insensitive == ("layer",)
    assert found.idle == ()
    assert not found.verified


def test_a_group_on_one_tensor_has_nothing_to_leave_out():
    class Sorted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 3))

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x @ self.weight.T).sum(1, keepdim=True)

    program = Program(Sorted(), Inputs((torch.randn(5, 3),)))
    found_spec = derive(Sorted().eval(), (torch.randn(5, 3),))
    found = verify(found_spec, program.outputs, randomized(program.state(), found_spec))
    assert found.verified
    assert [check.control for check in found.groups] == [None]


def test_chaotic_networks_are_held_against_their_noise_floor(network: Program):
    def chaotic(weights: Mapping[str, Tensor]) -> list[Tensor]:
        (y,) = network.outputs(weights)
        y = torch.sigmoid(y)
        for _ in range(36):
            y = 4 * y * (1 - y)  # doubles every error
        return [y]

    found = verify(spec(), chaotic, state(network))
    assert found.noise > TOLERANCE
    assert found.tolerance == pytest.approx(NOISE_FACTOR * found.noise)
    assert found.max_error > TOLERANCE
    assert found.verified
    wrong = verify(spec({"0.bias": (FixedAxis(5, "forgotten"),)}), chaotic, state(network))
    assert wrong.wrong == ("a",)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_do_not_pass(value: float, network: Program):
    found = verify(spec(), lambda weights: [y * value for y in network.outputs(weights)], state(network))
    assert not found.verified
    assert found.max_error == math.inf


def test_every_output_counts(network: Program):
    hidden = spec(FREE_OUTPUT, (*GROUPS, Group("c", 4)))

    def sums(weights: Mapping[str, Tensor]) -> list[Tensor]:
        (y,) = network.outputs(weights)
        return [y.square().sum(1)]

    assert verify(hidden, sums, state(network)).verified  # the sum is blind for the order of the outputs
    both = verify(hidden, lambda weights: sums(weights) + network.outputs(weights), state(network))
    assert both.wrong == ("c",)


def test_tied_tensors_are_given_once():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.tanh(self.embed(x)))

    tokens = torch.tensor([[1, 2], [3, 4]])
    program, found_spec = Program(Tied(), Inputs((tokens,))), derive(Tied().eval(), (tokens,))
    seen: list[set[str]] = []

    def forward(weights: Mapping[str, Tensor]) -> list[Tensor]:
        seen.append(set(weights))
        return program.outputs(weights)

    values = {name: tensor.double() for name, tensor in program.state().items()}
    assert set(values) == {"embed.weight", "head.weight"}
    assert verify(found_spec, forward, values).verified
    assert all(names == {"embed.weight"} for names in seen)


def test_the_same_seed_gives_the_same_findings(network: Program):
    first, second, other = (verify(spec(), network.outputs, state(network), seed=seed) for seed in (3, 3, 4))
    assert first == second
    assert first != other


def test_progress_and_the_choice_of_groups(network: Program):
    seen: list[tuple[int, int]] = []
    found = verify(
        spec(), network.outputs, state(network), elements=3, groups=1, progress=lambda *step: seen.append(step)
    )
    assert len(found.groups) == 1
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_findings_are_json(network: Program):
    found = verify(spec(), network.outputs, state(network))
    document = json.loads(json.dumps(found.to_json()))
    assert document["verified"] is True
    assert [group["name"] for group in document["groups"]] == ["a", "b"]
    assert document["max_error"] == found.max_error


# -------------------------------------------------------------------------------------------------- random weights


def test_random_weights_leave_no_zero_and_keep_variances_positive():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)).eval()
    nn.init.zeros_(module[1].weight)
    nn.init.zeros_(module[3].weight)
    found_spec = derive(module, (torch.randn(2, 3, 4, 4),))
    values = randomized(module.state_dict(), found_spec)
    assert list(values) == list(module.state_dict())
    assert all(bool((tensor != 0).all()) for tensor in values.values() if tensor.is_floating_point())
    assert bool((values["1.running_var"] > 0.5).all())
    assert values["1.num_batches_tracked"].dtype == torch.int64
    assert all(tensor.dtype == torch.float64 for tensor in values.values() if tensor.is_floating_point())
    assert float(values["3.weight"].std()) == pytest.approx(16**-0.5, rel=0.5)
    again, other = randomized(module.state_dict(), found_spec), randomized(module.state_dict(), found_spec, seed=1)
    assert all(torch.equal(values[name], again[name]) for name in values)
    assert not torch.equal(values["0.weight"], other["0.weight"])


def test_relative_error_is_that_of_the_worst_output():
    y = [torch.tensor([1.0, 2.0]), torch.tensor([100.0])]
    assert relative_error(y, y) == 0.0
    assert relative_error([y[0] + 0.5, y[1]], y) == 0.25
    assert relative_error([y[0], y[1] * 2], y) == 1.0
    assert relative_error([torch.tensor([math.nan, 2.0]), y[1]], y) == math.inf
    assert relative_error([torch.empty(0)], [torch.empty(0)]) == 0.0


def test_randomised_weights_of_an_empty_tensor_are_empty():
    claim = Spec((), {"none": TensorSpec((FixedAxis(0, "single"), FixedAxis(3, "input")))}, {})
    assert randomized({"none": torch.empty(0, 3)}, claim)["none"].shape == (0, 3)
