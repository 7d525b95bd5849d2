"""A transformer that reads and writes networks token by token (SANE, Schuerholt et al. 2024)."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override

from weightspace.nn.heads import InvariantHead
from weightspace.nn.tokens.batch import TokenBatch
from weightspace.nn.tokens.positions import Positions


class TokenAutoencoder(nn.Module):
    """Tokens to latent tokens and back, for networks of any architectures in one batch.

    Not invariant by construction: training with `token_loss` brings permuted copies of a network together. Padding is
    masked wherever tokens meet, so that a network's result alone is its result in any batch.

    Args:
        size: Numbers of a token.
        latent: Channels of a latent token, and of the embedding.
        channels: Width of the transformers; a multiple of `attention_heads`.
        depth: Layers of the encoder, and of the decoder.
        attention_heads: Heads of each layer.
    """

    def __init__(
        self, size: int, *, latent: int = 64, channels: int = 128, depth: int = 4, attention_heads: int = 4
    ) -> None:
        super().__init__()
        self.read = nn.Linear(size, channels)
        self.read_positions, self.write_positions = Positions(channels), Positions(channels)
        self.encoder = _transformer(channels, depth, attention_heads)
        self.to_latent = nn.Linear(channels, latent)
        self.from_latent = nn.Linear(latent, channels)
        self.decoder = _transformer(channels, depth, attention_heads)
        self.write = nn.Linear(channels, size)
        self.projection = InvariantHead(latent, latent, hidden=channels, depth=1)

    def encode(self, batch: TokenBatch) -> Tensor:
        """Latent tokens (networks, tokens, latent); what stands at padding means nothing."""
        x = self.read(batch.tokens) + self.read_positions(batch.positions)
        return self.to_latent(self.encoder(x, src_key_padding_mask=~batch.present))

    def decode(self, latent: Tensor, batch: TokenBatch) -> Tensor:
        """Tokens (networks, tokens, size) from latent tokens; positions and padding are those of the batch."""
        x = self.from_latent(latent) + self.write_positions(batch.positions)
        return self.write(self.decoder(x, src_key_padding_mask=~batch.present)) * batch.mask

    def embed(self, batch: TokenBatch) -> Tensor:
        """Embeddings (networks, latent): the mean latent token of each network."""
        return mean_latent(self.encode(batch), batch)

    @override
    def forward(self, batch: TokenBatch) -> Tensor:
        """Reconstructed tokens (networks, tokens, size), zero where nothing is."""
        return self.decode(self.encode(batch), batch)


def mean_latent(latent: Tensor, batch: TokenBatch) -> Tensor:
    """Means (networks, latent) over the tokens of each network that are no padding."""
    present = batch.present[..., None]
    return (latent * present).sum(1) / present.sum(1)


def _transformer(channels: int, depth: int, heads: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        channels, heads, 4 * channels, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    # Nested tensors would shorten the batch to its longest network, and need norms last.
    return nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(channels), enable_nested_tensor=False)
