"""What a token autoencoder is trained on: reconstruction, and telling networks apart whatever the order of their units.

Two views of a network, made by random symmetries, are to have like embeddings, unlike those of other networks
(SANE, Schuerholt et al. 2024, section 3.2; NT-Xent: Chen et al. 2020, SimCLR, section 2.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.nn.tokens.autoencoder import TokenAutoencoder, mean_latent
from weightspace.nn.tokens.batch import TokenBatch


@dataclass(frozen=True, eq=False)
class TokenLoss:
    """The parts of the loss of a batch.

    Attributes:
        total: What is minimised, a scalar.
        reconstruction: Mean squared error of tokens.
        contrast: NT-Xent of the projected embeddings.
    """

    total: Tensor
    reconstruction: Tensor
    contrast: Tensor


def token_loss(
    model: TokenAutoencoder,
    first: TokenBatch,
    second: TokenBatch,
    *,
    contrast_weight: float = 0.05,
    temperature: float = 0.1,
) -> TokenLoss:
    """(1 - w) reconstruction + w contrast, on two views of the same networks.

    Args:
        model: The autoencoder.
        first: One view of every network.
        second: Another view of the same networks, in the same order.
        contrast_weight: Share w of the contrastive part.
        temperature: Of the contrastive part.

    Raises:
        SpecError: The views are of different numbers of networks.
    """
    if len(first) != len(second):
        raise SpecError(
            f"views: expected two of the same networks, found {len(first)} and {len(second)}; cut both from one batch"
        )
    latents = [model.encode(view) for view in (first, second)]
    pairs = list(zip(latents, (first, second), strict=True))
    errors = [reconstruction_error(model.decode(latent, view), view) for latent, view in pairs]
    reconstruction = torch.stack(errors).mean()
    one, other = (model.projection(mean_latent(latent, view)) for latent, view in pairs)
    contrast = nt_xent(one, other, temperature)
    total = (1 - contrast_weight) * reconstruction + contrast_weight * contrast
    return TokenLoss(total, reconstruction, contrast)


def reconstruction_error(tokens: Tensor, batch: TokenBatch) -> Tensor:
    """Mean squared error over the weights of each network, then over networks: large ones count as much as small.

    Args:
        tokens: Reconstructed, (networks, tokens, size).
        batch: The originals.
    """
    squares = ((tokens - batch.tokens).square() * batch.mask).sum((1, 2))
    return (squares / batch.mask.sum((1, 2))).mean()


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross entropy: each of 2n vectors has to find its other view among the rest.

    Args:
        first: (n, channels).
        second: (n, channels), other views of the same.
        temperature: What cosines are divided by.
    """
    vectors = F.normalize(torch.cat([first, second]), dim=1)
    n = len(first)
    itself = torch.eye(2 * n, dtype=torch.bool, device=vectors.device)
    similar = (vectors @ vectors.mT / temperature).masked_fill(itself, -torch.inf)
    other = torch.arange(2 * n, device=vectors.device).roll(n)
    return F.cross_entropy(similar, other)
