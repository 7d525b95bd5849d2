"""How far a search says it is."""

from __future__ import annotations

import torch

from tests.align.oracle import attention_spec, random_state
from weightspace.align import align


def test_progress_never_falls_and_moves_within_a_start():
    spec = attention_spec()
    a, b = random_state(spec, 0), random_state(spec, 1)
    seen: list[float] = []
    align(a, b, spec, restarts=5, progress=lambda done, total, _: seen.append(done / total))
    assert seen == sorted(seen)
    assert seen[0] == 0.0
    assert seen[-1] == 1.0
    assert any(0.0 < share < 0.2 for share in seen)  # within the first start


def test_a_single_start_shows_its_passes():
    spec = attention_spec()
    a, b = random_state(spec, 0), random_state(spec, 1)
    b = spec.apply(spec.random_element(torch.Generator().manual_seed(0)), b)
    seen: list[float] = []
    align(a, b, spec, restarts=1, progress=lambda done, *_: seen.append(done))
    assert seen == sorted(seen)
    assert any(0.0 < share <= 0.5 for share in seen)
    assert any(0.5 < share < 1.0 for share in seen)
