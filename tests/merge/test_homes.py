"""Merges as maps of units: means, ensembles, everything between; and which groups may grow at all."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.align.networks import Network, built_of, cnn, gpt2, llama, resnet20
from tests.merge.test_refit import calls_of, error, perceptron
from weightspace.align import align
from weightspace.evaluate import interpolate
from weightspace.merge import refit_in_turn
from weightspace.merge.combine import combine
from weightspace.merge.homes import Homes
from weightspace.merge.wide import Wide
from weightspace.merge.widening import Widening, widening_of
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec, randomized

State = dict[str, Tensor]


def made(build, seed: int = 0) -> tuple[Program, Spec, Widening, State, State]:
    torch.manual_seed(0)
    program, spec = built_of(build())
    a, b = (randomized(program.state(), spec, seed + offset) for offset in range(2))
    return program, spec, widening_of(program, spec), a, b


def apart(spec: Spec, groups: tuple[str, ...], share: float) -> dict[str, Tensor]:
    sizes = {group.name: group.size for group in spec.groups}
    return {name: torch.arange(sizes[name]) < share * sizes[name] for name in groups}


def flat() -> Network:
    """Channels that are flattened into products with positions."""
    layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(5 * 16, 6), nn.ReLU(), nn.Linear(6, 3)), Inputs((torch.randn(2, 1, 8, 8),))


class Normed(nn.Module):
    """A layer norm without parameters between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.layer_norm(self.first(x), (6,))
        return self.third(torch.tanh(self.second(torch.tanh(x))))


class Standardised(nn.Module):
    """Mixes its hidden units by a mean over whatever there is, which takes any number of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.second(torch.tanh(x - x.mean(-1, keepdim=True)))


@pytest.mark.parametrize("build", [perceptron, flat, cnn, resnet20])
def test_together_it_is_the_mean_of_the_weights(build):
    _, spec, widening, a, b = made(build)
    merged = combine(Homes(spec, {}, ({}, {})), (a, b), widening.reads)
    expected = interpolate(a, b, 0.5)
    for name, tensor in merged.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, expected[name])


@pytest.mark.parametrize("build", [perceptron, flat])
def test_all_apart_it_is_the_ensemble(build):
    program, spec, widening, a, b = made(build)
    assert set(widening.groups) == {group.name for group in spec.groups}
    homes = Homes.partial(spec, apart(spec, widening.groups, 1.0))
    merged = combine(homes, (a, b), widening.reads)
    for inputs in calls_of(program, 2):
        expected = (program.outputs(a, inputs)[0] + program.outputs(b, inputs)[0]) / 2
        torch.testing.assert_close(program.outputs(merged, inputs)[0], expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_network_merged_with_itself_is_itself_at_any_size(share: float):
    program, spec, widening, a, _ = made(flat)
    merged = combine(Homes.partial(spec, apart(spec, widening.groups, share)), (a, a), widening.reads)
    torch.testing.assert_close(program.outputs(merged)[0], program.outputs(a)[0], atol=1e-9, rtol=1e-9)
    grown = sum(t.numel() for t in merged.values()) - sum(t.numel() for t in a.values())
    assert (grown > 0) == (share > 0)


def test_units_in_one_home_are_zipped():
    """Two units of one network that compute the same become one, which is read as often as both were."""
    program, spec, widening, a, _ = made(perceptron)
    name = spec.groups[0].name
    weight, bias = (next(t for t, _ in spec.occurrences(name) if t.endswith(kind)) for kind in ("weight", "bias"))
    a[weight][1], a[bias][1] = a[weight][0], a[bias][0]
    size = spec.groups[0].size
    home = torch.cat([torch.zeros(2, dtype=torch.int64), torch.arange(1, size - 1)])
    merged = combine(Homes(spec, {name: size - 1}, ({name: home},)), (a,), widening.reads)
    assert len(merged[bias]) == size - 1
    torch.testing.assert_close(program.outputs(merged)[0], program.outputs(a)[0], atol=1e-9, rtol=1e-9)


def test_more_units_come_nearer_to_the_mean_outputs():
    program, spec, widening, a, b = made(perceptron)
    aligned = align(a, b, spec).apply(b)
    calls = calls_of(program)
    errors = []
    for share in (0.0, 0.5, 1.0):
        wide = Wide.of(widening, Homes.partial(spec, apart(spec, widening.groups, share)), (a, aligned))
        found = refit_in_turn(program, (a, aligned), wide.state, lambda: calls, wide=wide, ridge=1e-8).state
        errors.append(error(program, found, [a, aligned], calls, wide.program))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-10


def test_with_all_units_together_least_squares_is_what_it_is_without_homes():
    program, spec, widening, a, b = made(cnn)
    calls = calls_of(program, 2, 8)
    wide = Wide.of(widening, Homes(spec, {}, ({}, {})), (a, b))
    one = refit_in_turn(program, (a, b), interpolate(a, b, 0.5), lambda: calls).state
    two = refit_in_turn(program, (a, b), wide.state, lambda: calls, wide=wide).state
    for name in two:
        torch.testing.assert_close(one[name], two[name])


def test_a_norm_over_units_keeps_them_from_growing():
    _, spec, widening, _, _ = made(lambda: (Normed(), Inputs((torch.randn(3, 4),))))
    first, second = (group.name for group in spec.groups)
    assert widening.groups == (second,)
    assert "does not take more" in widening.refused[first]
    _, spec, widening, _, _ = made(lambda: (Standardised(), Inputs((torch.randn(3, 4),))))
    assert widening.groups == ()
    assert "mixes them" in widening.refused[spec.groups[0].name]


@pytest.mark.parametrize("build", [llama, gpt2])
def test_hidden_units_and_heads_of_transformers_may_grow_whatever_their_code_holds(build):
    """Layers of GPT-2 reshape to the width that they were built with."""
    pytest.importorskip("transformers")
    program, spec, widening, a, _ = made(build)
    heads = {outer for group in spec.all_groups for outer in group.depends_on} - {
        group.name for group in spec.all_groups if group.depends_on
    }
    assert set(widening.groups) >= heads
    assert sum("mlp" in name for name in widening.groups) == 2
    assert len(widening.groups) == 4
    assert set(widening.groups) | set(widening.refused) == {group.name for group in spec.groups}
    for share in (0.5, 1.0):  # of a network and itself: all heads are there once or twice, and it is the same function
        wide = Wide.of(widening, Homes.partial(spec, apart(spec, widening.groups, share)), (a, a))
        torch.testing.assert_close(wide.program.outputs(wide.state)[0], program.outputs(a)[0], atol=1e-9, rtol=1e-9)
        assert wide.program.parameters > (1 + 0.8 * share) * program.parameters
