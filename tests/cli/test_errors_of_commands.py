import errno

import pytest
import typer
from typer.testing import CliRunner

from weightspace.errors import DataError
from wsp.errors import message_for, reports_errors


def end_of(error: BaseException):
    app = typer.Typer()

    @app.command()
    @reports_errors
    def command() -> None:
        raise error

    return CliRunner().invoke(app, [])


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (DataError("x.npz: expected y,\nfound none; add it"), ["x.npz: expected y, found none; add it"]),
        (OSError(errno.ENOSPC, "No space left on device", "out.png"), ["out.png", "no space left", "free some"]),
        (PermissionError(errno.EACCES, "Permission denied", "f"), ["f: permission denied", "permissions"]),
        (OSError(errno.EIO, "Input/output error", "f"), ["f: Input/output error", "check"]),
        (MemoryError(), ["out of memory"]),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"), ["out of memory"]),
    ],
)
def test_what_people_can_mend_is_one_line_with_the_next_step(error: Exception, parts: list[str]) -> None:
    result = end_of(error)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr
    assert "bug" not in result.stderr


def test_what_nobody_foresaw_is_called_a_bug(monkeypatch) -> None:
    result = end_of(KeyError("oops"))
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    for part in ("bug", "KeyError", "oops", "WSP_DEBUG=1"):
        assert part in result.stderr
    monkeypatch.setenv("WSP_DEBUG", "1")
    assert "Traceback" in end_of(KeyError("oops")).stderr


def test_an_interruption_is_told_from_a_failure() -> None:
    result = end_of(KeyboardInterrupt())
    assert result.exit_code == 130
    assert result.stderr.count("\n") == 1


def test_wrong_usage_and_a_plain_exit_pass_through() -> None:
    assert end_of(typer.BadParameter("no")).exit_code == 2
    assert end_of(typer.Exit(3)).exit_code == 3


def test_gpu_memory_is_known_by_its_name() -> None:
    assert "--device cpu" in message_for(type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"))
