"""Fisher information against its closed form in plain torch, and means by it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from weightspace.data import Batch
from weightspace.errors import DataError, MergeError
from weightspace.merge.by_data import fisher_information, fisher_mean
from weightspace.merge.interpolate import average
from weightspace.source import Inputs, Program


def linear() -> Program:
    return Program(nn.Sequential(nn.Linear(5, 3)), Inputs((torch.randn(2, 5),)))


def batches(labels: bool = True, examples: int = 24) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(examples, 5, generator=generator), torch.randint(3, (examples,), generator=generator)
    return [Batch(x[:10], y[:10] if labels else None), Batch(x[10:], y[10:] if labels else None)]


def test_of_given_labels_it_is_that_of_softmax_regression() -> None:
    """Of W x + b the gradient of log p(y | x) is (1[y] - p) x^T and (1[y] - p)."""
    program = linear()
    state = program.state()
    found = fisher_information(program, state, batches(), given=True)
    x, y = torch.cat([b.x for b in batches()]).double(), torch.cat([b.y for b in batches() if b.y is not None])
    p = (x @ state["0.weight"].double().T + state["0.bias"].double()).softmax(1)
    residual = nn.functional.one_hot(y, 3) - p
    expected = (residual[:, :, None] * x[:, None]).square().mean(0)
    torch.testing.assert_close(found["0.weight"], expected, rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(found["0.bias"], residual.square().mean(0), rtol=1e-5, atol=1e-9)


def test_drawn_labels_give_the_expectation_over_them() -> None:
    """Of W x + b it is p (1 - p) x^2, near enough with many draws; labels of the data are of no use."""
    program = linear()
    state = program.state()
    many = batches(labels=False) * 60
    found = fisher_information(program, state, many, seed=3)
    x = torch.cat([b.x for b in batches()]).double()
    p = (x @ state["0.weight"].double().T + state["0.bias"].double()).softmax(1)
    expected = ((p * (1 - p))[:, :, None] * x.square()[:, None]).mean(0)
    torch.testing.assert_close(found["0.weight"], expected, rtol=0.15, atol=0.01)
    exact = fisher_information(program, state, batches(labels=False), draws=0)
    torch.testing.assert_close(exact["0.weight"], expected, rtol=1e-5, atol=1e-8)
    again = fisher_information(program, state, many, seed=3)
    assert all(torch.equal(found[name], again[name]) for name in found)


def test_the_mean_is_weighted_number_by_number() -> None:
    models = [{"w": torch.tensor([1.0, 1, 1])}, {"w": torch.tensor([3.0, 3, 3])}]
    known = [{"w": torch.tensor([3.0, 0, 1]).double()}, {"w": torch.tensor([1.0, 0, 1]).double()}]
    torch.testing.assert_close(fisher_mean(models, known)["w"], torch.tensor([1.5, 2, 2]))
    torch.testing.assert_close(fisher_mean(models, known, weights=[1, 3])["w"], torch.tensor([2.0, 2.5, 2.5]))


def test_equal_models_give_themselves_back_and_what_has_no_information_is_a_mean() -> None:
    program = Program(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)), Inputs((torch.randn(2, 5),)))
    state = {name: torch.rand_like(t) if t.is_floating_point() else t for name, t in program.state().items()}
    other = {name: torch.rand_like(t) if t.is_floating_point() else t for name, t in program.state().items()}
    known = [fisher_information(program, each, batches()) for each in (state, other)]
    assert not any(name.startswith("1.running") for name in known[0])
    same = fisher_mean([state, state], [known[0], known[1]])
    assert all(torch.equal(same[name], tensor) for name, tensor in state.items())
    mean, plain = fisher_mean([state, other], known), average([state, other])
    assert torch.equal(mean["1.running_var"], plain["1.running_var"])
    assert not torch.equal(mean["2.weight"], plain["2.weight"])


def test_a_permuted_copy_has_the_permuted_information() -> None:
    program = Program(nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)), Inputs((torch.randn(2, 5),)))
    state, order = program.state(), torch.randperm(6)
    moved: dict[str, Tensor] = {**state, "0.weight": state["0.weight"][order], "0.bias": state["0.bias"][order]}
    moved["2.weight"] = state["2.weight"][:, order]
    one, other = (fisher_information(program, each, batches(), given=True) for each in (state, moved))
    torch.testing.assert_close(one["0.weight"][order], other["0.weight"])
    torch.testing.assert_close(one["2.weight"][:, order], other["2.weight"])


def test_mistakes() -> None:
    program = linear()
    with pytest.raises(DataError, match="expected labels, found inputs alone"):
        fisher_information(program, program.state(), batches(labels=False), given=True)
    with pytest.raises(DataError, match="expected labels below 3"):
        fisher_information(program, program.state(), [Batch(torch.randn(1, 5), torch.tensor([7]))], given=True)
    with pytest.raises(DataError, match="at least one example"):
        fisher_information(program, program.state(), [])
    with pytest.raises(MergeError, match="2 weights of at least 0"):
        fisher_mean([{}, {}], [{}, {}], weights=[0, 0])
