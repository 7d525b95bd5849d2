"""Weight matching to convergence beside the plain recipe: time, memory, and what each part takes.

    python benchmarks/alignment.py [--quick] [--only TEXT] [--json FILE]

Pairs are shaped as real networks are: Gaussian layers whose units differ in norm, against a copy that was moved by a
random group element and given noise of half the deviation of its weights ("planted"), or against another such network
("independent"). Both sides maximise the plain sum of inner products; ours with one start (the frontier), the plain
recipe from the order as given. Each runs in a process of its own, with the same number of threads, and its memory is
the peak of that process less what it held before. The plain recipe on a whole billion parameters takes hours: it runs
in full on four layers, and of sixteen on the groups of two layers and the residual stream once each, times the number
of sweeps that it took on four.

The floor: forming every cost once, at the rate of a plain float32 product measured in the same process.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import networks
import torch
from harness import options, publish
from peers.git_rebasin import PlainRecipe
from rich.progress import track
from torch import Tensor

from weightspace.align import single
from weightspace.align.problem import Problem
from weightspace.align.search import Search
from weightspace.symmetry import Spec, derive

State = dict[str, Tensor]
NOISE = 0.5


@dataclass(frozen=True)
class Case:
    """A pair of networks.

    Attributes:
        model: What the summary calls it.
        build: The network on the meta device, and inputs.
        planted: Whether the second is a moved copy of the first with noise.
        layers: Of how many layers the plain recipe visits groups, once each, to extrapolate; None to run it in full.
        quick: Whether it belongs to --quick.
    """

    model: str
    build: Callable[[], networks.Network]
    planted: bool = True
    layers: int | None = None
    quick: bool = False


CASES = {
    "ResNet-20 x4, planted": Case("resnet20x4", partial(networks.resnet20, 4), quick=True),
    "ResNet-50, planted": Case("resnet50", partial(networks.timm, "resnet50", meta=True)),
    "ResNet-50, independent": Case(
        "resnet50_independent", partial(networks.timm, "resnet50", meta=True), planted=False
    ),
    "ViT-B, planted": Case("vit_b", partial(networks.timm, "vit_base_patch16_224", meta=True)),
    "ViT-B, independent": Case(
        "vit_b_independent", partial(networks.timm, "vit_base_patch16_224", meta=True), planted=False
    ),
    "Llama, 4 of 16 layers, planted": Case("llama_4_layers", partial(networks.llama, 4, meta=True, **networks.BILLION)),
    "Llama 1B, planted": Case("llama_1b", partial(networks.llama, 16, meta=True, **networks.BILLION), layers=2),
}


def weights_of(spec: Spec, seed: int) -> State:
    """Gaussian layers with units of unequal norms."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in spec.tensors.items():
        values = torch.randn(tensor.shape, generator=generator)
        for axis in range(min(values.dim(), 2)):
            shape = [-1 if place == axis else 1 for place in range(values.dim())]
            values *= torch.exp(0.5 * torch.randn(values.shape[axis], generator=generator)).reshape(shape)
        state[name] = values / max(1, math.prod(tensor.shape[1:])) ** 0.5
    return state


def pair(spec: Spec, *, planted: bool) -> tuple[State, State]:
    a = weights_of(spec, 0)
    if not planted:
        return a, weights_of(spec, 1)
    generator = torch.Generator().manual_seed(1)
    b = spec.apply(spec.random_element(generator), a)
    for name, tensor in b.items():
        noise = torch.randn(tensor.shape, generator=generator)
        b[name] = tensor + NOISE * tensor.std(correction=0) * noise
    return a, b


