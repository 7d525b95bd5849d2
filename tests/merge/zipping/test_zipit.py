"""Zips are what the formula of the paper says, give permuted copies back, and stop where they are told to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.align.networks import built_of, cnn, gpt2, gru, resnet20
from tests.merge.test_homes import Normed, flat
from tests.merge.test_refit import calls_of, error, perceptron
from weightspace.align import align
from weightspace.errors import DataError, SpecError
from weightspace.merge import Zipped, groups_after, zipit
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec, randomized

State = dict[str, Tensor]


def strangers(build, count: int) -> tuple[Program, Spec, list[State]]:
    torch.manual_seed(0)
    program, spec = built_of(build())
    return program, spec, [randomized(program.state(), spec, seed) for seed in range(count)]


def matrices(zipped: Zipped, group: str, copies: int = 1) -> tuple[list[Tensor], list[Tensor]]:
    """U and M of every network, each unit of the group as so many entries."""
    homes = [units[group] for units in zipped.homes.units]
    size = zipped.homes.sizes[group]
    unmerge = torch.cat([torch.eye(size, dtype=torch.float64)[home] for home in homes])
    merge = (unmerge / unmerge.sum(0)).T
    blocks = torch.eye(copies, dtype=torch.float64)
    n = len(homes[0])
    into, out = unmerge.split(n), merge.split(n, 1)
    return [torch.kron(u, blocks) for u in into], [torch.kron(m.contiguous(), blocks) for m in out]


def check(program: Program, zipped: Zipped, expected: State) -> None:
    """Both the names above and the values."""
    for name, tensor in expected.items():
        torch.testing.assert_close(zipped.state[name], tensor, atol=1e-12, rtol=1e-12)
    assert set(expected) == {name for name in program.state() if "num_batches" not in name}


@pytest.mark.parametrize("count", [2, 3])
def test_weights_of_a_perceptron_are_those_of_the_paper(count: int) -> None:
    program, spec, models = strangers(perceptron, count)
    zipped = zipit(models, program, spec, calls_of(program), beta=0.25)
    (u1, m1), (u2, m2) = (matrices(zipped, group) for group in ("0", "2"))

    def total(parts) -> Tensor:
        return torch.stack(list(parts)).sum(0)

    every = range(count)
    expected = {
        "0.weight": total(m1[i] @ models[i]["0.weight"] for i in every),
        "0.bias": total(m1[i] @ models[i]["0.bias"] for i in every),
        "2.weight": total(m2[i] @ models[i]["2.weight"] @ u1[i] for i in every),
        "2.bias": total(m2[i] @ models[i]["2.bias"] for i in every),
        "4.weight": total(models[i]["4.weight"] @ u2[i] for i in every) / count,
        "4.bias": total(models[i]["4.bias"] for i in every) / count,
    }
    check(program, zipped, expected)
    for group in zipped.groups:
        assert group.across + group.within + group.alone == count * group.size == count * 16
        assert group.within


def test_weights_of_a_convolutional_network_are_those_of_the_paper() -> None:
    """With a batch norm, and with positions flattened into products."""
    program, spec, models = strangers(flat, 2)
    zipped = zipit(models, program, spec, calls_of(program), beta=0.25)
    (u1, m1), (_, m2), (u3, m3) = (matrices(zipped, group) for group in ("0", "3", "6"))
    wide = matrices(zipped, "3", 16)[0]
    expected = {}
    for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
        expected[name] = sum(torch.tensordot(m1[i], models[i][name], 1) for i in range(2))
    expected["3.weight"] = sum(torch.einsum("ho,oikl,ij->hjkl", m2[i], models[i]["3.weight"], u1[i]) for i in range(2))
    expected["3.bias"] = sum(m2[i] @ models[i]["3.bias"] for i in range(2))
    expected["6.weight"] = sum(m3[i] @ models[i]["6.weight"] @ wide[i] for i in range(2))
    expected["6.bias"] = sum(m3[i] @ models[i]["6.bias"] for i in range(2))
    expected["8.weight"] = sum(models[i]["8.weight"] @ u3[i] for i in range(2)) / 2
    expected["8.bias"] = sum(models[i]["8.bias"] for i in range(2)) / 2
    check(program, zipped, expected)


@pytest.mark.parametrize(
    ("build", "count"),
    [(perceptron, 2), (perceptron, 3), (flat, 2), (flat, 3), (cnn, 3), (gru, 2), (gru, 3), (resnet20, 3)],
)
def test_permuted_copies_give_the_original_back(build, count: int) -> None:
    program, spec, (a,) = strangers(build, 1)
    generator = torch.Generator().manual_seed(1)
    copies = [spec.apply(spec.random_element(generator), a) for _ in range(count - 1)]
    calls = calls_of(program, 4, 16)
    zipped = zipit([a, *copies], program, spec, calls)
    assert not zipped.paired
    assert all(group.across == count * group.size for group in zipped.groups)
    for inputs in calls_of(program, 1, 5):
        expected = program.outputs(a, inputs)[0]
        torch.testing.assert_close(program.outputs(zipped.state, inputs)[0], expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("build", [lambda: (Normed(), Inputs((torch.randn(3, 4),))), gpt2])
def test_what_may_not_be_zipped_stays_with_its_counterpart(build) -> None:
    program, spec, (a,) = strangers(build, 1)
    b = spec.apply(spec.random_element(torch.Generator().manual_seed(1)), a)
    calls = calls_of(program, 4, 16)
    aligned = align(a, b, spec, method="activations", program=program, batches=lambda: calls).apply(b)
    zipped = zipit([a, aligned], program, spec, calls)
    assert zipped.paired
    assert zipped.groups
    assert not zipped.homes.sizes.keys() & zipped.paired.keys()
    torch.testing.assert_close(program.outputs(zipped.state)[0], program.outputs(a)[0], atol=1e-9, rtol=1e-9)


def test_units_that_a_network_has_twice_make_room_for_units_of_the_other() -> None:
    """Where a permutation has to merge what is not alike, a zip loses nothing."""
    program, spec, (a, other) = strangers(perceptron, 2)
    a["0.weight"][8:], a["0.bias"][8:] = a["0.weight"][:8], a["0.bias"][:8]
    other["0.weight"][8:], other["0.bias"][8:] = other["0.weight"][:8], other["0.bias"][:8]
    calls = calls_of(program)
    zipped = zipit([a, other], program, spec, calls, beta=0.5, apart=["2"])
    first = zipped.groups[0]
    assert (first.size, first.across, first.within, first.alone) == (16, 0, 32, 0)
    assert error(program, zipped.state, [a, other], calls) < 1e-18
    forced = zipit([a, other], program, spec, calls, beta=0.0, apart=["2"])
    assert error(program, forced.state, [a, other], calls) > 0.01


def test_a_zip_of_the_trunk_alone_runs_the_rest_of_every_network() -> None:
    program, spec, models = strangers(perceptron, 3)
    apart = groups_after(program.sites(program.inputs), spec, "0.weight")
    assert apart == ("2",)
    zipped = zipit(models, program, spec, calls_of(program), apart=apart)
    assert zipped.state["2.weight"].shape == (48, 16)
    assert [(group.name, group.size, group.alone) for group in zipped.groups][1] == ("2", 48, 48)
    inputs = calls_of(program)[0]
    trunk = torch.relu(inputs.args[0].double() @ zipped.state["0.weight"].T + zipped.state["0.bias"])
    u = matrices(zipped, "0")[0]
    outputs = []
    for model, copy in zip(models, u, strict=True):
        hidden = torch.relu(trunk @ copy.T @ model["2.weight"].T + model["2.bias"])
        outputs.append(hidden @ model["4.weight"].T + model["4.bias"])
    for runs in (program, zipped.program):
        torch.testing.assert_close(runs.outputs(zipped.state, inputs)[0], torch.stack(outputs).mean(0))


def test_a_zipped_trunk_under_residual_blocks_of_their_own_is_a_network_that_runs() -> None:
    program, spec, (a,) = strangers(resnet20, 1)
    b = spec.apply(spec.random_element(torch.Generator().manual_seed(1)), a)
    apart = groups_after(program.sites(program.inputs), spec, "layer2.2.conv2.weight")
    zipped = zipit([a, b], program, spec, calls_of(program, 2, 8), apart=apart)
    kept = {group.name for group in zipped.groups if group.alone}
    assert kept == set(apart) == {"layer3.0.conv1", "layer3.0.conv2", "layer3.1.conv1", "layer3.2.conv1"}
    assert zipped.program.parameters > 2 * program.parameters
    torch.testing.assert_close(zipped.program.outputs(zipped.state)[0], program.outputs(a)[0], atol=1e-9, rtol=1e-9)


def test_the_order_of_groups_is_that_of_their_first_layers() -> None:
    program, spec, _ = strangers(resnet20, 0)
    sites = program.sites(program.inputs)
    after = groups_after(sites, spec, "layer3.0.conv1.weight")
    assert after == ("layer3.0.conv2", "layer3.1.conv1", "layer3.2.conv1")
    assert len(groups_after(sites, spec, "conv1.weight")) == len(spec.groups) - 1
    assert groups_after(sites, spec, "linear.weight") == ()
    with pytest.raises(SpecError, match=r"bn1.weight: expected the weight of a layer, such as conv1.weight"):
        groups_after(sites, spec, "bn1.weight")


def test_groups_that_may_not_grow_are_not_kept_apart() -> None:
    program, spec, models = strangers(lambda: (Normed(), Inputs((torch.randn(3, 4),))), 2)
    first = spec.groups[0].name
    with pytest.raises(SpecError, match=f"group '{first}': expected one that may be kept apart"):
        zipit(models, program, spec, calls_of(program), apart=[first])
    with pytest.raises(SpecError, match="there is none of that name"):
        zipit(models, program, spec, calls_of(program), apart=["nothing"])


def test_without_data_it_says_so() -> None:
    program, spec, models = strangers(perceptron, 2)
    with pytest.raises(DataError, match="at least one batch, found none"):
        zipit(models, program, spec, [])


class Scaled(nn.Module):
    """Two groups beside each other in one tensor, of which one is normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.head = nn.Linear(4, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.both(x).split([4, 6], -1)
        return self.head(torch.cat([torch.tanh(one), nn.functional.normalize(two, dim=-1)], -1))


def test_groups_in_one_tensor_are_told_apart() -> None:
    program, spec, models = strangers(lambda: (Scaled(), Inputs((torch.randn(3, 4),))), 2)
    zipped = zipit(models, program, spec, calls_of(program))
    assert [group.size for group in zipped.groups] == [4]
    assert "mixes them" in next(iter(zipped.paired.values()))
