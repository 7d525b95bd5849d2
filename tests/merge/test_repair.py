"""Repaired networks against an oracle that keeps every activation, seen by hooks of modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.align.networks import Network, built_of, cnn, gpt2, resnet20
from tests.merge.test_refit import calls_of, perceptron
from weightspace.align import align
from weightspace.checkpoint import open_checkpoint
from weightspace.data import open_data
from weightspace.errors import DataError
from weightspace.evaluate import evaluate, interpolate
from weightspace.merge import Homes, Wide, repair, widening_of
from weightspace.source import Inputs, Program, resolve_source
from weightspace.stats import reset_batchnorm, reset_on_calls
from weightspace.symmetry import derive, randomized

State = dict[str, Tensor]
ZOO = Path(__file__).resolve().parents[2] / "checkpoints_zoo"


def plain() -> Network:
    """Convolutions without batch norms, one in groups and one without a bias."""
    layers = (nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.Tanh(), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(6 * 16, 5), nn.ReLU(), nn.Linear(5, 3)), Inputs((torch.randn(2, 1, 8, 8),))


class Normed(nn.Module):
    """A batch norm on the network's input and one on a sum, which follow no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.first = nn.BatchNorm1d(5), nn.Linear(5, 6)
        self.second, self.norm2, self.third = nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.norm1(x)).relu()
        return self.third(self.norm2(x + self.second(x)).relu())


def normed() -> Network:
    return Normed(), Inputs((torch.randn(4, 5),))


BUILDS = [perceptron, plain, cnn, normed, resnet20, gpt2]
FACTORS = [perceptron, plain, gpt2]


def made(build, count: int = 2, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Program, list[State], State]:
    """A network, its program, random weights for it, and their mean."""
    torch.manual_seed(0)
    network = build()
    program, spec = built_of(network)
    states = [randomized(program.state(), spec, seed) for seed in range(count)]
    states = [{n: t.to(dtype) if t.is_floating_point() else t for n, t in each.items()} for each in states]
    mean = {
        name: torch.stack([each[name] for each in states]).mean(0) if tensor.is_floating_point() else tensor
        for name, tensor in states[0].items()
    }
    return network[0], program, states, mean


