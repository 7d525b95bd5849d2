from __future__ import annotations

import pytest
import torch

from tests.align.networks import built
from tests.align.oracle import attention_spec, grouped_queries_spec, mlp_spec, random_state
from weightspace.align import align
from weightspace.align.methods import sinkhorn
from weightspace.errors import DataError
from weightspace.symmetry import Element, Spec


def same(spec: Spec, one: Element, other: Element) -> bool:
    return all(torch.equal(one.perm(group.name), other.perm(group.name)) for group in spec.groups)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "spec", [mlp_spec(), attention_spec(), grouped_queries_spec()], ids=["mlp", "heads", "grouped"]
)
def test_a_planted_element_is_found_on_the_weights(spec: Spec, seed: int) -> None:
    a = random_state(spec, seed)
    planted = spec.random_element(torch.Generator().manual_seed(seed))
    found = align(a, spec.apply(planted.inverse(), a), spec, method="sinkhorn", seed=seed)
    assert same(spec, found.element, planted)


def test_learned_on_data() -> None:
    program, spec = built("mlp")
    a = program.state()
    b = spec.apply(spec.random_element(torch.Generator().manual_seed(1)), a)
    generator = torch.Generator().manual_seed(0)
    calls = [program.inputs_for(torch.randn(64, 12, generator=generator)) for _ in range(4)]
    found = align(a, b, spec, method="sinkhorn-loss", program=program, batches=lambda: calls)
    middle = {name: (tensor + found.apply(b)[name]) / 2 for name, tensor in a.items()}
    naive = {name: (tensor + b[name]) / 2 for name, tensor in a.items()}
    target = program.outputs(a, calls[0])[0]
    errors = [float((program.outputs(each, calls[0])[0] - target).square().mean()) for each in (middle, naive)]
    assert errors[0] < 0.5 * errors[1]


def test_no_data() -> None:
    program, spec = built("mlp")
    with pytest.raises(DataError, match="at least one batch"):
        align(program.state(), program.state(), spec, method="sinkhorn-loss", program=program, batches=list)


def test_equal_seeds_give_equal_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinkhorn, "STEPS", 10)
    spec = mlp_spec()
    a, b = random_state(spec, 0), random_state(spec, 1)
    one, two = (align(a, b, spec, method="sinkhorn", seed=4) for _ in range(2))
    assert same(spec, one.element, two.element)
    assert one.figures == two.figures
