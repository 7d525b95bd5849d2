"""Worker processes with limits: what one job does to its process does not touch the others."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

JOBS_PER_WORKER = 100  # then a fresh process, so that what libraries cache does not pile up
MEMORY_WORDS = ("MemoryError", "allocate memory", "out of memory", "bad_alloc")


@dataclass(frozen=True)
class Job:
    """A call of a module-level function with plain arguments; `key` says which one it was."""

    key: str
    function: Callable[..., dict[str, Any]]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """What a job returned, or why it did not."""

    key: str
    value: dict[str, Any] | None
    failure: str | None


class _Worker:
    def __init__(self, memory: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, memory), daemon=True)
        self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.started = 0.0
        self.done = 0

    def give(self, job: Job) -> None:
        self.job, self.started = job, time.monotonic()
        self.connection.send((job.function, job.arguments))

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def run(jobs: Iterable[Job], *, workers: int, memory: int, seconds: float) -> Iterator[Outcome]:
    """Runs jobs in order in several processes, each on one thread, and yields what becomes of them as they finish.

    Args:
        jobs: In the order in which they are begun.
        workers: Number of processes.
        memory: Bytes of data that one process may hold.
        seconds: Limit of one job; its process is ended then.
    """
    waiting = iter(jobs)
    pool: list[_Worker] = []
    try:
        while True:
            for worker in [w for w in pool if w.job is None and w.done >= JOBS_PER_WORKER]:
                worker.stop()
                pool.remove(worker)
            while len([w for w in pool if w.job is not None]) < workers and (job := next(waiting, None)) is not None:
                worker = next((w for w in pool if w.job is None), None)
                if worker is None:
                    worker = _Worker(memory)
                    pool.append(worker)
                worker.give(job)
            busy = {w.connection: w for w in pool if w.job is not None}
            if not busy:
                return
            left = min(w.started + seconds for w in busy.values()) - time.monotonic()
            for connection in wait(list(busy), timeout=max(0.0, left)):
                worker = busy[connection]  # pyright: ignore[reportArgumentType] - only connections were given
                yield _outcome(worker, memory, pool)
            for worker in [w for w in pool if w.job is not None and time.monotonic() - w.started > seconds]:
                yield Outcome(worker.job.key if worker.job else "", None, f"not done within {seconds:.0f} s")
                worker.stop()
                pool.remove(worker)
    finally:
        for worker in pool:
            worker.stop()


def _outcome(worker: _Worker, memory: int, pool: list[_Worker]) -> Outcome:
    job = worker.job
    assert job is not None
    worker.job, worker.done = None, worker.done + 1
    try:
        value, failure = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        code = worker.process.exitcode or 0
        reason = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        failure = f"its process died ({reason}){', out of memory perhaps' if code == -signal.SIGKILL else ''}"
        worker.stop()
        pool.remove(worker)
        return Outcome(job.key, None, failure)
    if failure is not None and any(word in failure for word in MEMORY_WORDS):
        failure = f"needs more than {memory / 2**30:.3g} GiB of memory"
        worker.done = JOBS_PER_WORKER
    return Outcome(job.key, value, failure)


def _serve(connection: Connection, memory: int) -> None:
    """The loop of a worker: one job after the other until it is ended."""
    # A session of its own: an interrupt from the terminal reaches the parent alone, which ends it; and where the
    # kernel shares processors out by session, every worker counts.
    os.setsid()
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    torch.set_num_threads(1)
    with suppress(EOFError, BrokenPipeError):  # the parent is gone
        while True:
            function, arguments = connection.recv()
            try:
                answer = function(*arguments), None
            except Exception as error:
                lines = str(error).strip().splitlines() or [""]
                answer = None, f"{type(error).__name__}: {lines[0][:300]}"
            connection.send(answer)
