"""What may happen in the middle of a merge: a full disk, a folder that goes, inputs that change, other processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.merge.streaming.llama import save_llama

# The command with a pause before every piece that is written, long enough to come in between.
SLOWLY = """
import os, sys, time
from weightspace.checkpoint.unfinished import Unfinished
write, pause = Unfinished.write, float(sys.argv[1])
def slowly(self, *arguments):
    write(self, *arguments)
    os.write(1, b"wrote\\n")
    time.sleep(pause)
Unfinished.write = slowly
{more}
sys.argv = ["wsp", *sys.argv[2:]]
from wsp.main import main
main()
"""
WITHOUT_FALLOCATE = "import os\ndel os.posix_fallocate"
SAVED_AT_ONCE = (
    "import weightspace.merge.streaming\nsys.modules['weightspace.merge.streaming.execute']._SAVED_EVERY = 0"
)
LIMITED = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))"


@pytest.fixture
def folder(tmp_path) -> Path:
    for seed in range(3):
        save_llama(tmp_path / f"m{seed}", seed)
    (tmp_path / "recipe.yml").write_text("merge_method: linear\nmodels:\n- model: m1\n- model: m2\n")
    return tmp_path


class Command:
    """`wsp merge recipe.yml -o out` in a process of its own."""

    def __init__(self, folder: Path, repository: Path, output: Path) -> None:
        self.folder, self.output = folder, output
        paths = f"{repository}{os.pathsep}{repository / 'cli'}"
        self._started: list[subprocess.Popen[str]] = []
        self._environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}

    def start(self, pause: float = 0.0, more: str = "", output: Path | None = None) -> subprocess.Popen[str]:
        arguments = ["merge", str(self.folder / "recipe.yml"), "-o", str(output or self.output)]
        process = subprocess.Popen(
            [sys.executable, "-c", SLOWLY.format(more=more), str(pause), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._environment,
        )  # fmt: skip
        self._started.append(process)
        return process

    def close(self) -> None:
        """Ends what is left."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()
            process.wait()

    def begun(self, count: int = 5, pause: float = 0.05, **options: Any) -> subprocess.Popen[str]:
        """Started, and in the middle of its work."""
        process = self.start(pause, **options)
        assert process.stdout is not None
        for _ in range(count):
            assert process.stdout.readline() == "wrote\n"
        return process

    def failed(self, process: subprocess.Popen[str], status: int, *words: str) -> str:
        """Waits for a process that ends with one line; what it says."""
        _, told = process.communicate(timeout=120)
        assert process.returncode == status, told
        assert told.count("\n") == 1, told
        for word in words:
            assert word in told
        assert not self.output.exists()
        return told

    def done(self, **options: Any) -> str:
        """Runs it to its end; what it says."""
        process = self.start(**options)
        said, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
        assert self.output.exists()
        assert not hidden(self.output.parent)
        return said + told


@pytest.fixture
def command(folder, repository) -> Iterator[Command]:
    command = Command(folder, repository, folder / "out")
    yield command
    command.close()


def hidden(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.name.startswith(".")]


def same(one: Path, two: Path) -> bool:
    names = {path.name for path in one.iterdir()}
    assert names == {path.name for path in two.iterdir()}
    return all((one / name).read_bytes() == (two / name).read_bytes() for name in names - {"README.md"})


# ---------------------------------------------------------------------- no room


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system with less room than the merge takes, with a file on it that may go."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip("file systems cannot be mounted here")
    (place / "ballast").write_bytes(bytes(220 * 1024))
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_found_before_the_work(folder, command, small_disk) -> None:
    command.output = small_disk / "out"
    told = command.failed(command.start(), 1, "expected room for", "No space left", "run the same command again")
    assert str(small_disk) in told
    assert not hidden(small_disk)
    (small_disk / "ballast").unlink()
    command.done()


def test_a_disk_that_fills_up_in_the_middle(folder, command, small_disk) -> None:
    """Where the file system cannot reserve: what is whole is kept, and gone on with once there is room."""
    command.output = small_disk / "out"
    process = command.start(0.05, more=f"{WITHOUT_FALLOCATE}\n{SAVED_AT_ONCE}")
    command.failed(process, 1, "expected room for", "No space left", "run the same command again", "tensors are kept")
    assert hidden(small_disk)
    (small_disk / "ballast").unlink()
    assert "had been computed before" in command.done()


def test_a_limit_on_the_size_of_files(folder, command) -> None:
    command.failed(command.start(more=LIMITED), 1, "expected room for", "File too large", "run the same command again")
    assert not hidden(folder)
    process = command.start(more=LIMITED + "\n" + WITHOUT_FALLOCATE)
    command.failed(process, 1, "File too large", "run the same command again")
    command.done()


def test_a_folder_that_refuses(folder, command, monkeypatch) -> None:
    if os.geteuid() == 0:
        monkeypatch.setattr(os, "access", lambda *_: False)  # for root all folders are writable
    else:
        (folder / "shut").mkdir(mode=0o500)
    (folder / "shut").mkdir(exist_ok=True)
    from weightspace.errors import OutputError
    from weightspace.merge.recipe import read_recipe
    from weightspace.merge.streaming import prepare

    with pytest.raises(OutputError, match="not writable; choose another folder"):
        prepare(read_recipe(folder / "recipe.yml"), folder / "shut" / "out", folder=folder)


# ---------------------------------------------------------------------- something goes


def test_the_folder_of_the_output_is_removed(folder, command) -> None:
    place = folder / "place"
    place.mkdir()
    command.output = place / "out"
    process = command.begun()
    shutil.rmtree(place)
    command.failed(process, 1, "No such file or directory", "run the same command again")
    place.mkdir()
    command.done()


