"""One table from exceptions to the line that the user reads, and the exit status."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import ParamSpec

import typer

from wsp.console import discard_stdout

P = ParamSpec("P")

EXPECTED_FAILURE = 1
INTERRUPTED, TERMINATED = 130, 143

_OS_ERRORS = {
    errno.ENOSPC: "no space left on the disk; free some or write elsewhere",
    errno.EDQUOT: "the disk quota is used up; free some or write elsewhere",
    errno.EACCES: "permission denied; change the permissions or name another place",
    errno.EPERM: "not permitted; name another place",
    errno.EROFS: "the file system is read-only; write elsewhere",
    errno.ENOENT: "no such file or folder; check the path",
    errno.EISDIR: "found a folder, expected a file; name a file",
    errno.ENOTDIR: "found a file where a folder was expected; check the path",
    errno.EEXIST: "exists already; name another",
    errno.EMFILE: "too many open files; raise the limit with ulimit -n",
}


def reports_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Make a command end with one line on stderr and an exit status instead of a traceback.

    `WSP_DEBUG=1` shows the traceback as well.
    """

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        debug = os.environ.get("WSP_DEBUG", "") not in ("", "0")
        try:
            with warnings.catch_warnings():
                if not debug:
                    warnings.simplefilter("ignore")
                with _ended_by_sigterm():
                    command(*args, **kwargs)
        except BrokenPipeError:
            discard_stdout()
            raise typer.Exit(EXPECTED_FAILURE) from None
        except KeyboardInterrupt as error:
            told = "; ".join(["interrupted; no output was left half-written", *_notes(error)])
            typer.echo(f"wsp: {told}", err=True)
            raise typer.Exit(TERMINATED if isinstance(error, _Terminated) else INTERRUPTED) from None
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise  # wrong usage: typer tells it and exits with 2
        except Exception as error:
            if debug:
                traceback.print_exc(file=sys.stderr)
            told = "; ".join([message_for(error), *_notes(error)])
            typer.echo(f"wsp: {' '.join(told.split())}", err=True)
            raise typer.Exit(EXPECTED_FAILURE) from None

    return wrapper


class _Terminated(KeyboardInterrupt):
    """The system, or another program, asks the command to end."""


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Lets a command tidy up on SIGTERM as it does on Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only there can signals be handled
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def message_for(error: Exception) -> str:
    """The line for an exception: what was expected, what was found, what to do next."""
    from weightspace.errors import WeightspaceError

    if isinstance(error, WeightspaceError):
        return str(error)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        told = _OS_ERRORS.get(error.errno or 0, f"{error.strerror or error}; check the path and the disk")
        return f"{place}{told}"
    name = type(error).__name__
    # torch raises a RuntimeError where an allocation on the CPU fails.
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or "not enough memory" in str(error):
        return "out of memory; close other programs, or use --device cpu if this was a GPU"
    told = str(error).strip().partition("\n")[0]
    return f"this is a bug: {name}: {told}; run again with WSP_DEBUG=1 and report the traceback"
