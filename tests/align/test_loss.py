from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.align.networks import built
from weightspace.align.loss import DataLoss
from weightspace.errors import DataError
from weightspace.source import Inputs, Program
from weightspace.stats import reset_batchnorm


def test_labels_give_cross_entropy() -> None:
    program, _ = built("mlp")
    state = program.state()
    x, y = torch.randn(7, 12), torch.arange(7) % 5
    found = DataLoss(program, state, state)(state, program.inputs_for(x, y))
    torch.testing.assert_close(found, F.cross_entropy(program.prediction(state, x), y))


def test_tokens_give_the_loss_of_the_next_token() -> None:
    program, _ = built("gpt2")
    state, rows = program.state(), torch.arange(14).reshape(2, 7)
    module = program._module
    expected = module(rows, labels=rows).loss
    torch.testing.assert_close(DataLoss(program, state, state)(state, program.inputs_for(rows)), expected.detach())


def test_without_labels_the_ends_are_the_target() -> None:
    program, _ = built("mlp")
    a = program.state()
    b = {name: -tensor for name, tensor in a.items()}
    x = program.inputs_for(torch.randn(50, 12))
    assert float(DataLoss(program, a, a)(a, x)) == 0.0
    outputs = [program.outputs(state, x)[0] for state in (a, b)]
    target = torch.stack(outputs).mean(0)
    expected = (outputs[0] - target).square().sum() / (target - target.mean(0)).square().sum()
    torch.testing.assert_close(DataLoss(program, a, b)(a, x), expected)


def test_a_loss_of_the_caller() -> None:
    program, _ = built("mlp")
    state = program.state()
    x = program.inputs_for(torch.randn(3, 12))
    found = DataLoss(program, state, state, lambda outputs, inputs: outputs[0].sum() + len(inputs.args[0]))(state, x)
    torch.testing.assert_close(found, program.outputs(state, x)[0].sum() + 3)


def test_gradients_reach_the_weights() -> None:
    program, _ = built("cnn")
    state = {name: tensor.clone() for name, tensor in program.state().items()}
    state["stem.weight"].requires_grad_()
    x = program.inputs_for(torch.randn(4, 3, 8, 8), torch.arange(4))
    DataLoss(program, state, state)(state, x).backward()
    assert state["stem.weight"].grad is not None
    assert float(state["stem.weight"].grad.norm()) > 0


def test_batch_norms_go_by_the_batch() -> None:
    program, _ = built("cnn")
    state, x = program.state(), torch.randn(64, 3, 8, 8)
    y = torch.arange(64) % 4
    reset = reset_batchnorm(program, state, [(x, y)])  # type: ignore[list-item]
    wrong = {name: tensor + 5 if "running" in name else tensor for name, tensor in state.items()}
    found = DataLoss(program, state, state)(wrong, program.inputs_for(x, y))
    torch.testing.assert_close(found, F.cross_entropy(program.prediction(reset, x), y), rtol=1e-3, atol=1e-3)


def test_labels_that_do_not_fit() -> None:
    program = Program(nn.Linear(3, 2), Inputs((torch.ones(1, 3),)))
    state = program.state()
    with pytest.raises(DataError, match=r"labels up to 5, found \(4, 2\)"):
        DataLoss(program, state, state)(state, program.inputs_for(torch.ones(4, 3), torch.tensor([0, 1, 5, 0])))
