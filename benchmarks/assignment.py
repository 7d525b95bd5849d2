"""Linear assignment against scipy and lap/lapx in the same run: cold, warm-started, in batches, on a GPU.

    python benchmarks/assignment.py [--quick] [--largest N] [--json FILE]

One thread. Times are CPU time of this thread, so that other processes on the machine disturb less; each is the best of
several calls, solvers in turn. `solve` is timed with all it does: checks, prices, certificate. An answer is optimal if
its value is scipy's and its gap is at most 1e-9, both relative to max(|value|, n eps32 max|scores|). The floor is one
read of the scores, at the speed at which torch sums them here. With a GPU also the auction there, in wall-clock time.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from typing import Any

import torch
from harness import options, publish
from harness.clock import cpu_seconds
from harness.gpu import on_device
from harness.scores import FAMILIES, pair, scores
from rich.progress import track
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from weightspace.assignment import Matching, solve

Row = dict[str, Any]
SIZES = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
QUICK_LARGEST = 1024
LAP_LARGEST = 4096  # beyond, lapjv takes many minutes on some families
MOVED = (0.01, 0.05, 0.3)  # share of the inputs that another permutation moves before a warm start
BATCHES = ((256, 64), (64, 128), (16, 256), (8, 512))
OPTIMAL = 1e-9


def cold(family: str, n: int, budget: float) -> Row:
    """One matrix, from nothing."""
    matrix = scores(family, n)
    array = matrix.numpy()
    calls: dict[str, Any] = {
        "seconds": lambda: solve(matrix),
        "scipy_seconds": lambda: linear_sum_assignment(array, maximize=True),
        "floor_seconds": lambda: matrix.sum(),
    }
    if importlib.util.find_spec("lap") and n <= LAP_LARGEST:
        from lap import lapjv  # of lapx, or of lap

        calls["lapjv_seconds"] = lambda: lapjv(-array)
    solve(matrix[:8, :8])  # compiled and loaded
    row: Row = {"part": "cold", "family": family, "n": n, **cpu_seconds(calls, budget)}
    return {**row, **ratios(row), "passes_at_floor": row["seconds"] / row["floor_seconds"], **judged(matrix)}


def warm(family: str, n: int, moved: float, budget: float) -> Row:
    """The scores after a neighbour's permutation moved some inputs, with the solution from before and without."""
    a, b = pair(family, n)
    before = solve(a @ b.T)
    inputs = torch.arange(n)
    some = torch.randperm(n, generator=torch.Generator().manual_seed(1))[: round(moved * n)]
    inputs[some] = some.roll(1)
    matrix = a @ b[:, inputs].T
    array = matrix.numpy()
    calls = {
        "seconds": lambda: solve(matrix, warm=before),
        "cold_seconds": lambda: solve(matrix),
        "scipy_seconds": lambda: linear_sum_assignment(array, maximize=True),
    }
    row: Row = {"part": f"warm, {moved:.0%} moved", "family": family, "n": n, **cpu_seconds(calls, budget)}
    return {**row, **ratios(row), "over_cold": row["cold_seconds"] / row["seconds"], **judged(matrix, before)}


def batch(count: int, n: int, budget: float) -> Row:
    """Many matrices of one size in one call, all families in turn."""
    names = list(FAMILIES)
    matrices = torch.stack([scores(names[seed % len(names)], n, seed) for seed in range(count)])
    calls = {
        "seconds": lambda: solve(matrices),
        "cold_seconds": lambda: [solve(matrix) for matrix in matrices],
        "scipy_seconds": lambda: [linear_sum_assignment(matrix.numpy(), maximize=True) for matrix in matrices],
    }
    row: Row = {"part": f"batch of {count}", "family": "all in turn", "n": n, **cpu_seconds(calls, budget)}
    return {**row, **ratios(row), "over_cold": row["cold_seconds"] / row["seconds"], **judged(matrices)}


def ratios(row: Row) -> Row:
    lap = row.get("lapjv_seconds")
    return {
        "speedup": row["scipy_seconds"] / row["seconds"],
        "speedup_over_lapjv": lap / row["seconds"] if lap else None,
    }


