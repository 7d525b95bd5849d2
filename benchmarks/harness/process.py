"""A command as a whole process: its time with everything flushed to the disk, and its peak memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_POLL = 0.02  # seconds


@dataclass(frozen=True)
class Run:
    """What a process took.

    Attributes:
        status: Its exit status.
        seconds: Until it ended and all writes were on the disk.
        cpu: CPU seconds of it and its children.
        total: Peak of its resident memory in bytes, pages of mapped files included; looked at every 20 ms, as is
        anonymous: the same without pages of files.
        error: The end of what it said on stderr.
    """

    status: int
    seconds: float
    cpu: float
    total: int
    anonymous: int
    error: str


def run(command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Run:
    """Runs a command to its end."""
    os.sync()
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [str(part) for part in command], cwd=cwd, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL,
            stderr=said,
        )  # fmt: skip
        total = anonymous = 0
        while True:
            total = max(total, _memory(process.pid, "VmHWM"))
            anonymous = max(anonymous, _memory(process.pid, "RssAnon"))
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(_POLL)
        process.returncode = os.waitstatus_to_exitcode(status)
        os.sync()
        seconds = time.perf_counter() - began
        said.seek(0)
        error = said.read()[-2000:].strip()
    return Run(process.returncode, seconds, usage.ru_utime + usage.ru_stime, total, anonymous, error)


def _memory(pid: int, name: str) -> int:
    # What wait4 tells counts the pages of the parent, too, until the command begins.
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith(f"{name}:")), None)
    return 0 if line is None else int(line.split()[1]) * 1024
