"""Weights as tokens and back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.nn import small
from tests.symmetry import networks
from tests.symmetry.networks import Network
from weightspace.errors import SpecError
from weightspace.nn.tokens import TokenLayout

KINDS = [networks.mlp, networks.attention, networks.gru, networks.mixer, networks.autoencoder, small.siren, small.cnn]
SHAPES = st.dictionaries(
    st.sampled_from(["a.weight", "a.bias", "b.weight", "b.bias", "c", "d"]),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    min_size=1,
).filter(lambda shapes: any(0 not in shape for shape in shapes.values()))


@given(SHAPES, st.integers(1, 9), st.integers(0, 2**31))
def test_weights_and_tokens_are_one(shapes: dict[str, tuple[int, ...]], size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    layout = TokenLayout(shapes, size)
    tensors = {name: torch.randn(2, *shape, dtype=torch.float64, generator=generator) for name, shape in shapes.items()}
    batch = layout.tokens(tensors)
    assert batch.tokens.shape == batch.mask.shape == (2, layout.length, size)
    assert int(batch.mask.sum()) == sum(each.numel() for each in tensors.values())
    assert not bool(batch.tokens[~batch.mask].any())
    assert bool(batch.present.all())
    back = layout.tensors(batch.tokens)
    assert list(back) == list(shapes)
    assert all(small.close(back[name], tensors[name], 1e-14) for name in shapes)
    drawn = torch.randn(batch.tokens.shape, dtype=torch.float64, generator=generator)
    again = layout.tokens(layout.tensors(drawn)).tokens
    assert small.close(again, drawn * batch.mask, 1e-14)


@pytest.mark.parametrize("make", KINDS)
def test_real_networks_survive(make: Callable[[], Network]) -> None:
    _, spec = small.program_of(make)
    tensors = small.random_networks(spec, 2)
    layout = TokenLayout.of(spec, 7)
    back = layout.tensors(layout.tokens(tensors).tokens)
    assert list(back) == list(tensors)
    assert all(small.close(back[name], tensors[name], 1e-14) for name in tensors)


def test_a_token_holds_one_channel_with_its_bias() -> None:
    layout = TokenLayout({"0.weight": (2, 4), "0.bias": (2,), "1.weight": (1, 2)}, 3)
    weight = torch.tensor([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]])
    tensors = {"0.weight": weight, "0.bias": torch.tensor([[-1.0, -2.0]]), "1.weight": torch.ones(1, 1, 2)}
    batch = layout.tokens(tensors)
    root = 2**0.5
    wanted = [[2, 4, 6], [8, -1, 0], [10, 12, 14], [16, -2, 0], [root, root, 0]]
    assert torch.allclose(batch.tokens[0], torch.tensor(wanted))
    assert batch.mask[0].tolist() == [[True] * 3, [True, True, False]] * 2 + [[True, True, False]]
    assert batch.positions[0].tolist() == [[0, 0, 0], [1, 0, 1], [2, 0, 2], [3, 0, 3], [4, 1, 0]]


def test_gradients_pass() -> None:
    layout = TokenLayout({"weight": (2, 4)}, 3)
    weight = torch.randn(1, 2, 4, requires_grad=True)
    layout.tensors(layout.tokens({"weight": weight}).tokens)["weight"].sum().backward()
    assert weight.grad is not None
    assert torch.allclose(weight.grad, torch.ones_like(weight))


def test_what_does_not_fit_is_refused() -> None:
    layout = TokenLayout({"weight": (2, 4)}, 3)
    with pytest.raises(SpecError, match="'weight'"):
        layout.tokens({"weight": torch.zeros(1, 4, 2)})
    with pytest.raises(SpecError, match=r"expected \(networks, 4 or more, 3\), found \(1, 3, 3\)"):
        layout.tensors(torch.zeros(1, 3, 3))
    with pytest.raises(SpecError, match="a size of at least 1"):
        TokenLayout({"weight": (2, 4)}, 0)
    with pytest.raises(SpecError, match="tensors with elements"):
        TokenLayout({"weight": (2, 0)}, 3)
