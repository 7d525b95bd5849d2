"""Soft permutations: against hard ones, and as a layer."""

from __future__ import annotations

import pytest
import torch

from tests.align.oracle import attention_spec, grouped_queries_spec, mlp_spec, random_state, recurrent_spec
from weightspace.align.sinkhorn import apply_softly, rounded, sinkhorn
from weightspace.assignment import assign
from weightspace.symmetry import Element, Spec

SPECS = {
    "mlp": mlp_spec(),
    "heads": attention_spec(),
    "grouped": grouped_queries_spec(),
    "recurrent": recurrent_spec(gates=2),
}


def matrices(spec: Spec, element: Element) -> dict[str, torch.Tensor]:
    """Permutations as 0/1 matrices: slot i, unit perm[i]."""
    perms = {group.name: element.perm(group.name) for group in spec.groups}
    return {name: torch.nn.functional.one_hot(perm, perm.shape[-1]).float() for name, perm in perms.items()}


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (3, 2, 4, 4)])
def test_rows_and_columns_sum_to_one(shape: tuple[int, ...]) -> None:
    found = sinkhorn(torch.randn(shape, generator=torch.Generator().manual_seed(0)), iterations=200)
    ones = torch.ones(shape[:-1])
    torch.testing.assert_close(found.sum(-1), ones)
    torch.testing.assert_close(found.sum(-2), ones)
    assert float(found.min()) >= 0.0


@pytest.mark.parametrize("seed", range(5))
def test_cold_it_is_the_best_assignment(seed: int) -> None:
    scores = torch.randn(6, 6, generator=torch.Generator().manual_seed(seed))
    found = sinkhorn(scores, temperature=0.01, iterations=2000)
    assert torch.equal(found.argmax(-1), assign(scores))


def test_scores_of_any_size_give_no_nan() -> None:
    scores = torch.tensor([[1e6, -1e6], [-1e6, 1e6]])
    assert bool(torch.isfinite(sinkhorn(scores, temperature=1e-3)).all())


def test_gradients() -> None:
    scores = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: sinkhorn(s, iterations=5), (scores,))


@pytest.mark.parametrize("bad", [{"temperature": 0.0}, {"scores": torch.ones(2, 3)}])
def test_what_it_refuses(bad) -> None:
    with pytest.raises(ValueError, match="expected square matrices and a positive temperature"):
        sinkhorn(bad.get("scores", torch.ones(2, 2)), temperature=bad.get("temperature", 1.0))


@pytest.mark.parametrize("name", SPECS)
def test_hard_matrices_act_as_permutations(name: str) -> None:
    spec = SPECS[name]
    element = spec.random_element(torch.Generator().manual_seed(2))
    state = random_state(spec, 0)
    soft = matrices(spec, element)
    for key, expected in spec.apply(element, state).items():
        torch.testing.assert_close(apply_softly(spec, soft, state)[key], expected)
    assert all(torch.equal(rounded(spec, soft).perm(g.name), element.perm(g.name)) for g in spec.groups)


def test_a_layer_that_learns_a_planted_permutation() -> None:
    spec = mlp_spec()
    b = random_state(spec, 0)
    element = spec.random_element(torch.Generator().manual_seed(1))
    a = spec.apply(element, b)
    latent = {group.name: torch.zeros(group.size, group.size, requires_grad=True) for group in spec.groups}
    optimiser = torch.optim.Adam(latent.values(), lr=0.1)
    for _ in range(200):
        moved = apply_softly(spec, {name: sinkhorn(x, temperature=0.3) for name, x in latent.items()}, b)
        optimiser.zero_grad()
        sum((moved[name] - a[name]).square().sum() for name in a).backward()
        optimiser.step()
    found = rounded(spec, latent)
    assert all(torch.equal(found.perm(group.name), element.perm(group.name)) for group in spec.groups)
