"""Freedoms learned on the loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.align.freedoms.test_settle_freedoms import State, built, normed_cnn, untied_gpt2, untied_llama
from weightspace.align import align
from weightspace.align.freedoms.learned import LearnedFreedoms
from weightspace.align.methods import ste
from weightspace.source import Inputs, Program
from weightspace.symmetry import Transformation
from weightspace.symmetry.verify import relative_error


@pytest.mark.parametrize("network", [untied_gpt2, untied_llama])
def test_every_step_stays_in_the_group(network):
    program, spec, a = built(network)
    generator = torch.Generator().manual_seed(0)
    kinds = ("rotation", "linear", "rotary")
    learned = LearnedFreedoms(
        Transformation.random(spec, generator, ("permutation", *kinds)), kinds, torch.device("cpu")
    )
    assert learned.parameters
    with torch.no_grad():
        for parameter in learned.parameters:
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    moved = learned.settled().apply(a)
    assert relative_error(program.outputs(moved), program.outputs(a)) < 1e-5  # the Llama computes parts in float32


def test_gradients_are_those_of_finite_differences():
    program, spec, a = built(untied_gpt2)
    start = Transformation.random(spec, torch.Generator().manual_seed(0), ("rotation", "linear"))
    learned = LearnedFreedoms(start, ("rotation", "linear"), torch.device("cpu"))

    def loss() -> Tensor:
        moved = learned.transformation().apply(a)
        middle = {n: (t + moved[n]) / 2 if t.is_floating_point() else t for n, t in a.items()}
        return program.outputs(middle, differentiable=True)[0].square().mean()

    with torch.enable_grad():
        loss().backward()
    for parameter in learned.parameters:
        place = (0,) * (parameter.dim() - 1) + (1,)
        assert parameter.grad is not None
        found = []
        for step in (1e-3, -1e-3):
            with torch.no_grad():
                parameter[place] += step
                found.append(float(loss()))
                parameter[place] -= step
        expected = (found[0] - found[1]) / 2e-3
        assert float(parameter.grad[place]) == pytest.approx(expected, rel=1e-2, abs=1e-7)


def test_factors_are_not_learned():
    _, spec, _ = built(normed_cnn)
    start = Transformation.random(spec, torch.Generator().manual_seed(0), ("scale", "sign"))
    assert not LearnedFreedoms(start, ("scale", "sign"), torch.device("cpu")).parameters


def calls(program: Program, count: int) -> list[Inputs]:
    generator = torch.Generator().manual_seed(3)
    return [
        program.inputs.map_tensors(lambda tensor: torch.randint(61, tensor.shape, generator=generator))
        for _ in range(count)
    ]


def test_learning_ends_no_worse_than_it_starts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ste, "FREE_STEPS", 12)
    monkeypatch.setattr(ste, "EVERY", 4)
    program, spec, a = built(untied_gpt2)
    generator = torch.Generator().manual_seed(1)
    b: State = {
        n: t + 0.5 * t.std() * torch.randn(t.shape, generator=generator, dtype=t.dtype) if t.numel() > 1 else t
        for n, t in Transformation.random(spec, generator, ("permutation", "rotation", "linear")).apply(a).items()
    }
    found = align(
        a, b, spec, method="ste", kinds=("permutation", "rotation", "linear"), restarts=2, program=program,
        batches=lambda: calls(program, 4), forward=program.outputs,
    )  # fmt: skip
    assert found.figures["loss"] < found.figures["loss_at_start"]
    assert found.preservation_error is not None
    assert found.preservation_error < 1e-9
    assert found.report()["freedoms"] == {"linear": 4, "rotation": 1}
