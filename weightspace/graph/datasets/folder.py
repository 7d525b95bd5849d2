"""A dataset's folder: rows in an SQLite database, and what they have in common in JSON. Nothing in it is pickled."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from torch_geometric.data import SQLiteDatabase

from weightspace.atomic import flush, new_folder
from weightspace.errors import DataError, OutputError, SymmetryError
from weightspace.graph.datasets.layouts import Layouts
from weightspace.graph.datasets.network import Network
from weightspace.graph.datasets.reading import Reader
from weightspace.graph.datasets.rows import SCHEMA
from weightspace.symmetry import Spec

PROCESSED, ROWS, COMMON = "processed", "graphs.db", "common.json"
_FORMAT, _VERSION, _TABLE = "weightspace-graphs", 1, "graphs"


def open_rows(path: str | Path) -> SQLiteDatabase:
    """The rows, for this process alone: a connection does not survive a fork."""
    return SQLiteDatabase(str(path), _TABLE, SCHEMA)


def write_folder(root: Path, reader: Reader, networks: Iterable[Network]) -> None:
    """Writes a new folder, whole or not at all.

    Raises:
        OutputError: It is there already, or the disk refuses.
        WeightspaceError: What `Reader.rows` raises.
        DataError: A network is too large for a row.
    """
    if root.exists():
        raise OutputError(f"{root}: expected a new folder, found one; open it without networks, or choose another")
    with new_folder(root) as temporary:
        folder = temporary / PROCESSED
        folder.mkdir()
        rows = open_rows(folder / ROWS)
        rows.cursor.execute("PRAGMA synchronous = OFF")  # the folder is flushed as a whole
        for place, row in enumerate(reader.rows(networks)):
            try:
                rows.insert(place, row)
            except (sqlite3.DataError, OverflowError) as error:
                raise DataError(
                    f"network {place}: expected at most a gigabyte of weights in a row, found "
                    f"{row['weights'].numel()} bytes; use GraphDataset"
                ) from error
        rows.close()
        common = {
            "format": _FORMAT,
            "version": _VERSION,
            "targets": list(reader.target_names),
            "specs": [layout.spec.to_json() for layout in reader.layouts.values()],
        }
        (folder / COMMON).write_text(json.dumps(common) + "\n", encoding="utf-8")
        for path in folder.iterdir():
            flush(path)


def read_common(root: Path) -> tuple[Layouts, tuple[str, ...]]:
    """The layouts and the names of the targets.

    Raises:
        DataError: There is no dataset, or its files are damaged.
    """
    path = root / PROCESSED / COMMON
    try:
        common = json.loads(path.read_text(encoding="utf-8"))
        if common["format"] != _FORMAT or common["version"] != _VERSION:
            raise ValueError(f"{common['format']}, version {common['version']}")
        with path.with_name(ROWS).open("rb") as rows:
            if rows.read(6) != b"SQLite":
                raise ValueError(f"no database in {ROWS}")
        return Layouts(map(Spec.from_json, common["specs"])), tuple(map(str, common["targets"]))
    except (OSError, ValueError, KeyError, TypeError, SymmetryError) as error:
        raise DataError(
            f"{root}: expected a dataset of graphs, version {_VERSION}, found none ({error}); give networks to make it"
        ) from error
