"""`wsp merge --heads both`: networks with different classes, both heads kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightspace.errors import DataError, SourceError
from wsp.console import Console
from wsp.network import is_saved_spec

if TYPE_CHECKING:
    from weightspace.checkpoint import Checkpoint
    from weightspace.merge import JointHeads
    from weightspace.source import Source
    from wsp.pair import Pair, PairRequest

BOTH = "both"
_CONFIG = "config.json"


def shares_of(heads: str | None, t: float) -> tuple[float, float] | None:
    """The shares of A and B in a merge that keeps both heads; None where they have the same classes.

    Raises:
        DataError: The merge is one of the two.
    """
    if heads is None:
        return None
    if not 0 < t < 1:
        raise DataError(f"--heads {BOTH}: expected --t between 0 and 1, found {t:g}, which leaves one head; drop it")
    return 1 - t, t


def joined(
    a: Checkpoint, b: Checkpoint, request: PairRequest, console: Console
) -> tuple[Checkpoint, Checkpoint, JointHeads]:
    """Two opened checkpoints as those of one network with the outputs of both.

    Raises:
        WeightspaceError: The network cannot be found, is not of this kind, or the two differ elsewhere.
    """
    from weightspace.checkpoint import check_compatible
    from weightspace.merge import join_heads
    from weightspace.source import resolve_source

    assert request.heads is not None
    if request.arch is not None and is_saved_spec(request.arch):
        raise SourceError(
            f"{request.arch}: a saved spec has no network to give other outputs; pass --arch with the network itself"
        )
    source = resolve_source(request.arch, checkpoint=a, activation=request.activation, input_shape=request.input_shape)
    found = join_heads(source, (a, b), request.heads)
    if a.config_path is not None and not _configured(found.source):
        console.note(f"no {a.config_path.name} will be written: that of A cannot say that there are more outputs")
    first, second = found.checkpoint(0, a), found.checkpoint(1, b)
    check_compatible(first, second)  # the network can do without some names
    return first, second, found


def described(pair: Pair, companions: list[Path], texts: dict[str, str]) -> tuple[list[Path], dict[str, str]]:
    """The files beside the merged weights: the configuration gets the classes of both, or is left out.

    Args:
        pair: What was merged.
        companions: Files to be copied.
        texts: Files with other content, by name.
    """
    from weightspace.source.class_config import joined_config_text

    if pair.heads is None:
        return companions, texts
    own = next((path for path in companions if path.name == _CONFIG), None)
    if _CONFIG in texts:
        first = json.loads(texts[_CONFIG])
    elif own is not None and _configured(pair.heads.source):
        first = _settings(own)
    else:
        return [path for path in companions if path != own], texts
    classes = [len(block) for block in pair.heads.outputs]
    return companions, texts | {_CONFIG: joined_config_text([first, _settings(pair.b.config_path)], classes)}


def recipe(pair: Pair) -> dict[str, Any]:
    """Which outputs are whose, as JSON values; empty where both have the same classes."""
    return {} if pair.heads is None else {"heads": pair.heads.recipe()}


def show_heads(console: Console, pair: Pair) -> None:
    """The same, for people."""
    if pair.heads is not None:
        first, second = (f"{block.start} to {block.stop - 1}" for block in pair.heads.outputs)
        name = pair.heads.head.weight
        console.line(f"both heads kept ({name}): outputs {first} are those of A, {second} those of B")


def _configured(source: Source) -> bool:
    """Whether the number of classes of a source is in its configuration."""
    from weightspace.source import TimmSource, TransformersSource

    return isinstance(source, (TimmSource, TransformersSource))


def _settings(path: Path | None) -> dict[str, Any] | None:
    return None if path is None else json.loads(path.read_text(encoding="utf-8"))
