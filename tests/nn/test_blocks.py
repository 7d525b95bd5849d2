"""Batches of weights as blocks, and back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.symmetry import networks
from tests.symmetry.networks import Network
from weightspace.errors import SpecError
from weightspace.nn.blocks import Blocks, stacked
from weightspace.symmetry import derive

KINDS = [
    networks.mlp, networks.dense, networks.grouped_convolutions, networks.attention, networks.gru, networks.mixer,
    networks.cifar_resnet20,
]  # fmt: skip


def batch(make: Callable[[], Network]) -> tuple[Blocks, dict[str, torch.Tensor]]:
    module, args, kwargs = make()
    blocks = Blocks(derive(module.eval(), args, kwargs))
    states = [{name: torch.randn(tensor.shape) for name, tensor in module.state_dict().items()} for _ in range(3)]
    return blocks, stacked(states, blocks.names)


@pytest.mark.parametrize("make", KINDS)
def test_blocks_split_and_join_again(make: Callable[[], Network]) -> None:
    blocks, tensors = batch(make)
    parts = blocks.split(tensors)
    assert [part.shape[1:] for part in parts] == [block.shape for block in blocks.all]
    joined = blocks.join(parts)
    assert joined.keys() == tensors.keys()
    assert all(torch.equal(joined[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("make", KINDS)
def test_one_network_reads_as_the_spec_says(make: Callable[[], Network]) -> None:
    blocks, tensors = batch(make)
    for block, part in zip(blocks.all, blocks.split(tensors), strict=True):
        assert torch.equal(part[1], block.read(tensors[block.tensor][1]))


def test_channels_pass() -> None:
    blocks, tensors = batch(networks.attention)
    parts = [torch.stack([part, 2 * part], -1).requires_grad_() for part in blocks.split(tensors)]
    joined = blocks.join(parts)
    assert all(torch.equal(joined[name], torch.stack([tensors[name], 2 * tensors[name]], -1)) for name in tensors)
    gradients = torch.autograd.grad([tensor.sum() for tensor in joined.values()], parts)
    assert all(torch.equal(each, torch.ones_like(part)) for each, part in zip(gradients, parts, strict=True))


def test_a_missing_tensor_is_named() -> None:
    blocks, tensors = batch(networks.mlp)
    del tensors["0.bias"]
    with pytest.raises(SpecError, match=r"'0.bias': expected networks of shape \(5,\), .* found none"):
        blocks.split(tensors)
