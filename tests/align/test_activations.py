"""Activation matching on real small networks with planted group elements."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.align.networks import built
from tests.symmetry import networks as small
from weightspace.align import METHODS, align
from weightspace.align.similarity import joint_similarities, similarities
from weightspace.errors import AlignmentError, DataError
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec, derive

NAMES = [name for name in METHODS if name.startswith("activations")]


def calls(program: Program, count: int = 4) -> list[Inputs]:
    """Random inputs like the example call."""
    generator = torch.Generator().manual_seed(3)

    def anew(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            return torch.randn(tensor.shape, generator=generator)
        return torch.randint(61, tensor.shape, generator=generator)

    return [program.inputs.map_tensors(anew) for _ in range(count)]


def alive(program: Program) -> dict[str, Tensor]:
    """The weights of the network, without dead ReLUs: no activation tells those apart."""
    return {name: tensor + 3 * name.startswith("norm3.bias") for name, tensor in program.state().items()}


def planted(program: Program, spec: Spec, *, noise: float = 0.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    moved = spec.apply(spec.random_element(generator), alive(program))
    return {
        name: tensor + noise * tensor.std() * torch.randn(tensor.shape, generator=generator)
        if tensor.is_floating_point() and tensor.numel() > 1 and "running" not in name
        else tensor
        for name, tensor in moved.items()
    }


@pytest.mark.parametrize("name", ["cnn", "gpt2"])
def test_weight_matching_from_activations_ends_no_lower(name: str) -> None:
    program, spec = built(name)
    a = alive(program)
    b = {n: t + t.std() * torch.randn_like(t) if t.dim() > 1 else t for n, t in planted(program, spec).items()}
    plain, more = (
        align(a, b, spec, method=method, restarts=2, program=program, batches=lambda: calls(program))
        for method in ("weights", "weights-activations")
    )
    assert more.objective_after >= plain.objective_after
    assert more.figures["samples"] > 0


def share_restored(spec: Spec, a: dict[str, Tensor], aligned: dict[str, Tensor]) -> float:
    moving = [name for name in spec.tensors if any(block.groups for block in spec.blocks[name])]
    return sum(torch.equal(a[name], aligned[name]) for name in moving) / len(moving)


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("name", ["mlp", "cnn", "gru", "gpt2", "llama"])
def test_a_planted_element_is_found(name: str, method: str) -> None:
    program, spec = built(name)
    a, b = alive(program), planted(program, spec)
    found = align(a, b, spec, method=method, program=program, batches=lambda: calls(program))
    assert share_restored(spec, a, found.apply(b)) == 1.0
    assert found.figures["unseen_groups"] == 0


def test_a_planted_element_is_found_under_noise() -> None:
    program, spec = built("resnet20")
    a = program.state()
    b = planted(program, spec, noise=0.3)
    found = align(a, b, spec, method="activations", program=program, batches=lambda: calls(program))
    exact = planted(program, spec)
    assert share_restored(spec, a, found.apply(exact)) > 0.9


def test_groups_that_are_not_seen_go_by_the_weights() -> None:
    torch.manual_seed(0)
    module, args, kwargs = small.mixer()
    module.eval()
    program, spec = Program(module, Inputs(args, kwargs)), derive(module, args, kwargs)
    a, b = alive(program), planted(program, spec)
    found = align(a, b, spec, method="activations", program=program, batches=lambda: calls(program))
    assert found.figures["unseen_groups"] == 2
    assert share_restored(spec, a, found.apply(b)) == 1.0


def test_batches_are_one_stream() -> None:
    program, spec = built("gpt2")
    a, b = program.state(), planted(program, spec, noise=0.5)
    whole = calls(program)
    halves = [program.inputs_for(half) for call in whole for half in call.args[0].split(1)]
    first, second = (similarities(program, a, b, spec, batches) for batches in (whole, halves))
    assert first.samples == second.samples == 8
    assert first.of.keys() == second.of.keys()
    for group, matrix in first.of.items():
        torch.testing.assert_close(matrix, second.of[group], rtol=1e-4, atol=1e-4)


def test_similarity_of_a_perceptron_is_the_correlation_of_its_units() -> None:
    first, x = nn.Linear(3, 4), torch.randn(50, 3)
    program = Program(nn.Sequential(first, nn.ReLU(), nn.Linear(4, 2)), Inputs((x,)))
    spec = derive(program._module, (x,))
    a = program.state()
    b = {name: torch.randn_like(tensor) for name, tensor in a.items()}
    found = similarities(program, a, b, spec, [Inputs((x,))], depth="made").of
    both = torch.cat([x @ state["0.weight"].T + state["0.bias"] for state in (a, b)], 1)
    torch.testing.assert_close(found["0"][0].float(), both.T.corrcoef()[:4, 4:], rtol=1e-4, atol=1e-4)


def test_joint_similarities_hold_those_within_and_across() -> None:
    program, spec = built("gpt2")
    a = alive(program)
    models = [a, planted(program, spec, noise=0.5), planted(program, spec, noise=1.0)]
    group = "transformer.h.0.mlp.c_fc"
    found = joint_similarities(program, models, spec, calls(program), groups=[group], depth="made")
    assert found.of.keys() == {group}
    assert (found.samples, found.taps) == (8, 1)
    n = found.of[group].shape[-1] // 3
    for row, one in enumerate(models):
        for column, two in enumerate(models):
            pair = similarities(program, one, two, spec, calls(program), depth="made").of[group]
            here = found.of[group][:, row * n : (row + 1) * n, column * n : (column + 1) * n]
            torch.testing.assert_close(here, pair)


def test_masked_scores_of_attention_are_left_out() -> None:
    program, spec = built("gpt2")
    a = program.state()
    found = similarities(program, a, a, spec, calls(program), depth="all")
    assert all(bool(torch.isfinite(matrix).all()) for matrix in found.of.values())
    assert found.taps < len(program.taps(program.inputs).taps)


def test_dead_units_go_by_the_weights() -> None:
    program, spec = built("mlp")
    a = {name: tensor.clone() for name, tensor in program.state().items()}
    a["0.bias"][:5] = -100.0
    b = spec.apply(spec.random_element(torch.Generator().manual_seed(0)), a)
    found = align(a, b, spec, method="activations", program=program, batches=lambda: calls(program))
    aligned = found.apply(b)
    assert all(torch.equal(aligned[name], tensor) for name, tensor in a.items())


def test_units_that_are_dead_on_one_side_only_leave_the_rest_in_place() -> None:
    program, spec = built("mlp")
    a = {name: tensor.clone() for name, tensor in program.state().items()}
    b = {name: tensor.clone() for name, tensor in a.items()}
    a["0.bias"][:3] = b["0.bias"][2:7] = -100.0
    moved = spec.random_element(torch.Generator().manual_seed(0))
    found = align(a, spec.apply(moved, b), spec, method="activations", program=program, batches=lambda: calls(program))
    aligned = found.apply(spec.apply(moved, b))
    assert torch.equal(aligned["0.weight"][7:], b["0.weight"][7:])


@pytest.mark.parametrize(
    ("given", "message"),
    [({}, r"expected the network .* and data"), ({"program": True}, r"expected data \(--data\), found none")],
)
def test_what_is_missing_is_named(given: dict[str, bool], message: str) -> None:
    program, spec = built("mlp")
    state = program.state()
    with pytest.raises(AlignmentError, match=message):
        align(state, state, spec, method="activations", program=program if given else None)


def test_no_batches() -> None:
    program, spec = built("mlp")
    state = program.state()
    with pytest.raises(DataError, match="expected at least one batch"):
        align(state, state, spec, method="activations", program=program, batches=list)


def test_inputs_on_which_the_network_has_other_groups() -> None:
    program, _ = built("mlp")
    _, other = built("cnn")
    state = program.state()
    with pytest.raises(AlignmentError, match="other groups on inputs of this shape"):
        similarities(program, state, state, other, calls(program))


def test_activations_that_are_not_finite() -> None:
    program, spec = built("mlp")
    state = program.state() | {"0.bias": torch.full((24,), 3e38), "0.weight": torch.full((24, 12), 3e38)}
    with pytest.raises(AlignmentError, match="expected finite values"):
        similarities(program, state, state, spec, calls(program))
