"""The one sink for output: data on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any, Protocol, TextIO

_SECONDS_BETWEEN_LINES = 5.0
_PLAIN_WIDTH = 160


class Progress(Protocol):
    """How far a task is."""

    def __call__(self, done: float, total: float, what: str = "") -> None:
        """Tell that `done` steps of `total` are over, and what is going on."""
        ...


class Mode(Enum):
    """Who reads the output."""

    HUMAN = "human"
    JSON = "json"
    QUIET = "quiet"


class Console:
    """Where a command writes.

    In human mode results are tables and lines on stdout. In JSON mode stdout carries one document and nothing else. In
    quiet mode there is no output but for errors.

    Notes, warnings and progress go to stderr: notes at once where a person watches, else when the command has
    succeeded, so that in a pipe or a log an expected failure is one line and nothing else. Whatever else prints while a
    command runs (the user's own code, a library) is sent to stderr, too.

    Attributes:
        mode: Who reads.
        notes: Every note and warning so far; they belong into the JSON document and the provenance.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.mode = Mode.JSON if as_json else Mode.QUIET if quiet else Mode.HUMAN
        self.notes: list[str] = []
        self._silent = quiet
        self._held: list[str] = []
        self._out: TextIO = sys.stdout
        self._err: TextIO = sys.stderr

    @contextlib.contextmanager
    def owning_stdout(self) -> Iterator[None]:
        """Keep stdout for results: within, `print` of other code goes to stderr. At the end everything is out."""
        with contextlib.redirect_stdout(self._err):
            yield
        for text in self._held:
            self._say(text)
        self._out.flush()

    # ------------------------------------------------------------------ results

    def line(self, text: str = "") -> None:
        """A line of the result, for people."""
        if self.mode is Mode.HUMAN:
            self._out.write(text + "\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
        """A table of the result, for people, below its title. Columns whose name starts with ``#`` hold numbers."""
        if self.mode is not Mode.HUMAN:
            return
        from rich import box
        from rich.console import Console as RichConsole
        from rich.table import Table
        from rich.text import Text

        terminal = self._out.isatty()
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            justify = "right" if column.startswith("#") else "left"
            # Names that are too long go on in the next line: half a name is none.
            table.add_column(Text(column.removeprefix("#")), justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        if title:
            self.line(title)
        RichConsole(file=self._out, width=None if terminal else _PLAIN_WIDTH, highlight=False).print(table)

    def document(self, content: dict[str, Any]) -> None:
        """The result as one JSON document. NaN and infinity, which JSON lacks, become null."""
        if self.mode is Mode.JSON:
            self._out.write(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")

    # ------------------------------------------------------------------ everything else

    def note(self, text: str) -> None:
        """Something that the user may want to know."""
        self._remark(f"note: {text}", text)

    def warn(self, text: str) -> None:
        """Something that probably spoils the result."""
        self._remark(f"warning: {text}", text)

    @contextlib.contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """Show how far a long task is; gives a function to call with (done, total, what is going on).

        At a terminal this is a bar with an estimate; elsewhere a plain line now and then, and none for short tasks.
        """
        if self._silent:
            yield _no_progress
        elif self._err.isatty():
            with _bar(label, self._err) as step:
                yield step
        else:
            yield _PlainProgress(label, self._say)

    def _remark(self, line: str, text: str) -> None:
        self.notes.append(text)
        if self._err.isatty():
            self._say(line)
        else:
            self._held.append(line)

    def _say(self, text: str) -> None:
        if not self._silent:
            self._err.write(" ".join(text.split()) + "\n")
            self._err.flush()


def counted(number: int, noun: str) -> str:
    """`1 sweep`, `2 sweeps`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def discard_stdout() -> None:
    """After the reader of a pipe has gone: let the interpreter's last flush go nowhere instead of complaining."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _no_progress(done: float, total: float, what: str = "") -> None:
    """Nobody wants to know."""


@contextlib.contextmanager
def _bar(label: str, stream: TextIO) -> Iterator[Progress]:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=RichConsole(file=stream), transient=True) as bars:
        task = bars.add_task(label, total=None)

        def step(done: float, total: float, what: str = "") -> None:
            bars.update(task, completed=done, total=total, description=_labelled(label, what))

        yield step


class _PlainProgress:
    """A line at most every few seconds, so that logs stay short."""

    def __init__(self, label: str, say: Callable[[str], None]) -> None:
        self._label = label
        self._say = say
        self._last = time.monotonic()

    def __call__(self, done: float, total: float, what: str = "") -> None:
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._say(f"{_labelled(self._label, what)}: {done:.4g} of {total:.4g}")


def _labelled(label: str, what: str) -> str:
    return f"{label}, {what}" if what else label


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
