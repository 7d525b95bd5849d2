"""Which tensors of a base are one: what an adapter may not change under one of their names alone."""

from __future__ import annotations

from weightspace.checkpoint import Checkpoint
from weightspace.errors import SourceError
from weightspace.merge.adapters.layers import layers_of
from weightspace.source import resolve_source


def ties_of(base: Checkpoint) -> tuple[dict[str, str], str | None]:
    """Names that stand for another's tensor: in the file, and in the network that lies beside it.

    Returns:
        The ties, and what could not be told, as a line; None where all could.
    """
    ties = base.aliases()
    if base.config_path is None:
        return ties, None
    try:
        return {**layers_of(resolve_source(None, checkpoint=base).build(meta=True)).ties, **ties}, None
    except SourceError as error:
        return ties, f"{base.path}: cannot tell whether its head is tied to its embeddings: {error}"
