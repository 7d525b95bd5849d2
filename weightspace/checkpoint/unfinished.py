"""A checkpoint that is written tensor by tensor, in any order, and goes on after it was killed.

It lies beside its place under a name of its own, with a journal of what is done, and is moved there when it is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

import torch

from weightspace.atomic import exchange, explain_os_errors, flush
from weightspace.checkpoint.guard import check_output, is_single_file
from weightspace.checkpoint.layout import INDEX, Layout
from weightspace.errors import OutputError

_JOURNAL = "journal"


class Unfinished:
    """An output on its way.

    Attributes:
        done: Names of tensors that were whole when it was opened.
        folder: Where it lies.
    """

    def __init__(self, target: Path, folder: Path, layout: Layout, done: frozenset[str], journal: int) -> None:
        self.done, self.folder = done, folder
        self._target, self._layout, self._journal = target, layout, journal
        self._files = {name: os.open(folder / name, os.O_RDWR) for name in layout.sizes}
        self._written: list[str] = []

    def write(self, name: str, start: int, values: torch.Tensor) -> None:
        """Writes some elements of a flattened tensor, from `start`; from any thread.

        Raises:
            OutputError: The disk refuses.
        """
        place = self._layout.places[name]
        assert values.dtype == place.info.dtype
        content = values.reshape(-1).contiguous().view(torch.uint8).numpy().data
        offset = place.offset + start * place.info.dtype.itemsize
        with explain_os_errors(self._target):
            while content:
                count = os.pwrite(self._files[place.file], content, offset)
                content, offset = content[count:], offset + count

    def finished(self, name: str) -> None:
        """Tells that a tensor is whole; from any thread."""
        self._written.append(name)

    def save(self) -> None:
        """Makes what is whole survive a loss of power."""
        count = len(self._written)
        names, self._written[:count] = self._written[:count], []
        if not names:
            return
        with explain_os_errors(self._target):
            for file in {self._layout.places[name].file for name in names}:
                os.fdatasync(self._files[file])
            os.write(self._journal, "".join(f"{name}\n" for name in names).encode())
            os.fdatasync(self._journal)

    def complete(self, texts: Mapping[str, str], companions: Sequence[Path] = ()) -> list[Path]:
        """Adds the small files and moves everything to its place.

        Args:
            texts: Files by name; of a single file of weights the one that belongs beside it.
            companions: Files to copy, of a folder.

        Returns:
            The files written, weights first.

        Raises:
            OutputError: The disk refuses.
        """
        self.save()
        self.close()
        beside = {} if self._layout.index is None else {INDEX: self._layout.index}
        with explain_os_errors(self._target):
            for companion in companions:
                shutil.copyfile(companion, self.folder / companion.name)
            for name, text in {**beside, **texts}.items():
                (self.folder / name).write_text(text, encoding="utf-8")
            (self.folder / _JOURNAL).unlink()
            for path in self.folder.iterdir():
                flush(path)
            flush(self.folder)
            names = [*self._layout.sizes, *beside, *dict.fromkeys([*(path.name for path in companions), *texts])]
            if is_single_file(self._target):
                for name in names:
                    (self.folder / name).replace(self._target.with_name(name))
                self.folder.rmdir()
                flush(self._target.parent)
                return [self._target.with_name(name) for name in names]
            exchange(self.folder, self._target)
        return [self._target / name for name in names]

    def close(self) -> None:
        """Lets go of the files."""
        for descriptor in (*self._files.values(), self._journal):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._files.clear()


@contextlib.contextmanager
def unfinished(
    target: str | PathLike[str], layout: Layout, key: str, inputs: Iterable[str | PathLike[str]] = ()
) -> Iterator[Unfinished]:
    """Opens the output of a task, or goes on with it where it was left.

    Args:
        target: Where the checkpoint goes in the end: a `.safetensors` file, or a folder.
        layout: Its files.
        key: What the content depends on, as hexadecimal digits: another key is another output.
        inputs: Files and folders that are read.

    Raises:
        OutputError: See `check_output`; or another process writes it, or the disk refuses.
    """
    path = Path(target)
    check_output(path, inputs)
    final = path.resolve()
    folder = final.with_name(f".{final.name[:100]}.{key[:16]}.unfinished")
    with explain_os_errors(path):
        folder.mkdir(exist_ok=True)
        journal = os.open(folder / _JOURNAL, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(journal)
            raise OutputError(
                f"{path}: expected to be the only one that writes it, found another process at the same; wait for it"
            ) from None
        try:
            done = _resumed(folder, layout, journal)
        except OSError:
            if not (folder / _JOURNAL).stat().st_size:  # nothing to go on from
                shutil.rmtree(folder, ignore_errors=True)
            raise
    output = Unfinished(final, folder, layout, done, journal)
    try:
        yield output
    finally:
        with contextlib.suppress(OSError, OutputError):
            if output._files:  # not complete: keep what is whole
                output.save()
        output.close()


def _resumed(folder: Path, layout: Layout, journal: int) -> frozenset[str]:
    """Names of the tensors that are whole; files that are not yet there are made."""
    listed = (folder / _JOURNAL).read_text(encoding="utf-8")
    whole = listed[: listed.rfind("\n") + 1]  # a last line without an end was being written
    os.truncate(journal, len(whole.encode()))
    done = {name for name in whole.splitlines() if name in layout.places}
    for name, header in layout.headers.items():
        path = folder / name
        if _begins_with(path, header, layout.sizes[name]):
            continue
        done -= {tensor for tensor in done if layout.places[tensor].file == name}
        with path.open("wb") as file:
            file.write(header)
            _reserve(file.fileno(), layout.sizes[name])
    return frozenset(done)


def _begins_with(path: Path, header: bytes, size: int) -> bool:
    if not path.exists() or path.stat().st_size != size:
        return False
    with path.open("rb") as file:
        return file.read(len(header)) == header


def _reserve(descriptor: int, size: int) -> None:
    """Takes the space now, so that a full disk is found before the work."""
    if hasattr(os, "posix_fallocate") and size:
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)
