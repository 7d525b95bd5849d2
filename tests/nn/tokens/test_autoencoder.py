"""The transformer that reads and writes networks."""

from __future__ import annotations

import torch

from tests.nn import small
from tests.symmetry import networks
from weightspace.nn.tokens import TokenAutoencoder, TokenBatch, TokenLayout, collated


def autoencoder() -> TokenAutoencoder:
    torch.manual_seed(0)
    return TokenAutoencoder(8, latent=6, channels=12, depth=2, attention_heads=2).double().eval()


def mixed() -> list[TokenBatch]:
    """Two networks each of three architectures."""
    batches = []
    for make in (networks.mlp, small.cnn, networks.attention):
        _, spec = small.program_of(make)
        batches.append(TokenLayout.of(spec, 8).tokens(small.random_networks(spec, 2)))
    return batches


def test_a_network_alone_is_as_in_any_batch() -> None:
    model, parts = autoencoder(), mixed()
    batch = collated(parts)
    embedded, written = model.embed(batch), model(batch)
    assert embedded.shape == (6, 6)
    for place, part in enumerate(parts):
        there = slice(2 * place, 2 * place + 2)
        assert small.close(model.embed(part), embedded[there])
        assert small.close(model(part), written[there, : part.tokens.shape[1]])
        alone = TokenBatch(part.tokens[1:], part.mask[1:], part.positions[1:])
        assert small.close(model.embed(alone), embedded[there][1:])
    with torch.no_grad():
        assert small.close(model.embed(batch), embedded)
        assert torch.equal(model.embed(batch), model.embed(batch))
    assert not bool(written[~batch.mask].any())


def test_positions_count() -> None:
    model, (part, *_) = autoencoder(), mixed()
    moved = TokenBatch(part.tokens, part.mask, part.positions.flip(1))
    assert not small.close(model.embed(moved), model.embed(part), 1e-4)


def test_what_it_writes_are_weights_again() -> None:
    _, spec = small.program_of(small.cnn)
    tensors = small.random_networks(spec, 2)
    layout = TokenLayout.of(spec, 8)
    written = layout.tensors(autoencoder()(layout.tokens(tensors)))
    assert {name: each.shape for name, each in written.items()} == {name: each.shape for name, each in tensors.items()}


def test_gradients_zeros_and_state() -> None:
    model, batch = autoencoder(), collated(mixed())
    model(batch).square().sum().backward()
    # The projection serves the contrast alone.
    assert all(name.startswith("projection.") for name in small.without_gradient(model))
    zero = TokenBatch(torch.zeros_like(batch.tokens), batch.mask, batch.positions)
    assert bool(model.embed(zero).isfinite().all())
    other = TokenAutoencoder(8, latent=6, channels=12, depth=2, attention_heads=2).double().eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(batch), model(batch))
