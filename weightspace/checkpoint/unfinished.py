"""A checkpoint that is written tensor by tensor, in any order, and goes on after it was killed.

It lies beside its place in a hidden folder of its own (`leftover`): a journal of what is whole, and the files, which
are moved to their place when all is. The journal goes last, so that a kill at any moment leaves all that was done.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

import torch

from weightspace.atomic import exchange, flush
from weightspace.checkpoint.guard import check_output, is_single_file
from weightspace.checkpoint.layout import INDEX, Layout
from weightspace.checkpoint.leftover import JOURNAL, folder_of, locked_journal, taken_by
from weightspace.errors import OutputError, WeightspaceError

_FILES, _PREVIOUS = "files", "previous"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Unfinished:
    """An output on its way.

    Attributes:
        done: Names of tensors that were whole when it was opened.
        folder: Where it lies.
    """

    def __init__(self, target: Path, folder: Path, layout: Layout, done: frozenset[str], journal: int) -> None:
        self.done, self.folder = done, folder
        self._target, self._layout, self._journal = target, layout, journal
        self._files = {name: os.open(folder / _FILES / name, os.O_RDWR) for name in layout.sizes}
        self._written: list[str] = []
        self._saved = len(done)

    @property
    def told(self) -> str:
        """What there is of it, in a line."""
        count = f"{self._saved:,} of {len(self._layout.places):,} tensors"
        return f"{count} are kept in {self.folder}, from where the same command goes on"

    def write(self, name: str, start: int, values: torch.Tensor) -> None:
        """Writes some elements of a flattened tensor, from `start`; from any thread.

        Raises:
            OutputError: The disk refuses.
        """
        place = self._layout.places[name]
        assert values.dtype == place.info.dtype
        content = values.reshape(-1).contiguous().view(torch.uint8).numpy().data
        offset = place.offset + start * place.info.dtype.itemsize
        with _explained(self._target, self.folder, self._layout):
            while content:
                count = os.pwrite(self._files[place.file], content, offset)
                content, offset = content[count:], offset + count

    def finished(self, name: str) -> None:
        """Tells that a tensor is whole; from any thread."""
        self._written.append(name)

    def save(self) -> None:
        """Makes what is whole survive a loss of power.

        Raises:
            OutputError: The disk refuses, or the folder is no longer there.
        """
        count = len(self._written)
        names, self._written[:count] = self._written[:count], []
        if not names:
            return
        with _explained(self._target, self.folder, self._layout):
            (self.folder / JOURNAL).stat()  # what is written to a folder that was removed is lost
            for file in {self._layout.places[name].file for name in names}:
                os.fdatasync(self._files[file])
                if hasattr(os, "posix_fadvise"):  # pages that nobody reads again make room for those to come
                    os.posix_fadvise(self._files[file], 0, 0, os.POSIX_FADV_DONTNEED)
            os.write(self._journal, "".join(f"{json.dumps(name)}\n" for name in names).encode())
            os.fdatasync(self._journal)
            self._saved += len(names)

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
        beside = {} if self._layout.index is None else {INDEX: self._layout.index}
        content = self.folder / _FILES
        with _explained(self._target, self.folder, self._layout):
            for companion in companions:
                shutil.copyfile(companion, content / companion.name)
            for name, text in {**beside, **texts}.items():
                (content / name).write_text(text, encoding="utf-8")
            names = [*self._layout.sizes, *beside, *dict.fromkeys([*(path.name for path in companions), *texts])]
            for path in content.iterdir():
                if path.name in names:
                    flush(path)
                else:
                    path.unlink()  # a companion that an earlier run found
            flush(content)
            places = self._moved(content, names)
            shutil.rmtree(self.folder, ignore_errors=True)
        self.close()
        return places

    def _moved(self, content: Path, names: Sequence[str]) -> list[Path]:
        if not is_single_file(self._target):
            exchange(content, self._target, self.folder / _PREVIOUS)
            return [self._target / name for name in names]
        for name in reversed(names):  # the weights last: where they are, all is
            (content / name).replace(self._target.with_name(name))
        flush(self._target.parent)
        return [self._target.with_name(name) for name in names]

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

    What ends it before it is whole (the disk, or the user) is told what is kept, by a note of the exception.

    Args:
        target: Where the checkpoint goes in the end: a `.safetensors` file, or a folder.
        layout: Its files.
        key: What the content depends on, as hexadecimal digits: another key is another output.
        inputs: Files and folders that are read.

    Raises:
        OutputError: See `check_output`; or another process writes to the same target, or the disk refuses.
    """
    path = Path(target)
    check_output(path, inputs)
    final = path.resolve()
    folder = folder_of(final, key)
    with _explained(final, folder, layout):
        (folder / _FILES).mkdir(parents=True, exist_ok=True)
        journal = locked_journal(final, folder)
        try:
            output = Unfinished(final, folder, layout, _resumed(folder, layout, journal), journal)
        except BaseException:
            os.close(journal)
            raise
    try:
        yield output
    except (OSError, OutputError, KeyboardInterrupt) as error:
        with contextlib.suppress(OSError, OutputError):
            output.save()
        if folder.exists():
            error.add_note(output.told)
        raise
    except WeightspaceError:  # as the same recipe and models would give again
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        output.close()


def _resumed(folder: Path, layout: Layout, journal: int) -> frozenset[str]:
    """Names of the tensors that are whole; files that are not yet there are made."""
    listed = (folder / JOURNAL).read_bytes()
    whole = listed[: listed.rfind(b"\n") + 1]  # a last line without an end was being written
    os.truncate(journal, len(whole))
    done = _listed(whole) & layout.places.keys()
    try:
        for name, header in layout.headers.items():
            path = folder / _FILES / name
            if _begins_with(path, header, layout.sizes[name]):
                continue
            done -= {tensor for tensor in done if layout.places[tensor].file == name}
            with path.open("wb") as file:
                file.write(header)
                _reserve(file.fileno(), layout.sizes[name])
    except BaseException:
        if not whole:  # nothing to go on from
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return frozenset(done)


def _listed(journal: bytes) -> set[str]:
    """Names in a journal, a JSON text in each line: names may hold anything, ends of lines too."""
    found = set()
    for line in journal.splitlines():
        with contextlib.suppress(ValueError):  # what a loss of power left
            found.add(json.loads(line))
    return found


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


@contextlib.contextmanager
def _explained(target: Path, folder: Path, layout: Layout) -> Iterator[None]:
    """Turns a refusal of the operating system into one line about `target`."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            expected = f"room for {layout.nbytes:,} bytes in {target.parent}"
            free = shutil.disk_usage(target.parent).free + taken_by(folder)
            found = f"{os.strerror(error.errno)}, {free:,} bytes at hand"
            advice = "make room and run the same command again"
        else:
            expected = "to write it"
            found = os.strerror(error.errno or 0) + (f" ({error.filename})" if error.filename else "")
            advice = "see to it and run the same command again"
        raise OutputError(f"{target}: expected {expected}, found: {found}; {advice}") from error
