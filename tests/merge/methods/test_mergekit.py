"""The same merges by mergekit, which gives the same; run where WSP_MERGEKIT_PYTHON names an interpreter that has it.

Some things are done otherwise here, on purpose, and so not compared: rows of tensors of more than two axes (mergekit
takes the last axis), `gamma` so small that it drops nothing (mergekit then drops everything), and thresholds on lengths
that are not relative.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.merge.methods.cases import CASES, Options, count, drawn, filled, normal, on_grid, takes_base, uniforms
from weightspace.merge.methods import known_merge_method, merge_tensors

PYTHON = os.environ.get("WSP_MERGEKIT_PYTHON")
pytestmark = pytest.mark.skipif(not PYTHON, reason="WSP_MERGEKIT_PYTHON names no interpreter with mergekit")

OURS = ("nlerp", "consensus")
SHAPES = [(37, 29), (400,)]
TRIED = [
    (method, options, dtype, shape)
    for method, options in CASES
    for dtype in ("float32", "bfloat16")
    for shape in SHAPES
    if method not in OURS and 0.0 not in np.ravel(options.get("gamma", 1.0))
]
# In bfloat16 mergekit's variances differ from ours by more than some are apart.
TRIED = [case for case in TRIED if not (case[2] == "bfloat16" and case[1].get("select_topk", 1.0) < 1)]


def named(case: tuple[str, Options, str, tuple[int, ...]]) -> str:
    return f"{case[0]}-{','.join(f'{name}={value}' for name, value in case[1].items())}-{case[2]}-{len(case[3])}d"


def inputs(number: int) -> tuple[list[Tensor], Tensor, list[Tensor]]:
    """Models and a base of a case; in bfloat16 such that their differences are exact, with masks as given."""
    method, _, dtype, shape = TRIED[number]
    values = normal if dtype == "float32" else on_grid
    tensors, base = values(count(method), shape, number)
    uniform = uniforms(count(method), shape, number)
    # In bfloat16 ranks are not unique: masks do not depend on them.
    return tensors, base, uniform if dtype == "float32" else [(each > 0.6).float() for each in uniform]


@cache
def by_mergekit() -> dict[int, Tensor]:
    assert PYTHON is not None
    arrays: dict[str, Any] = {}
    cases = []
    for number, (method, options, dtype, _) in enumerate(TRIED):
        tensors, base, uniform = inputs(number)
        arrays[f"{number}/base"] = base.numpy()
        arrays[f"{number}/models"] = torch.stack(tensors).numpy()
        arrays[f"{number}/uniform"] = torch.stack(uniform).numpy()
        every = filled(method, options)
        densities = every.get("density", [1.0] * len(tensors))
        cases.append(
            {"method": method, "options": every, "dtype": dtype, "base": takes_base(method), "densities": densities}
        )
    with TemporaryDirectory() as folder:
        given, results = Path(folder) / "cases.npz", Path(folder) / "results.npz"
        np.savez(given, cases=json.dumps(cases), **arrays)
        runner = Path(__file__).parent / "mergekit_runner.py"
        done = subprocess.run([PYTHON, runner, given, results], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with np.load(results) as found:
            return {int(number): torch.from_numpy(found[number]) for number in found.files}


def at_threshold(method: str, options: Options, tensors: list[Tensor], base: Tensor) -> Tensor:
    """Where a task vector has the magnitude that is the last to be selected: mergekit takes any of its equals."""
    every, found = filled(method, options), torch.zeros(base.shape, dtype=torch.bool)
    if method not in ("ties", "breadcrumbs", "breadcrumbs_ties"):
        return found
    for model, tensor in enumerate(tensors):
        sizes = (tensor - base).abs()
        kept = int(every["density"][model] * base.numel())
        dropped = min(int(every.get("gamma", [0.0] * 3)[model] * base.numel()), base.numel() - kept)
        ordered = sizes.reshape(-1).sort(descending=True).values
        for rank in (kept + dropped, dropped):
            if rank > 0 and every["density"][model] < 1:
                found |= sizes == ordered[rank - 1]
    return found


@pytest.mark.parametrize("number", range(len(TRIED)), ids=lambda number: named(TRIED[number]))
def test_it_gives_what_mergekit_gives(number) -> None:
    method, options, dtype, _ = TRIED[number]
    tensors, base, uniform = inputs(number)
    type_ = getattr(torch, dtype)
    found = merge_tensors(
        method,
        [tensor.to(type_) for tensor in tensors],
        base.to(type_) if takes_base(method) else None,
        options=options,
        draw=drawn(uniform, known_merge_method(method), 256),
        chunk=256,
    ).float()
    compared = torch.ones_like(found, dtype=torch.bool)
    if dtype == "bfloat16":
        compared = ~at_threshold(method, options, tensors, base)
        assert compared.float().mean() > 0.5
    wanted = by_mergekit()[number]
    errors = (found - wanted)[compared].abs() / max(1.0, float(wanted.abs().max()))
    if dtype == "float32":
        assert float(errors.max()) <= 1e-6
    else:  # where mergekit rounds after every step
        # Of sums near 0 its signs are others, and then what is elected.
        assert float(errors.quantile(0.98)) <= 2**-6
        assert known_merge_method(method).option("density") is not None or float(errors.max()) <= 2**-5
