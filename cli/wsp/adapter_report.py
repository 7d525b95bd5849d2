"""What `wsp adapter` says about an adapter that it made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsp.console import Console

if TYPE_CHECKING:
    from weightspace.merge.adapters import MadeAdapter


def tell(console: Console, output: Path, made: MadeAdapter, told: dict[str, Any]) -> None:
    """The table of an adapter's weights, or the document."""
    layers = [
        {"module": layer.module, "shape": list(layer.shape), "rank": layer.rank, "error": layer.error}
        for layer in made.layers
    ]
    console.document({
        **told, "layers": layers, "modules_to_save": list(made.modules_to_save), "output": str(output),
        "notes": console.notes,
    })  # fmt: skip
    rows = [
        [layer.module, " x ".join(map(str, layer.shape)), str(layer.rank), f"{layer.error:.2%}"]
        for layer in made.layers
    ]
    if rows:
        console.table(["module", "#shape", "#rank", "#lost"], rows, title="low ranks, and what they lose of the norm")
    if made.modules_to_save:
        console.line(f"saved whole: {shown(made.modules_to_save)}")


def shown(names: Sequence[str]) -> str:
    """The first of many names."""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
