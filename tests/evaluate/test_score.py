"""Loss and accuracy of one network."""

import numpy as np
import pytest
import torch
from torch import nn

from weightspace.data import Split
from weightspace.errors import DataError
from weightspace.evaluate import evaluate
from weightspace.source import Inputs, Program

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 6)).astype(np.float32), RNG.integers(0, 4, 50)


@pytest.fixture
def program():
    torch.manual_seed(0)
    return Program(nn.Linear(6, 4), Inputs((torch.zeros(1, 6),)))


@pytest.mark.parametrize("batch_size", [50, 7, 1])
def test_it_is_the_mean_over_examples_whatever_the_batches(program, batch_size):
    score = evaluate(program, program.state(), Split.from_arrays(X, Y).batches(batch_size))
    state = program.state()
    logits = X.astype(np.float64) @ state["weight"].numpy().astype(np.float64).T + state["bias"].numpy()
    log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert score.loss == pytest.approx(-log_probabilities[np.arange(50), Y].mean(), rel=1e-6)
    assert score.accuracy == (logits.argmax(1) == Y).mean()
    assert score.samples == 50


def test_log_probabilities_have_the_loss_of_their_logits(program):
    normalised = Program(nn.Sequential(nn.Linear(6, 4), nn.LogSoftmax(1)), Inputs((torch.zeros(1, 6),)))
    state = {f"0.{name}": tensor for name, tensor in program.state().items()}
    split = Split.from_arrays(X, Y)
    expected = evaluate(program, program.state(), split.batches(50))
    assert evaluate(normalised, state, split.batches(50)).loss == pytest.approx(expected.loss, rel=1e-6)


def test_unlabelled_data_are_refused(program):
    with pytest.raises(DataError, match="expected labels, found inputs alone"):
        evaluate(program, program.state(), Split.from_arrays(X).batches(50))


def test_a_label_without_an_output_is_refused(program):
    with pytest.raises(DataError, match="expected labels below 4, the number of the network's outputs, found 4"):
        evaluate(program, program.state(), Split.from_arrays(X, Y.clip(max=2) + 2).batches(50))


def test_outputs_that_are_not_classes_are_refused():
    program = Program(nn.Conv1d(1, 4, 1), Inputs((torch.zeros(1, 1, 6),)))
    with pytest.raises(DataError, match=r"expected outputs of shape \(50, classes\), found \(50, 4, 6\)"):
        evaluate(program, program.state(), Split.from_arrays(X[:, None], Y).batches(50))


def test_no_examples_are_refused(program):
    with pytest.raises(DataError, match="expected at least one example, found none"):
        evaluate(program, program.state(), [])
