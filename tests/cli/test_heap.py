"""Large tensors go back to the system when they are dropped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import re, sys, torch
from pathlib import Path
from wsp.heap import give_back_when_freed
def held():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
if sys.argv[1] == "yes":
    give_back_when_freed()
torch.ones(8 << 20).sum()  # 32 MB: from here on glibc keeps what is smaller
before = held()
kept = []
for _ in range(40):
    block = torch.ones(4 << 20)
    kept.append(torch.ones(1 << 10))  # lies between, so that the heap cannot shrink
    del block
blocks = [torch.ones(4 << 20) for _ in range(20)]
small = [torch.ones(1 << 10) for _ in range(100)]
del blocks
print(held() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says what a process holds")
def test_what_is_dropped_is_given_back():
    found = subprocess.run([sys.executable, "-c", CODE, "yes"], check=True, capture_output=True, text=True)
    assert int(found.stdout) < 40  # MB, of 320 that were held
