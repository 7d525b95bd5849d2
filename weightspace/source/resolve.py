"""From what the user typed to a source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from weightspace.errors import SourceError
from weightspace.source.base import Source
from weightspace.source.stack import stack_source
from weightspace.source.timm_models import TimmSource
from weightspace.source.transformers_models import transformers_source
from weightspace.source.user_code import user_code_source

if TYPE_CHECKING:
    from weightspace.checkpoint import Checkpoint

_KINDS = "timm:NAME, a folder with config.json, hf:ORG/NAME, FILE.py:callable or package.module:callable"


def resolve_source(
    text: str | None,
    *,
    checkpoint: Checkpoint | None = None,
    activation: str | None = None,
    input_shape: tuple[int, ...] | None = None,
) -> Source:
    """Find out where a network comes from.

    Args:
        text: `timm:NAME`, `hf:FOLDER`, `hf:org/name` (local cache only), a folder with `config.json`,
            `FILE.py:callable` or `package.module:callable`. None: the configuration that lies beside the checkpoint,
            else a plain stack inferred from its tensors.
        checkpoint: The weights that the network is for, where they are known: an architecture with a variable
            number of classes is fitted to them.
        activation: What stands between the layers of an inferred stack.
        input_shape: Shape of one input without the batch, where the source leaves it open.

    Raises:
        SourceError: There is no such source, or an option does not apply to it.
    """
    if activation is not None and (text is not None or (checkpoint is not None and checkpoint.config_path is not None)):
        raise SourceError("--activation: only an inferred stack takes it, and here the architecture is given; drop it")
    if text is not None:
        return _named(text, checkpoint, input_shape)
    if checkpoint is None:
        raise SourceError(f"no architecture given; pass --arch ({_KINDS})")
    if checkpoint.config_path is not None:
        return _configured(str(checkpoint.config_path.parent), checkpoint, input_shape)
    return stack_source(checkpoint, activation=activation)


def _named(text: str, checkpoint: Checkpoint | None, input_shape: tuple[int, ...] | None) -> Source:
    if text.startswith("timm:"):
        source = TimmSource(text, text.removeprefix("timm:"), input_shape=input_shape)
        return source if checkpoint is None else source.fitted_to(checkpoint)
    if text.startswith("hf:") or (text and Path(text).expanduser().is_dir()):
        return _configured(text, checkpoint, input_shape)
    # Not after the first colon: a path may hold one.
    if ":" in text:
        return user_code_source(text, input_shape=input_shape)
    raise SourceError(f"{text}: not a source of a network; expected {_KINDS}")


def _configured(text: str, checkpoint: Checkpoint | None, input_shape: tuple[int, ...] | None) -> Source:
    """A folder with `config.json`: of transformers, or of timm on the hub, which names its architecture there."""
    source = transformers_source(text, input_shape=input_shape)
    try:
        settings = json.loads((source.folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return source  # its own reading of the file says what is wrong with it
    if isinstance(settings, dict) and "model_type" not in settings and isinstance(settings.get("architecture"), str):
        tag = (settings.get("pretrained_cfg") or {}).get("tag")
        name = settings["architecture"] + (f".{tag}" if tag else "")
        options = settings.get("model_args") or {}
        timm_source = TimmSource(
            text, name, num_classes=settings.get("num_classes"), input_shape=input_shape,
            model_args=tuple(sorted(options.items())) if isinstance(options, dict) else (),
        )  # fmt: skip
        return timm_source if checkpoint is None else timm_source.fitted_to(checkpoint)
    return source if checkpoint is None else source.fitted_to(checkpoint)
