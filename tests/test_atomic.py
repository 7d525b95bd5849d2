import errno
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from weightspace.checkpoint import Provenance, open_checkpoint, write_checkpoint
from weightspace.errors import OutputError

RECORD = Provenance("wsp merge", {}, {})
OLD = {"w": torch.ones(2)}


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["out.safetensors", "out"])
def written(request, tmp_path):
    """An output that is already there, in the file and in the folder form."""
    path = tmp_path / request.param
    write_checkpoint(path, OLD, provenance=RECORD)
    return path


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
    ids=["os", "safetensors"],
)
def test_a_full_disk_is_one_line_and_leaves_the_old_file(error, written, monkeypatch):
    before = contents(written.parent)

    def full(tensors, filename, metadata):
        Path(filename).write_bytes(b"half of it")
        raise error

    monkeypatch.setattr("weightspace.checkpoint.write.save_file", full)
    with pytest.raises(
        OutputError, match=r"expected to write it, found: No space left on device; nothing was written"
    ) as e:
        write_checkpoint(written, {"w": torch.zeros(2)}, provenance=RECORD)
    assert str(e.value).startswith(str(written))
    assert contents(written.parent) == before


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_a_failure_at_the_end_leaves_the_old_file(step, written, monkeypatch):
    before = contents(written.parent)

    def fail(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(step, fail)
    with pytest.raises(OutputError, match="found: Input/output error"):
        write_checkpoint(written, {"w": torch.zeros(2)}, provenance=RECORD)
    assert contents(written.parent) == before


def test_a_folder_comes_back_when_its_successor_cannot_take_its_place(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    write_checkpoint(folder, OLD, provenance=RECORD)
    before = contents(tmp_path)
    replace, calls = type(folder).replace, []

    def fail_second(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        return replace(self, target)

    monkeypatch.setattr(type(folder), "replace", fail_second)
    with pytest.raises(OutputError):
        write_checkpoint(folder, {"w": torch.zeros(2)}, provenance=RECORD)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupt_leaves_the_old_file_and_is_not_explained_away(error, written):
    before = contents(written.parent)

    def tensors():
        yield "w", torch.zeros(2)
        raise error

    with pytest.raises(error):
        write_checkpoint(written, tensors(), provenance=RECORD)
    assert contents(written.parent) == before


@pytest.mark.parametrize("name", ["out.safetensors", "out"])
def test_a_real_limit_on_the_file_size(name, tmp_path):
    program = (
        "import resource, sys, torch; from weightspace.checkpoint import *; from weightspace.errors import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_checkpoint(sys.argv[1], {'w': torch.zeros(10000)}, provenance=None)\n"
        "except OutputError as error: print(error)"
    )
    path = tmp_path / name
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith(f"{path}: expected to write it, found: File too large; nothing was written")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder where nobody can write")
def test_a_folder_where_nobody_can_write():
    with pytest.raises(OutputError, match=r"^/proc/self/out"):
        write_checkpoint("/proc/self/out.safetensors", OLD, provenance=None)
    with pytest.raises(OutputError, match=r"^/proc/self/out"):
        write_checkpoint("/proc/self/out", OLD, provenance=None)


def test_a_link_stays_a_link_to_the_new_weights(tmp_path):
    real = tmp_path / "real.safetensors"
    write_checkpoint(real, OLD, provenance=None)
    link = tmp_path / "link.safetensors"
    link.symlink_to(real)
    write_checkpoint(link, {"w": torch.zeros(2)}, provenance=None)
    assert link.is_symlink()
    assert open_checkpoint(real)["w"].tolist() == [0, 0]


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    write_checkpoint(tmp_path / "out.safetensors", OLD, provenance=RECORD)
    expected = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert stat.S_IMODE((tmp_path / "out.safetensors").stat().st_mode) == expected
    assert stat.S_IMODE((tmp_path / "out.wsp.json").stat().st_mode) == expected


def test_a_long_name_has_room_for_its_temporary_one(tmp_path):
    path = tmp_path / ("w" * 240 + ".safetensors")
    write_checkpoint(path, OLD, provenance=None)
    assert open_checkpoint(path)["w"].tolist() == [1, 1]
