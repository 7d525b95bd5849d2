from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.align.networks import built
from weightspace.align import align
from weightspace.align.methods import ste
from weightspace.errors import DataError
from weightspace.source import Inputs, Program
from weightspace.symmetry import Element, Spec


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ste, "STEPS", 40)


def labelled(program: Program, count: int = 3) -> list[Inputs]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 32, 12, generator=generator)
    return [program.inputs_for(each, each[:, :5].argmax(1)) for each in x]


def other(program: Program) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {name: torch.randn(t.shape, generator=generator) * t.std() for name, t in program.state().items()}


def loss_in_the_middle(program: Program, spec: Spec, b: dict[str, Tensor], element: Element, calls) -> float:
    a, moved = program.state(), spec.apply(element, b)
    middle = {name: (a[name] + moved[name]) / 2 for name in a}
    losses = [torch.nn.functional.cross_entropy(program.outputs(middle, x)[0], x.labels) for x in calls]
    return float(torch.stack(losses).mean())


def test_the_best_element_is_kept() -> None:
    program, spec = built("mlp")
    b, calls = other(program), labelled(program)
    found = align(program.state(), b, spec, method="ste", restarts=2, program=program, batches=lambda: calls)
    assert found.figures["loss"] == pytest.approx(loss_in_the_middle(program, spec, b, found.element, calls), rel=1e-5)
    assert found.figures["loss"] < found.figures["loss_at_start"]
    weights = align(program.state(), b, spec, method="weights", restarts=2)
    assert found.figures["loss_at_start"] <= loss_in_the_middle(program, spec, b, weights.element, calls) + 1e-6


@pytest.mark.parametrize("name", ["mlp", "gpt2"])
def test_a_planted_element_is_kept(name: str) -> None:
    program, spec = built(name)
    a = program.state()
    b = spec.apply(spec.random_element(torch.Generator().manual_seed(1)), a)
    calls = labelled(program) if name == "mlp" else [program.inputs]
    found = align(a, b, spec, method="ste", restarts=2, program=program, batches=lambda: calls)
    for key, tensor in found.apply(b).items():
        torch.testing.assert_close(tensor, a[key])


def test_equal_seeds_give_equal_results() -> None:
    program, spec = built("mlp")
    b, calls = other(program), labelled(program)
    one, two = (
        align(program.state(), b, spec, method="ste", restarts=1, seed=3, program=program, batches=lambda: calls)
        for _ in range(2)
    )
    assert one.figures == two.figures
    assert all(torch.equal(one.element.perm(group.name), two.element.perm(group.name)) for group in spec.groups)


def test_no_data() -> None:
    program, spec = built("mlp")
    with pytest.raises(DataError, match="at least one batch"):
        align(program.state(), program.state(), spec, method="ste", program=program, batches=list)
