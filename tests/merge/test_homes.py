"""Merges as maps of units: means, ensembles, everything between; and which groups may grow at all."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.align.networks import Network, built_of, cnn, gpt2, llama, resnet20
from tests.merge.test_refit import calls_of, error, perceptron
from weightspace.align import align
from weightspace.errors import SpecError
from weightspace.evaluate import interpolate
from weightspace.merge import refit_in_turn
from weightspace.merge.combine import combine
from weightspace.merge.homes import Homes
from weightspace.merge.widening import Widening, widening_of
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec, randomized
from weightspace.symmetry.axis import FixedAxis, GroupAxis, ProductAxis, Run, SumAxis

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
        homes = Homes.partial(spec, apart(spec, widening.groups, share))
        start = combine(homes, (a, aligned), widening.reads)
        found = refit_in_turn(program, (a, aligned), start, lambda: calls, homes=homes, ridge=1e-8).state
        errors.append(error(program, found, [a, aligned], calls))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-10


def test_with_all_units_together_least_squares_is_what_it_is_without_homes():
    program, spec, _, a, b = made(cnn)
    calls = calls_of(program, 2, 8)
    start = interpolate(a, b, 0.5)
    homes = Homes(spec, {}, ({}, {}))
    one, two = (refit_in_turn(program, (a, b), start, lambda: calls, homes=each).state for each in (None, homes))
    for name in one:
        torch.testing.assert_close(one[name], two[name])


def test_a_norm_over_units_keeps_them_from_growing():
    _, spec, widening, _, _ = made(lambda: (Normed(), Inputs((torch.randn(3, 4),))))
    first, second = (group.name for group in spec.groups)
    assert widening.groups == (second,)
    assert "does not take more" in widening.refused[first]
    _, spec, widening, _, _ = made(lambda: (Standardised(), Inputs((torch.randn(3, 4),))))
    assert widening.groups == ()
    assert "mixes them" in widening.refused[spec.groups[0].name]


def test_of_transformers_hidden_units_may_grow_where_no_code_holds_their_number():
    pytest.importorskip("transformers")
    _, spec, widening, _, _ = made(llama)
    assert widening.groups
    assert all("mlp" in name for name in widening.groups)
    assert set(widening.groups) | set(widening.refused) == {group.name for group in spec.groups}
    _, _, widening, _, _ = made(gpt2)  # its layers reshape to the width that they were built with
    assert widening.groups == ()
    assert any("does not take more" in reason for reason in widening.refused.values())


def test_axes_grow_part_by_part():
    _, spec, _, _, _ = made(perceptron)
    name, size = spec.groups[0].name, spec.groups[0].size
    chosen = torch.zeros(size, dtype=torch.bool)
    chosen[[1, 3]] = True
    homes = Homes.partial(spec, {name: chosen})
    axis = SumAxis(
        (FixedAxis(2, "input"), ProductAxis((GroupAxis(name, size), FixedAxis(3, "positions")))),
        (Run(0, 0, 2), Run(1, 0, 3 * size)),
    )
    assert homes.axis(axis).size == 2 + 3 * (size + 2)
    first, second = homes.positions(0, axis), homes.positions(1, axis)
    assert first.tolist() == list(range(2 + 3 * size))
    assert second[:5].tolist() == [0, 1, 2, 3, 4]  # slot 0 is shared
    assert second[5:8].tolist() == [2 + 3 * size, 3 + 3 * size, 4 + 3 * size]  # slot 1 has a home behind all others
    scattered = SumAxis((GroupAxis(name, size), FixedAxis(2, "pad")), (Run(0, 0, 2), Run(1, 0, 2), Run(0, 2, size - 2)))
    with pytest.raises(SpecError, match="scattered"):
        homes.axis(scattered)


def test_homes_that_do_not_fit_are_refused():
    _, spec, _, _, _ = made(perceptron)
    name = spec.groups[0].name
    with pytest.raises(SpecError, match="expected a movable group"):
        Homes(spec, {"nothing": 3}, ({}, {}))
    with pytest.raises(SpecError, match="homes from 0 to 3"):
        Homes(spec, {name: 4}, ({name: torch.arange(spec.groups[0].size)},))