class Clocked:
    """A function that notes how long its calls took in all."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.seconds = function, 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return self.function(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - began


def spec_of(case: Case) -> Spec:
    module, inputs = case.build()
    return derive(module, inputs.args, inputs.kwargs)


def ours(case: Case) -> dict[str, Any]:
    spec = spec_of(case)
    a, b = pair(spec, planted=case.planted)
    single.solve(torch.eye(300))  # loading compiled code takes a second, once in a process
    before = held(reset=True)
    single.solve = assigning = Clocked(single.solve)  # type: ignore[assignment]
    Problem._form = forming = Clocked(Problem._form)  # type: ignore[method-assign]
    Problem._form = lambda self, *args: forming(self, *args)  # type: ignore[method-assign]
    began = time.perf_counter()
    problem = Problem(a, b, spec, torch.device("cpu"))
    sweeps = Search(problem, restarts=1, seed=0).run()
    seconds = time.perf_counter() - began
    peak = held() - before
    return {
        "objective": problem.objective(), "sweeps": sweeps, "seconds": seconds, "forming": forming.seconds,
        "assigning": assigning.seconds, "peak_bytes": peak, "flops": problem.work,
        "parameters": sum(tensor.numel() for tensor in a.values()), "groups": len(spec.groups),
        "flops_once": sum(
            2 * a[term.block.tensor].numel() * dim.size
            for term in problem.terms for dim in term.block.dims if dim.group in problem.movable
        ),
        "flops_per_second": rate(),
    }  # fmt: skip


def rate() -> float:
    """Operations per second of a float32 product on this machine, now."""
    x, y = torch.randn(2048, 2048), torch.randn(2048, 2048)
    x @ y
    began = time.perf_counter()
    for _ in range(3):
        x @ y
    return 3 * 2 * 2048**3 / (time.perf_counter() - began)


def plain(case: Case) -> dict[str, Any]:
    spec = spec_of(case)
    a, b = pair(spec, planted=case.planted)
    before = held(reset=True)
    recipe = PlainRecipe(a, b, spec)
    began = time.perf_counter()
    if case.layers is None:
        sweeps = recipe.run(0)
        seconds = time.perf_counter() - began
        peak = held() - before
        problem = Problem(a, b, spec, torch.device("cpu"))
        problem.move_to(recipe.element)
        return {
            "objective": problem.objective(), "sweeps": sweeps, "seconds": seconds, "forming": recipe.forming,
            "assigning": recipe.assigning, "peak_bytes": peak,
        }  # fmt: skip
    layered = [group.name for group in spec.groups if len(carriers(spec, group.name)) < 10]
    total = 0.0
    chosen = [
        name for name in layered if any(f"layers.{n}." in t for n in range(case.layers) for t in carriers(spec, name))
    ]
    for group in spec.groups:
        if group.name in chosen or group.name not in layered:
            began = time.perf_counter()
            recipe.visit(group.name)
            total += (time.perf_counter() - began) * (len(layered) / len(chosen) if group.name in chosen else 1)
    return {"seconds_per_sweep": total, "peak_bytes": held() - before}


def carriers(spec: Spec, group: str) -> list[str]:
    return [name for name, blocks in spec.blocks.items() if any(group in block.groups for block in blocks)]


def held(*, reset: bool = False) -> int:
    """Peak memory of this process in bytes, since the last reset; after a reset, what it holds now."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])


def in_process(function: Callable[[Case], dict[str, Any]], name: str) -> dict[str, Any]:
    """Runs a function on a case in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_called, (function.__name__, name, torch.get_num_threads()))


def _called(function: str, name: str, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    return {"ours": ours, "plain": plain}[function](CASES[name])


def row_of(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    case = CASES[name]
    mine, other = in_process(ours, name), in_process(plain, name)
    if case.layers is not None:
        sweeps = next(row["plain_sweeps"] for row in rows if row["model"] == "llama_4_layers")
        other |= {"seconds": sweeps * other["seconds_per_sweep"], "sweeps": sweeps, "extrapolated": True}
    floor = mine["flops_once"] / mine["flops_per_second"]
    row = {"pair": name, "model": case.model, "parameters": mine["parameters"], "groups": mine["groups"]}
    row |= {f"ours_{key}": value for key, value in mine.items()} | {f"plain_{key}": v for key, v in other.items()}
    row |= {
        "speedup": other["seconds"] / mine["seconds"], "floor_seconds": floor, "over_floor": mine["seconds"] / floor,
        "objective_ratio": mine["objective"] / other["objective"] if "objective" in other else None,
        "memory_ratio": other["peak_bytes"] / max(1, mine["peak_bytes"]),
    }  # fmt: skip
    return row


COLUMNS = {
    "pair": "pair",
    "parameters": "parameters",
    "ours_seconds": "ours, s",
    "ours_forming": "costs",
    "ours_assigning": "assignment",
    "ours_sweeps": "sweeps",
    "plain_seconds": "plain, s",
    "plain_forming": "costs",
    "plain_assigning": "assignment",
    "plain_sweeps": "sweeps",
    "speedup": "speed-up",
    "objective_ratio": "objective, ours / plain",
    "floor_seconds": "floor, s",
    "over_floor": "over floor",
    "ours_peak_bytes": "memory, ours",
    "plain_peak_bytes": "plain",
}


def main() -> None:
    parser = options("Align pairs shaped as real networks, beside the plain recipe of Git Re-Basin.")
    parser.add_argument("--only", default="", metavar="TEXT", help="pairs whose name contains it")
    arguments = parser.parse_args()
    chosen = [name for name, case in CASES.items() if arguments.only in name and (case.quick or not arguments.quick)]
    rows: list[dict[str, Any]] = []
    for name in track(chosen, description="pairs", transient=True):
        rows.append(row_of(name, rows))
    summary = {f"speedup_{row['model']}": row["speedup"] for row in rows}
    summary |= {
        "objective_at_least_equal": all(
            row["objective_ratio"] is None or row["objective_ratio"] >= 1 - 1e-6 for row in rows
        ),
        "threads": torch.get_num_threads(),
    }
    publish("Weight matching", COLUMNS, rows, summary, arguments, [f"{k}: {v}" for k, v in summary.items()])


if __name__ == "__main__":
    main()
