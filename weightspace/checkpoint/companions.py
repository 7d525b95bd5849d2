"""The small files beside the weights of a model folder, without which nobody can load them."""

from __future__ import annotations

from pathlib import Path

from weightspace.checkpoint.checkpoint import Checkpoint

COMPANIONS = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.jinja",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)


def companions_of(checkpoint: Checkpoint) -> list[Path]:
    """The configuration and tokenizer files beside a checkpoint that was opened from a transformers folder."""
    if checkpoint.config_path is None:
        return []
    folder = checkpoint.config_path.parent
    return [folder / name for name in COMPANIONS if (folder / name).is_file()]