def moments(module: nn.Module, state: State, calls: Sequence[Inputs]) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and deviation of what every module with a weight gives, by the name of the weight."""
    module = module.double().eval()
    module.load_state_dict(state, strict=False)  # tied tensors under one of their names
    seen: dict[str, list[Tensor]] = {}
    hooks = []
    for name, child in module.named_modules():
        channels = -1 if isinstance(child, nn.Linear) or type(child).__name__ == "Conv1D" else 1

        def keep(_, __, output: Tensor, name: str = f"{name}.weight", channels: int = channels) -> None:
            seen.setdefault(name, []).append(output.transpose(0, channels).flatten(1))

        if isinstance(child, nn.Linear | nn.Conv2d) or type(child).__name__ == "Conv1D":
            hooks.append(child.register_forward_hook(keep))
    with torch.no_grad():
        for inputs in calls:
            call = inputs.cast(torch.float64, "cpu")
            module(*call.args, **call.kwargs)
    for hook in hooks:
        hook.remove()
    values = {name: torch.cat(each, dim=1) for name, each in seen.items()}
    return {name: (each.mean(1), each.std(1, correction=0)) for name, each in values.items()}


def deviations_from_target(
    module: nn.Module, states: list[State], merged: State, shifted: Mapping[str, bool], calls: Sequence[Inputs],
    shares: Sequence[float],
) -> float:  # fmt: skip
    """The largest distance of a mean or deviation from what it ought to be, in deviations."""
    own, others = moments(module, merged, calls), [moments(module, state, calls) for state in states]
    worst = 0.0
    for name, has_mean in shifted.items():
        mean, deviation = (
            sum(share * each[name][which] for share, each in zip(shares, others, strict=True)) / sum(shares)
            for which in range(2)
        )
        worst = max(worst, float(((own[name][1] - deviation) / deviation).abs().max()))
        if has_mean:
            worst = max(worst, float(((own[name][0] - mean) / deviation).abs().max()))
    return worst


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize("build", BUILDS)
def test_every_unit_has_the_mean_of_the_moments(build, dtype, tolerance):
    module, program, states, mean = made(build, dtype=dtype)
    calls = [*calls_of(program, 2, 24), *calls_of(program, 1, 10)]  # the last one is smaller
    found = repair(program, states, mean, lambda: calls)
    assert not any(each.dead for each in found.corrected.values())
    shifted = {name: each.shifted for name, each in found.corrected.items()}
    assert deviations_from_target(module, states, mean, shifted, calls, (1, 1)) > 0.05
    assert deviations_from_target(module, states, found.state, shifted, calls, (1, 1)) < tolerance
    assert all(found.state[name].dtype == tensor.dtype for name, tensor in mean.items())


@pytest.mark.parametrize("shares", [None, (1.0, 2.0, 5.0)])
@pytest.mark.parametrize("build", [perceptron, cnn])
def test_three_networks(build, shares):
    module, program, states, mean = made(build, 3)
    calls = calls_of(program, 2)
    found = repair(program, states, mean, lambda: calls, shares=shares)
    shifted = {name: each.shifted for name, each in found.corrected.items()}
    assert deviations_from_target(module, states, found.state, shifted, calls, shares or (1, 1, 1)) < 1e-9


def test_what_is_corrected_and_what_is_left():
    corrected = {build: repair_of(build) for build in (plain, cnn, normed, resnet20, gpt2)}
    assert {name: each.shifted for name, each in corrected[plain].items()} == {
        "0.weight": True, "2.weight": False, "5.weight": True, "7.weight": True
    }  # fmt: skip
    assert set(corrected[cnn]) == {"narrow.weight", "head.weight"}
    assert set(corrected[normed]) == {"first.weight", "second.weight", "third.weight"}
    assert set(corrected[resnet20]) == {"linear.weight"}
    assert len(corrected[gpt2]) == 8
    assert "transformer.wte.weight" not in corrected[gpt2]  # the tied head


def repair_of(build):
    _, program, states, mean = made(build)
    calls = calls_of(program, 1, 8)
    found = repair(program, states, mean, lambda: calls)
    touched = {name for name in mean if not torch.equal(found.state[name], mean[name])}
    weights = set(found.corrected)
    assert touched <= weights | {name for name in mean if name.endswith(("bias", "running_mean", "running_var"))}
    return found.corrected


@pytest.mark.parametrize("build", [cnn, normed, resnet20])
def test_statistics_of_batch_norms_are_those_of_the_repaired_network(build):
    """Measuring them again, as every merge does at the end, changes nothing."""
    _, program, states, mean = made(build)
    calls = calls_of(program, 2)
    found = repair(program, states, mean, lambda: calls).state
    again = reset_on_calls(program, found, calls)
    for name, tensor in found.items():
        torch.testing.assert_close(again[name], tensor, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("build", FACTORS)
def test_a_permuted_copy_is_left_as_it_is(build):
    torch.manual_seed(0)
    program, spec = built_of(build())
    a = randomized(program.state(), spec, 0)
    b = spec.apply(spec.random_element(torch.Generator().manual_seed(1)), a)
    aligned = align(a, b, spec).apply(b)
    calls = calls_of(program, 2)
    found = repair(program, [a, aligned], interpolate(a, aligned, 0.5), lambda: calls)
    for name, tensor in a.items():
        torch.testing.assert_close(found.state[name], tensor, rtol=1e-6, atol=1e-6)
    assert all(each.gain == pytest.approx(1.0, abs=1e-6) for each in found.corrected.values())


def test_all_shares_with_one_network_leave_it_as_it_is():
    _, program, states, _ = made(perceptron)
    calls = calls_of(program, 2)
    found = repair(program, states, states[0], lambda: calls, shares=(1.0, 0.0))
    for name, tensor in states[0].items():
        torch.testing.assert_close(found.state[name], tensor, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dead_units_are_left_alone(dtype):
    """One constant in the merged network only, and one in all networks."""
    _, program, states, mean = made(perceptron, dtype=dtype)
    for state in (mean, *states):
        state["2.weight"][3] = 0
    mean["2.weight"][5] = 0
    calls = calls_of(program, 2)
    found = repair(program, states, mean, lambda: calls)
    assert found.corrected["2.weight"].dead == 2
    assert [each.dead for each in found.corrected.values()] == [0, 2, 0]
    for name in ("2.weight", "2.bias"):
        assert torch.equal(found.state[name][[3, 5]], mean[name][[3, 5]])
    assert all(bool(tensor.isfinite().all()) for tensor in found.state.values())


def test_a_layer_of_dead_units_only():
    _, program, states, mean = made(perceptron)
    mean["2.weight"].zero_()
    calls = calls_of(program, 1)
    found = repair(program, states, mean, lambda: calls)
    assert (found.corrected["2.weight"].dead, found.corrected["2.weight"].gain) == (16, 1.0)
    assert found.corrected["4.weight"].dead == 3  # nothing reaches it
    assert all(bool(tensor.isfinite().all()) for tensor in found.state.values())


def test_units_kept_apart_keep_their_own_moments():
    """With every unit of the first layer apart, that layer has nothing to repair; those behind it have."""
    torch.manual_seed(0)
    program, spec = built_of(perceptron())
    states = [randomized(program.state(), spec, seed) for seed in range(2)]
    group = spec.tensors["0.weight"].axes[0].group  # type: ignore[union-attr]
    homes = Homes.partial(spec, {group: torch.ones(16, dtype=torch.bool)})
    wide = Wide.of(widening_of(program, spec), homes, states)
    calls = calls_of(program, 2)
    found = repair(program, states, wide.state, lambda: calls, homes=homes, merged=wide.program)
    for name in ("0.weight", "0.bias"):
        torch.testing.assert_close(found.state[name], wide.state[name])
    assert found.corrected["0.weight"].units == 32
    assert found.corrected["2.weight"].gain > 1.05
    grown = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3))
    own = moments(grown, found.state, calls)
    others = [moments(perceptron()[0], state, calls) for state in states]
    for name in ("2.weight", "4.weight"):
        for which in range(2):
            torch.testing.assert_close(own[name][which], (others[0][name][which] + others[1][name][which]) / 2)


@pytest.mark.parametrize("build", [perceptron, cnn])
def test_without_data_it_says_so(build):
    _, program, states, mean = made(build)
    with pytest.raises(DataError, match="repair: expected at least one batch, found none"):
        repair(program, states, mean, list)


@pytest.mark.parametrize("architecture", ["digits_mlp", "digits_cnn"])
def test_real_networks_merge_better_with_it(architecture: str):
    source = resolve_source(f"{ZOO / 'models.py'}:{architecture}")
    program, inputs = Program.from_source(source), source.example_inputs()
    spec = derive(source.build(meta=True), inputs.args, inputs.kwargs)
    a, b = (dict(open_checkpoint(ZOO / f"{architecture}_{seed}.safetensors").items()) for seed in (0, 1))
    data = open_data(ZOO / "digits")
    batches = list(data.statistics.batches(500, samples=1000, shuffle_seed=0))
    calls = [program.inputs_for(x) for x, _ in batches]
    aligned = align(a, b, spec, method="activations", program=program, batches=lambda: calls).apply(b)
    middle = interpolate(a, aligned, 0.5)

    def accuracy(state: State) -> float:
        return evaluate(program, reset_batchnorm(program, state, batches), data.evaluation.batches(500)).accuracy

    assert accuracy(repair(program, (a, aligned), middle, lambda: calls).state) >= accuracy(middle) + 0.004
