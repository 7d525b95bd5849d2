"""Networks that run on weights that are read as they are used."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import Tensor

from tests.align.networks import NETWORKS, built
from weightspace.errors import CheckpointMismatchError
from weightspace.source import Inputs, Program
from weightspace.source.streamed import Streamed
from weightspace.views import TensorView


@pytest.mark.parametrize("name", NETWORKS)
def test_the_outputs_are_those_of_weights_in_memory(name: str):
    program, _ = built(name)
    wide = {n: t.double() if t.is_floating_point() else t for n, t in program.state().items()}
    streamed = program.outputs(program.streamed(program.state()))
    for found, expected in zip(streamed, program.outputs(wide), strict=True):
        assert type(found) is Tensor
        assert torch.equal(found, expected)


def test_nothing_is_held_and_everything_is_read_when_it_is_used():
    program, _ = built("mlp")
    alive, most = 0, 0

    def read(name: str, tensor: Tensor) -> Tensor:
        nonlocal alive, most
        made = tensor.clone()
        alive += 1
        most = max(most, alive)

        def died(*_: object) -> None:
            nonlocal alive
            alive -= 1

        weakref.finalize(made, died)
        return made

    weights = program.streamed(TensorView(program.state(), change=read), dtype=torch.float32)
    assert most == 0
    assert all(isinstance(tensor, Streamed) for tensor in weights.values())
    program.outputs(weights)
    assert 1 <= most <= 2  # at most the weight and the bias of one layer
    assert alive == 0


def test_a_network_on_meta_runs_on_streamed_weights():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).eval()
    inputs = Inputs((torch.randn(2, 3),))
    real = Program(module, inputs)
    state = {name: tensor.clone() for name, tensor in real.state().items()}
    expected = real.outputs({n: t.double() if t.is_floating_point() else t for n, t in state.items()})
    program = Program(module.to("meta"), inputs)
    assert torch.equal(program.outputs(program.streamed(state))[0], expected[0])


def test_a_missing_tensor_is_named():
    program, _ = built("mlp")
    state = program.state()
    del state["2.weight"]
    with pytest.raises(CheckpointMismatchError, match=r"2\.weight"):
        program.outputs(program.streamed(state))
