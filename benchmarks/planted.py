"""Planted group elements: derive the symmetry of a network, verify it, move its weights by a random element, align.

    python benchmarks/planted.py [--quick] [--seeds N] [--noise SHARE] [--restarts N] [--json FILE]

Weights are random (see `weightspace.symmetry.randomized`), in float64 for the verification; costs are formed in float32
as always. With noise, Gaussian noise of the given share of each tensor's deviation is added to the moved weights before
alignment, and the distance is that of the moved weights *without* noise under the element found: zero if and only if it
is the planted one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import networks
import torch
from harness import options, publish
from rich.progress import track
from torch import Tensor

from weightspace.align import align
from weightspace.source import Program
from weightspace.symmetry import derive, randomized, verify

State = dict[str, Tensor]
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Case:
    """A network: how to get it, and whether it is small enough for --quick."""

    build: Callable[[], networks.Network]
    small: bool


CASES = {
    "MLP, 3 x 512": Case(networks.mlp, small=True),
    "ResNet-20 x1": Case(partial(networks.resnet20, 1), small=True),
    "ResNet-20 x2": Case(partial(networks.resnet20, 2), small=False),
    "ResNet-20 x4": Case(partial(networks.resnet20, 4), small=False),
    "ResNet-20 x8": Case(partial(networks.resnet20, 8), small=False),
    "VGG-11, CIFAR": Case(networks.vgg, small=False),
    "gpt2, 2 layers": Case(networks.gpt2, small=True),
    "llama, 2 layers": Case(networks.llama, small=True),
    "timm vit_tiny_patch16_224": Case(partial(networks.timm, "vit_tiny_patch16_224"), small=False),
    "timm convnext_atto": Case(partial(networks.timm, "convnext_atto"), small=False),
    "timm resnet18": Case(partial(networks.timm, "resnet18"), small=False),
}


def measure(name: str, case: Case, seeds: int, noise: float, restarts: int) -> list[dict[str, Any]]:
    """The rows of one network: for every seed without noise and with it."""
    torch.manual_seed(0)
    module, inputs = case.build()
    began = time.perf_counter()
    spec = derive(module, inputs.args, inputs.kwargs)
    derived = time.perf_counter() - began
    size = sum(parameter.numel() for parameter in module.parameters())
    program = Program(module, inputs)
    rows = []
    state = randomized(program.state(), spec, 0)
    verification = verify(spec, program.outputs, state, elements=1, groups=2)
    for seed in range(seeds):
        a = randomized(program.state(), spec, seed)
        planted = spec.random_element(torch.Generator().manual_seed(1000 + seed))
        b = spec.apply(planted, a)
        for share in dict.fromkeys((0.0, noise)):
            alignment = align(a, noisy(b, share, seed), spec, seed=seed, restarts=restarts)
            missed = distance(spec.apply(alignment.element, b), a)
            rows.append(
                {
                    "network": name, "parameters": size, "groups": len(spec.groups),
                    "completeness": spec.completeness, "derive_seconds": derived, "verified": verification.verified,
                    "verification_error": verification.max_error, "seed": seed, "noise": share,
                    "start_distance": distance(b, a), "distance": missed, "recovered": missed < TOLERANCE,
                    "sweeps": alignment.sweeps, "align_seconds": alignment.seconds,
                }
            )  # fmt: skip
    return rows


def noisy(state: State, share: float, seed: int) -> State:
    """Every floating tensor with noise of a share of its own deviation; one value has none."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + share * tensor.std(correction=0) * torch.randn(tensor.shape, generator=generator).to(tensor)
        if tensor.is_floating_point() and share
        else tensor
        for name, tensor in state.items()
    }


def distance(found: State, expected: State) -> float:
    """Norm of the difference over the norm of what is expected, over all floating tensors of the state."""
    names = [name for name, tensor in expected.items() if tensor.is_floating_point()]
    missed = sum(float((found[name] - expected[name]).square().sum()) for name in names)
    return (missed / sum(float(expected[name].square().sum()) for name in names)) ** 0.5


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    clean = [row for row in rows if not row["noise"]]
    with_noise = [row for row in rows if row["noise"]]
    return {
        "networks": len({row["network"] for row in rows}),
        "recovered_share": share_recovered(clean),
        "recovered_share_with_noise": share_recovered(with_noise),
        "worst_distance": max(row["distance"] for row in clean),
        "worst_verification_error": max(row["verification_error"] for row in rows),
        "all_verified": all(row["verified"] for row in rows),
    }


def share_recovered(rows: list[dict[str, Any]]) -> float | None:
    return sum(row["recovered"] for row in rows) / len(rows) if rows else None


COLUMNS = {
    "network": "network", "parameters": "parameters", "groups": "groups", "completeness": "complete",
    "derive_seconds": "derive, s", "verified": "verified", "verification_error": "error", "seed": "seed",
    "noise": "noise", "start_distance": "distance before", "distance": "after", "recovered": "recovered",
    "sweeps": "sweeps", "align_seconds": "align, s",
}  # fmt: skip


def main() -> None:
    parser = options("Plant random group elements in random networks and find them again.")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="elements per network (20; 1 with --quick)")
    parser.add_argument("--noise", type=float, default=0.5, metavar="SHARE", help="deviation of the noise (0.5)")
    parser.add_argument("--restarts", type=int, default=2, metavar="N", help="starts of the search (2)")
    arguments = parser.parse_args()
    cases = {name: case for name, case in CASES.items() if case.small or not arguments.quick}
    rows = []
    for name in track(cases, description="networks", transient=True):
        rows += measure(
            name, cases[name], 1 if arguments.quick else arguments.seeds, arguments.noise, arguments.restarts
        )
    summary = summarise(rows)
    publish("Planted group elements", COLUMNS, rows, summary, arguments, [f"{k}: {v}" for k, v in summary.items()])


if __name__ == "__main__":
    main()
