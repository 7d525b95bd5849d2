"""A file of JSON lines that holds one record per key, and survives being killed at any moment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.report import plain


class Lines:
    """Records by name. A record is appended as soon as it is known; the last line of a name counts.

    `tidy` leaves one line per name, sorted. A line that was cut off when the process was killed is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[str, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                self.records[record["name"]] = record

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.records.values())

    def get(self, name: str) -> dict[str, Any] | None:
        return self.records.get(name)

    def put(self, record: dict[str, Any]) -> None:
        """Replaces the record of that name, here and in the file."""
        record = plain(record)
        self.records[record["name"]] = record
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A line that was cut off must not swallow this one.
        start = "" if _ends_clean(self.path) else "\n"
        with self.path.open("a", encoding="utf-8") as file:
            file.write(start + json.dumps(record, allow_nan=False) + "\n")

    def tidy(self, known: set[str]) -> None:
        """Rewrites the file with one line per name, sorted, without names that are not known any more."""
        self.records = {name: self.records[name] for name in sorted(self.records) if name in known}
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(record, allow_nan=False) + "\n" for record in self), encoding="utf-8")
        temporary.replace(self.path)


def _ends_clean(path: Path) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
