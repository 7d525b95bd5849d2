"""The package works where numba is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tests.assignment.families import check_matching, independent
from weightspace.assignment import solve
from weightspace.assignment.backends import has_numba
from weightspace.errors import AlignmentError

# A process in which neither numba nor llvmlite can be imported.
ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"numba", "llvmlite"}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
"""


def test_scipy_answers_in_a_process_without_numba():
    program = ABSENT + (
        "import torch\n"
        "from weightspace.assignment import assign, solve\n"
        "scores = torch.eye(4).flip(0)\n"
        "found = solve(scores)\n"
        "print(assign(scores).tolist(), float(found.value), float(found.gap))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[3, 2, 1, 0] 4.0 0.0"


@pytest.mark.parametrize("error", [ImportError("Numba needs NumPy 2.3 or less"), AttributeError("types")])
def test_auto_falls_back_and_numba_is_refused(monkeypatch: pytest.MonkeyPatch, error: Exception):
    def refuse(_name: str) -> None:
        raise error

    monkeypatch.setattr("weightspace.assignment.backends.import_module", refuse)
    has_numba.cache_clear()
    try:
        scores = independent(30, 40)
        check_matching(scores, solve(scores))
        with pytest.raises(AlignmentError, match=r"pip install 'weightspace\[fast\]'"):
            solve(torch.zeros(2, 2), backend="numba")
    finally:
        has_numba.cache_clear()


def test_importing_the_interface_does_not_import_numba():
    program = "import sys, weightspace.assignment; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