def test_an_input_is_truncated(folder, command) -> None:
    file = folder / "m2" / "model.safetensors"
    whole = file.read_bytes()
    process = command.begun(count=1)
    file.write_bytes(whole[: len(whole) // 4])
    command.failed(process, 1, "m2", "it is truncated or damaged")
    assert not hidden(folder)
    file.write_bytes(whole)
    command.done()


def test_an_input_is_written_to_while_it_is_read(folder, command) -> None:
    process = command.begun()
    os.utime(folder / "m1" / "model.safetensors", (1, 1))
    command.failed(process, 1, "m1: expected it unchanged during the merge")
    assert not hidden(folder)
    command.done()


def test_an_input_changes_before_it_is_gone_on_with(folder, command) -> None:
    """What was computed is of no use then; it is told where it lies."""
    process = command.begun(count=30)
    process.kill()
    process.communicate()
    (left,) = hidden(folder)
    os.utime(folder / "m1" / "model.safetensors", (1, 1))
    process = command.start()
    said, told = process.communicate()
    assert process.returncode == 0, told
    assert "had been computed before" not in said
    assert f"note: {left}: an unfinished merge by another recipe or of other inputs" in told
    assert "bytes; remove the folder" in told
    assert hidden(folder) == [left]


# ---------------------------------------------------------------------- signals and other processes


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_in_one_line(folder, command, number: int, status: int) -> None:
    command.done()
    (folder / "out").rename(folder / "whole")
    process = command.begun(pause=0.5)
    process.send_signal(number)
    told = command.failed(process, status, "interrupted", "tensors are kept in", "the same command goes on")
    assert not told.startswith("wsp: interrupted; no output was left half-written; 0 of")
    assert "had been computed before" in command.done()
    assert same(folder / "whole", folder / "out")


@pytest.mark.parametrize("other", [False, True])
def test_two_processes_do_not_write_one_output(folder, command, other: bool) -> None:
    """Neither the same merge nor another one."""
    command.begun(count=1, pause=60.0)
    recipe = folder / "recipe.yml"
    if other:
        recipe.write_text(recipe.read_text() + "seed: 1\n")
    command.failed(command.start(), 1, "expected to be the only one that writes it, found another process")


# ---------------------------------------------------------------------- the last steps

# Runs a merge again and again, each in a fork that is killed at the next call of what the last phase is made of, and
# once more to its end; prints how many were killed.
KILLING = """
import os, pathlib, shutil, signal, sys
from pathlib import Path
import weightspace.atomic as atomic
import weightspace.checkpoint.unfinished as last
from weightspace.merge.recipe import read_recipe
from weightspace.merge.streaming import merge_files, prepare

recipe, output, replaced = read_recipe(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3] == "True"
calls = 0

def killing(function, at):
    def wrapped(*arguments, **options):
        global calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return wrapped

def merged(at=0):
    child = os.fork()
    if child == 0:
        complete = last.Unfinished.complete
        def watched(self, *arguments):
            last.flush = atomic.flush = killing(atomic.flush, at)
            pathlib.Path.replace = killing(pathlib.Path.replace, at)
            shutil.rmtree = killing(shutil.rmtree, at)
            return complete(self, *arguments)
        last.Unfinished.complete = watched
        merge_files(prepare(recipe, output, folder=Path(sys.argv[1]).parent))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def held():
    files = [output, output.with_suffix(".wsp.json")] if output.suffix else sorted(output.iterdir())
    return [path.read_bytes() for path in files]

assert merged() == 0
expected, at = held(), 1
while True:
    if not replaced:
        shutil.rmtree(output) if output.is_dir() else output.unlink()
    status = merged(at)
    if status == 0:
        break
    assert status == -signal.SIGKILL, status
    assert merged() == 0
    assert held() == expected, at
    assert not [path for path in output.parent.iterdir() if path.name.startswith(".")], at
    at += 1
print(at - 1)
"""


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_kill_at_every_step_of_the_last_phase(folder, repository, single: bool, replaced: bool) -> None:
    """Where nothing lay before, and where an earlier result is replaced."""
    output = folder / ("out.safetensors" if single else "out")
    done = subprocess.run(
        [sys.executable, "-c", KILLING, str(folder / "recipe.yml"), str(output), str(replaced)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(repository)}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 4


def test_a_journal_that_is_damaged_is_taken_for_what_it_says(folder, command) -> None:
    process = command.begun(count=30)
    process.kill()
    process.communicate()
    (left,) = hidden(folder)
    with (left / "journal").open("ab") as file:
        file.write(b'\xff\x00\n"model.norm.weight')  # half a line, and one that a loss of power left
    command.done()
    torch.testing.assert_close(*_norms(folder))


def _norms(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    from weightspace.checkpoint import open_checkpoint

    one, two, out = (open_checkpoint(folder / name)["model.norm.weight"] for name in ("m1", "m2", "out"))
    return out, (one + two) / 2


def test_files_that_are_gone_are_made_again(folder, command) -> None:
    process = command.begun(count=30, more=SAVED_AT_ONCE)
    process.kill()
    process.communicate()
    (left,) = hidden(folder)
    (left / "files" / "model.safetensors").unlink()
    command.done()
    torch.testing.assert_close(*_norms(folder))


def test_a_shorter_file_at_the_place_is_replaced(folder, command) -> None:
    command.output = folder / "out.safetensors"
    save_file({"w": torch.ones(2)}, command.output)
    command.done()
    assert command.output.stat().st_size > 1000