def judged(matrices: Tensor, start: Matching | None = None) -> Row:
    """How far values lie below scipy's, and the gaps; the worst of a batch."""
    found = solve(matrices, warm=start)
    n, short, gap = matrices.shape[-1], 0.0, 0.0
    values, gaps = found.value.reshape(-1).tolist(), found.gap.reshape(-1).tolist()
    for matrix, value, own in zip(matrices.reshape(-1, n, n), values, gaps, strict=True):
        chosen = torch.from_numpy(linear_sum_assignment(matrix.numpy(), maximize=True)[1])
        best = float(matrix.gather(1, chosen[:, None]).sum(dtype=torch.float64))
        unit = max(abs(best), n * torch.finfo(torch.float32).eps * float(matrix.abs().max()))
        short, gap = max(short, (best - value) / unit), max(gap, own / unit)
    return {"below_scipy": short, "gap": gap, "optimal": short <= OPTIMAL and gap <= OPTIMAL}


def geometric_mean(values: Sequence[float]) -> float | None:
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if values else None


def summarise(rows: list[Row]) -> Row:
    single = [row for row in rows if row["part"] == "cold"]
    sizes = sorted({row["n"] for row in single})
    return {
        "all_optimal": all(row["optimal"] for row in rows),
        "speedup_geomean_512": geometric_mean([row["speedup"] for row in single if row["n"] >= 512]),
        "speedup_min": min(row["speedup"] for row in single),
        "speedup_by_size": {n: geometric_mean([row["speedup"] for row in single if row["n"] == n]) for n in sizes},
        "speedup_over_lapjv_geomean_512": geometric_mean(
            [row["speedup_over_lapjv"] for row in single if row["n"] >= 512 and row["speedup_over_lapjv"]]
        ),
        "passes_at_floor_by_size": {
            n: geometric_mean([row["passes_at_floor"] for row in single if row["n"] == n]) for n in sizes
        },
        "warm_over_cold_min": min(row["over_cold"] for row in rows if row["part"].startswith("warm")),
        "batch_over_single_min": min(row["over_cold"] for row in rows if row["part"].startswith("batch")),
        "gpu_products_worth": {
            f"{row['part']}, n {row['n']}, {row['family']}": row["seconds"] / row["product_seconds"]
            for row in rows
            if "product_seconds" in row
        },
        "worst_gap": max(row["gap"] for row in rows),
    }


COLUMNS = {
    "part": "case", "family": "family", "n": "n", "seconds": "ours, s", "scipy_seconds": "scipy, s",
    "lapjv_seconds": "lapjv, s", "speedup": "over scipy", "speedup_over_lapjv": "over lapjv",
    "over_cold": "over cold or single", "product_seconds": "product, s",
    "floor_seconds": "one read, s", "passes_at_floor": "reads' worth",
    "below_scipy": "below scipy", "gap": "gap", "optimal": "optimal",
}  # fmt: skip


def main() -> None:
    parser = options("Linear assignment against scipy and lap/lapx.")
    parser.add_argument("--largest", type=int, default=SIZES[-1], metavar="N", help="largest matrix (8192)")
    arguments = parser.parse_args()
    largest = min(arguments.largest, QUICK_LARGEST) if arguments.quick else arguments.largest
    budget = 0.1 if arguments.quick else 1.0
    torch.set_num_threads(1)
    has_gpu = torch.cuda.is_available()
    sizes = [n for n in SIZES if n <= largest]
    rows = [cold(family, n, budget) for n in track(sizes, description="sizes", transient=True) for family in FAMILIES]
    changing = min(largest, QUICK_LARGEST if arguments.quick else 2048)
    rows += [warm(family, changing, moved, budget) for family in ("trained, planted", "planted") for moved in MOVED]
    rows += [batch(count, n, budget) for count, n in BATCHES if n <= largest]
    rows += on_device("cuda", ((1, 4096),)) if has_gpu and arguments.quick else on_device("cuda") if has_gpu else []
    summary = summarise(rows)
    notes = [f"{key}: {value}" for key, value in summary.items()]
    if not has_gpu:
        notes.append("GPU: left out, there is none here; tests run the same code on the CPU")
    if not importlib.util.find_spec("lap"):
        notes.append("lapjv: left out, neither lapx nor lap is installed")
    elif largest > LAP_LARGEST:
        notes.append(f"lapjv: left out above n = {LAP_LARGEST}, where it takes many minutes on some families")
    publish("Linear assignment", COLUMNS, rows, summary, arguments, notes)


if __name__ == "__main__":
    main()
