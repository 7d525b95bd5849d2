"""The grouped layer against its maps one by one, and what it promises."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.nn.unf import specs
from tests.nn.unf.oracle import generators, slow_forward
from tests.nn.unf.test_basis import NAMED
from tests.symmetry import networks
from weightspace.errors import SpecError
from weightspace.nn.unf.layer import Far, UNFLayer
from weightspace.nn.unf.layout import Layout
from weightspace.nn.unf.sum import summed
from weightspace.symmetry import Spec


def a_layer(layout: Layout, ins: int | Sequence[int], outs: int | Sequence[int], far: Far) -> UNFLayer:
    torch.manual_seed(0)
    layer = UNFLayer(layout, ins, outs, far).double()
    for _, bias in layer.constants():
        bias.data.normal_()
    return layer


def features_of(layout: Layout, channels: int | Sequence[int], count: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    each = [channels] * len(layout.all) if isinstance(channels, int) else channels
    return [
        torch.randn(count, *shape.sizes, own, generator=generator, dtype=torch.float64)
        for shape, own in zip(layout.all, each, strict=True)
    ]


def check_against_slow(layout: Layout, ins: int | Sequence[int], outs: int | Sequence[int], far: Far) -> None:
    layer, features = a_layer(layout, ins, outs, far), features_of(layout, ins)
    fast, slow = layer(features), slow_forward(layer, layout, features)
    assert [part.shape for part in fast] == [part.shape for part in slow]
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other)
    weights = [torch.randn_like(part) for part in fast]
    gradients = [
        torch.autograd.grad(
            sum(((part * weight).sum() for part, weight in zip(parts, weights, strict=True)), torch.zeros(())),
            list(layer.parameters()),
        )
        for parts in (fast, slow)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("far", ["own", "shared"])
@pytest.mark.parametrize("name", NAMED)
def test_the_layer_is_the_sum_of_its_maps(name: str, far: Far) -> None:
    check_against_slow(specs.layout_of(NAMED[name]()), 2, 3, far)


@settings(max_examples=30)
@given(specs.random_specs(24), st.sampled_from([1, 4]))
def test_the_layer_is_the_sum_of_its_maps_on_random_specs(spec: Spec, fold: int) -> None:
    layout = specs.layout_of(spec, fold)
    check_against_slow(
        layout, [1 + i % 2 for i in range(len(layout.all))], [2 - i % 2 for i in range(len(layout.all))], "own"
    )


def test_signatures_with_many_blocks_share_vectors_too() -> None:
    layout = specs.layout_of(specs.derived(networks.gru))
    shared, own = (UNFLayer(layout, 4, 4, far) for far in ("shared", "own"))
    count = {layer: sum(parameter.numel() for parameter in layer.parameters()) for layer in (shared, own)}
    assert count[shared] < 0.5 * count[own]
    assert sum(mix.gather is not None for mix in shared.mixes) > 1


def folded(layout: Layout, moves: list, values: list[Tensor]) -> list[Tensor]:
    """Features of which a generator moved the entries."""
    parts = [
        part.reshape(len(part), len(move), -1)[:, torch.from_numpy(move)].reshape(part.shape)
        for part, move in zip(layout.unfold(values), moves, strict=True)
    ]
    return layout.fold(parts)


@settings(max_examples=25)
@given(specs.random_specs(24), st.sampled_from(["own", "shared"]), st.sampled_from([1, 16]))
def test_every_generator_commutes_with_the_layer(spec: Spec, far: Far, fold: int) -> None:
    layout = specs.layout_of(spec, fold)
    ins = [2 * shape.channels for shape in layout.all]
    layer, features = a_layer(layout, ins, ins, far), features_of(layout, ins)
    # What is folded may mix, but nothing permutes it: generators act on the indices that are kept.
    expected = layer(features)
    for moves in generators(layout):
        for one, other in zip(layer(folded(layout, moves, features)), folded(layout, moves, expected), strict=True):
            torch.testing.assert_close(one, other)


def test_what_the_blocks_hold_is_added() -> None:
    layout = specs.layout_of(specs.recurrent())
    layer, features, held = a_layer(layout, 2, 2, "own"), features_of(layout, 2), features_of(layout, 2)
    copies = [part.clone() for part in held]
    lying_otherwise = [part.transpose(0, -1).contiguous().transpose(0, -1) for part in held]
    for onto in (held, lying_otherwise):
        for one, other, own in zip(layer(features, onto=onto), layer(features), held, strict=True):
            torch.testing.assert_close(one, other + own)
    assert all(torch.equal(part, copy) for part, copy in zip(held, copies, strict=True))


def test_every_block_is_written_with_variance_one() -> None:
    torch.manual_seed(0)
    layout = specs.layout_of(specs.derived(networks.mlp))
    # One entry per mean: nothing is averaged away.
    features = [torch.randn(1, *[1] * len(shape.sizes), 32).expand(400, *shape.sizes, 32) for shape in layout.all]
    for parts in zip(*(UNFLayer(layout, 32, 32, "own")([f[:1] for f in features]) for _ in range(60)), strict=True):
        assert torch.stack(parts).std().item() == pytest.approx(1, rel=0.15)


def test_gradients_of_gradients() -> None:
    layout = specs.layout_of(specs.recurrent(3))
    layer, features = a_layer(layout, 1, 1, "own"), features_of(layout, 1, 1)
    for part in features:
        part.requires_grad_()
    nonlinear = lambda *parts: tuple(part.sin() for part in layer([part.sin() for part in parts]))  # noqa: E731
    assert torch.autograd.gradcheck(nonlinear, features)
    assert torch.autograd.gradgradcheck(nonlinear, features)


def test_nothing_to_add_is_a_copy() -> None:
    held = torch.randn(2, 3)
    copy = summed(held, [], [])
    assert torch.equal(copy, held)
    assert copy.data_ptr() != held.data_ptr()


def test_channels_for_other_blocks_are_refused() -> None:
    with pytest.raises(SpecError, match="expected one number or one for each of 3 blocks, found 2"):
        UNFLayer(specs.layout_of(specs.recurrent()), [1, 1], 1)
