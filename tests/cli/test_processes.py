"""The command line as people start it: real processes, few of them, because each imports torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("arguments", [["--help"], ["spec", "--help"], ["untie", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(repository: Path, arguments: list[str]) -> None:
    code = (
        "import sys\nfrom wsp.main import main\n"
        f"sys.argv = ['wsp', *{arguments}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print([name for name in ('torch', 'numpy', 'scipy', 'timm', 'transformers') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": f"{repository}{os.pathsep}{repository / 'cli'}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "wsp" in done.stdout


@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_the_commands_of_the_demo_on_trained_checkpoints(start, repository: Path, tmp_path: Path, net: str) -> None:
    zoo = repository / "checkpoints_zoo"
    a, b = (zoo / f"digits_{net}_{i}.safetensors" for i in (0, 1))
    common = ("--arch", f"{zoo}/models.py:digits_{net}", "--data", zoo / "digits", "--json")
    barrier = start("barrier", a, b, *common, "-o", tmp_path / "plot.png", "--points", "5")
    merge = start("merge", a, b, *common, "-o", tmp_path / "merged.safetensors")
    curves, merged = (json.loads(process.communicate()[0]) for process in (barrier, merge))
    assert barrier.returncode == merge.returncode == 0
    assert merged["preservation_error"] < 1e-12
    assert curves["aligned_reset"]["barrier"] < curves["naive"]["barrier"]
    middle = curves["aligned_reset"]["accuracy"][2]
    assert middle > curves["naive"]["accuracy"][2]
    assert (tmp_path / "merged.safetensors").stat().st_size > 1000
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_an_expected_failure_is_one_line_and_the_traceback_is_for_those_who_ask(start, tmp_path: Path) -> None:
    (tmp_path / "empty.pt").touch()
    plain = start("spec", tmp_path / "empty.pt")
    debug = start("spec", tmp_path / "empty.pt", env={"WSP_DEBUG": "1"})
    stdout, stderr = plain.communicate()
    assert (plain.returncode, stdout, stderr.count("\n")) == (1, "", 1)
    assert "empty.pt" in stderr
    assert "Traceback" in debug.communicate()[1]
    assert debug.returncode == 1


def test_a_reader_that_leaves_is_no_error_message(start, mlp_pair) -> None:
    with start("spec", mlp_pair[0]) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_behind_stdout_is_told(start, mlp_pair) -> None:
    with Path("/dev/full").open("w") as full, start("spec", mlp_pair[0], stdout=full) as process:
        told = process.stderr.read()
    assert process.returncode == 1
    assert "no space" in told
    assert told.count("\n") == 1


def test_wrong_usage_exits_with_2(start) -> None:
    process = start("align", "only-one.pt")
    stdout, stderr = process.communicate()
    assert process.returncode == 2
    assert stdout == ""
    assert "Usage" in stderr
