"""The `config.json` of a network with more hidden units, where there is a setting that gives its shapes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from weightspace.source.base import Source
from weightspace.source.timm_models import TimmSource
from weightspace.source.transformers_models import TransformersSource

Shapes = Mapping[str, tuple[int, ...]]


def widened_config(
    source: Source, shapes: Shapes, check: Callable[[Source], bool] = lambda _: True
) -> dict[str, Any] | None:
    """Settings with which a library builds a network whose tensors have certain shapes.

    Whatever setting holds the number of units that has changed, or is left open, is tried.

    Args:
        source: Where the network comes from as it was.
        shapes: The shapes of its parameters as they are to be, by name.
        check: Whether the network that settings give is the right one.

    Returns:
        The content of `config.json`, or None where no one setting gives these shapes.
    """
    if not isinstance(source, (TransformersSource, TimmSource)):
        return None
    before = _shapes(source)
    changed = {
        (old, new)
        for name, shape in shapes.items()
        for old, new in zip(before.get(name, ()), shape, strict=False)
        if old != new
    }
    if len(changed) != 1:
        return None  # every layer as the next one, or no setting will do
    ((old, new),) = changed
    candidates = _of_timm(source, before, old, new) if isinstance(source, TimmSource) else _of_hub(source, old, new)
    for settings, candidate in candidates:
        try:
            found = _shapes(candidate)
        except Exception:  # a number in the place of something else fails in its own way
            continue
        if all(found.get(name) == shape for name, shape in shapes.items()) and check(candidate):
            return settings
    return None


def _shapes(source: Source) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in source.build(meta=True).named_parameters()}


def _of_hub(source: TransformersSource, old: int, new: int) -> Iterator[tuple[dict[str, Any], Source]]:
    """Settings of transformers with one number changed."""
    known = source.settings()
    config = json.loads((source.folder / "config.json").read_text(encoding="utf-8"))
    for key, value in known.items():
        if value == old or value is None:
            settings = {**config, key: new}
            with TemporaryDirectory(prefix="wsp-") as folder:
                (Path(folder) / "config.json").write_text(json.dumps(settings), encoding="utf-8")
                yield settings, replace(source, folder=Path(folder))


def _of_timm(source: TimmSource, before: Shapes, old: int, new: int) -> Iterator[tuple[dict[str, Any], Source]]:
    """Settings of timm with another ratio of hidden units."""
    others = {size for shape in before.values() if old in shape for size in shape[:2] if size != old}
    for width in sorted(others):
        arguments = {**dict(source.model_args), "mlp_ratio": new / width}
        candidate = replace(source, model_args=tuple(arguments.items()))
        yield candidate.config(), candidate
