"""Reconstruction and contrast."""

from __future__ import annotations

import pytest
import torch

from tests.nn import small
from tests.symmetry import networks
from weightspace.errors import SpecError
from weightspace.nn.tokens import (
    TokenAutoencoder,
    TokenLayout,
    collated,
    nt_xent,
    random_view,
    reconstruction_error,
    token_loss,
)


def test_nt_xent_is_what_the_paper_says() -> None:
    a, b = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    z = [each / each.norm() for each in (*a, *b)]
    losses = []
    for i in range(6):
        j = (i + 3) % 6
        rest = torch.stack([(z[i] @ z[k] / 0.3).exp() for k in range(6) if k != i]).sum()
        losses.append(-torch.log((z[i] @ z[j] / 0.3).exp() / rest))
    assert small.close(nt_xent(a, b, 0.3), torch.stack(losses).mean(), 1e-12)
    assert bool(nt_xent(a, a, 0.3) < nt_xent(a, b, 0.3))
    assert bool(nt_xent(torch.zeros(3, 4), torch.zeros(3, 4), 0.3).isfinite())


def test_large_networks_count_as_much_as_small() -> None:
    small_layout, large_layout = TokenLayout({"w": (1, 2)}, 4), TokenLayout({"w": (9, 6)}, 4)
    batch = collated(
        [small_layout.tokens({"w": torch.zeros(1, 1, 2)}), large_layout.tokens({"w": torch.zeros(1, 9, 6)})]
    )
    guess = torch.ones_like(batch.tokens)
    guess[1] = 3
    assert float(reconstruction_error(guess, batch)) == 5.0


def test_training_brings_permuted_copies_together() -> None:
    _, spec = small.program_of(networks.mlp)
    tensors = {name: each.float() for name, each in small.random_networks(spec, 12).items()}
    layout, generator = TokenLayout.of(spec, 8), torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = TokenAutoencoder(8, latent=8, channels=24, depth=1, attention_heads=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    def step() -> tuple[float, float]:
        first, second = (layout.tokens(random_view(spec, tensors, generator)) for _ in range(2))
        loss = token_loss(model, first, second, contrast_weight=0.5)
        optimizer.zero_grad()
        loss.total.backward()
        assert small.without_gradient(model) == []
        optimizer.step()
        return float(loss.reconstruction.detach()), float(loss.contrast.detach())

    before = step()
    for _ in range(60):
        after = step()
    assert after[0] < 0.8 * before[0]
    assert after[1] < 0.7 * before[1]


def test_views_of_other_numbers_are_refused() -> None:
    layout = TokenLayout({"w": (2, 3)}, 3)
    first, second = (layout.tokens({"w": torch.randn(count, 2, 3)}) for count in (2, 3))
    with pytest.raises(SpecError, match="expected two of the same networks, found 2 and 3"):
        token_loss(TokenAutoencoder(3, channels=12, depth=1), first, second)
