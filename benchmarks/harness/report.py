"""Options, table and JSON document of a benchmark."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import scipy
import torch
from rich.console import Console
from rich.table import Table

from weightspace import __version__


def options(description: str) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="under a minute: fewer and smaller cases")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and summary there")
    return parser


def publish(
    title: str,
    columns: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    arguments: argparse.Namespace,
    notes: Sequence[str] = (),
) -> None:
    """Prints the table, and writes the JSON document where one was asked for.

    Args:
        title: Heading of the table.
        columns: Key in the rows -> heading; keys without one are in the JSON document only.
        rows: One mapping of plain values per row.
        summary: What the benchmark comes to, for the document.
        arguments: As `options` parsed them.
        notes: Lines below the table: the upshot, what was left out and why.
    """
    table = Table(*columns.values(), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(shown(row.get(key)) for key in columns))
    # A pipe or a file has no width: let the table have what it needs.
    console = Console() if Console().is_terminal else Console(width=240)
    console.print(table)
    for note in notes:
        console.print(note, markup=False, highlight=False)
    if arguments.json is not None:
        document = {
            "benchmark": title,
            "arguments": {key: plain(value) for key, value in vars(arguments).items() if key != "json"},
            "machine": machine(),
            "rows": plain(rows),
            "notes": list(notes),
            "summary": plain(summary),
        }
        arguments.json.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        console.print(f"wrote {arguments.json}", highlight=False)


def shown(value: Any) -> str:
    """A value as a cell of the table."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "NO"
        case float():
            return f"{value:.2e}" if value != 0 and not 1e-2 <= abs(value) < 1e5 else f"{value:.4g}"
        case list() | tuple():
            return " / ".join(map(shown, value))
        case _:
            return str(value)


def plain(value: Any) -> Any:
    """A value that JSON can hold; what is not finite becomes None."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case Path():
            return str(value)
        case _:
            return value


def machine() -> dict[str, Any]:
    """What the figures were measured with."""
    return {
        "weightspace": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "scipy": scipy.__version__,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
    }
