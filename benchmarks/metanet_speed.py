"""How fast metanetworks train: networks per second for forward, backward and AdamW, in every form.

    python benchmarks/metanet_speed.py [--quick] [--threads N] [--width N] [--layers N] [--batch N] [--device NAME]
        [--json FILE]

Three architectures: CNNs of 4,970 parameters (the small CNN zoo's shape), SIRENs of 1,185 and MLPs of 9,578. `blocks`
is our graph metanetwork on dense blocks, `plain` the same function in plain PyTorch Geometric, edge by edge; `naive` a
graph metanetwork as they are usually written (`peers/gmn.py`): an edge for every single parameter, in each direction;
`dense` a matrix of all pairs of nodes, as Neural Graphs has it (`peers/neural_graphs.py`); `unf` our universal neural
functional. All have the same width and number of layers. Seconds are of CPU, the best of rounds in which all take their
turn. `micro` is how many networks `blocks` takes at a time; gradients add up. `gemm` is what the machine multiplies
matrices of ours (rows of edges by width x width) at, `share` how much of that `blocks` reaches, by the products it
needs. `memory` is what a process of its own took for one step of a form, beyond what it had before.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import options, publish
from harness.clock import cpu_seconds
from peers.gmn import NaiveMetanetwork
from peers.neural_graphs import DenseMetanetwork, matrices
from rich.progress import track
from torch import Tensor, nn
from torch_geometric.data import Batch

from weightspace.graph import graph_layout, to_graph
from weightspace.nn.blocks import Blocks
from weightspace.nn.gmn import GraphPredictor, Stacked
from weightspace.nn.gmn.wiring import wiring_of
from weightspace.nn.unf import UNF, InvariantUNF
from weightspace.symmetry import derive

OUTPUTS = 1


class Siren(nn.Module):
    """An implicit representation of a picture (Sitzmann et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 32), nn.Linear(32, 32), nn.Linear(32, 1)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.sin(30 * layer(x))
        return self.layers[-1](x)


def cnn() -> tuple[nn.Module, Tensor]:
    layers = [nn.Conv2d(1, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)), torch.randn(1, 1, 28, 28)


def siren() -> tuple[nn.Module, Tensor]:
    return Siren(), torch.randn(4, 2)


def mlp() -> tuple[nn.Module, Tensor]:
    layers = [nn.Linear(64, 80), nn.ReLU(), nn.Linear(80, 48), nn.ReLU(), nn.Linear(48, 10)]
    return nn.Sequential(*layers), torch.randn(1, 64)


NETWORKS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {"cnn": cnn, "siren": siren, "mlp": mlp}
MICRO = (1, 2, 4, 8, 16)


def training(model: nn.Module, parts: list[Any], targets: Tensor) -> Callable[[], None]:
    """A step over all parts of a batch."""
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    share = len(targets) // len(parts)

    def step() -> None:
        optimiser.zero_grad()
        for number, part in enumerate(parts):
            found = model(part)
            loss = (found[:, 0] - targets[number * share : (number + 1) * share]).square().sum() / len(targets)
            loss.backward()
        optimiser.step()

    return step


def peak_bytes(step: Callable[[], None]) -> int:
    """What a step takes at most beyond what there is: by a child that starts with this process's memory."""
    ctypes.CDLL(None).malloc_trim(0)  # freed memory would be used again unseen
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        before = status("VmRSS")
        step()
        os.write(writer, str(status("VmHWM") - before).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as told:
        return int(told.read())


def status(name: str) -> int:
    """A line of this process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def flops(wiring: Any, width: int, layers: int) -> float:
    """Of the products that a step needs for one network: forward once, backward twice."""
    layout = wiring.layout
    rows, nodes = wiring.edges, layout.nodes
    lifted = (
        sum(grid.size * parallel for grid, parallel in zip(layout.grids, wiring.parallel, strict=True)) * wiring.taps
    )
    return 3 * 2 * (layers * (3 * rows + 8 * nodes) * width**2 + lifted * width)


def gemm_rate(rows: int, width: int) -> float:
    """FLOP per second of a product (rows, width) x (width, width)."""
    edges, weight = torch.randn(rows, width), torch.randn(width, width)
    out = torch.empty(rows, width)
    taken = cpu_seconds({"gemm": lambda: torch.mm(edges, weight, out=out)}, 2.0)["gemm"]
    return 2 * rows * width**2 / taken


def measured(name: str, arguments: Any, budget: float) -> list[dict[str, Any]]:
    module, example = NETWORKS[name]()
    layout = graph_layout(derive(module.eval(), (example,)))
    states = []
    for seed in range(arguments.batch):
        torch.manual_seed(seed)
        states.append(NETWORKS[name]()[0].state_dict())
    targets = torch.randn(arguments.batch)
    width, layers = arguments.width, arguments.layers
    taps = max(each.taps for each in layout.entries)
    stacked = [
        [Stacked.of(layout, states[start : start + micro]) for start in range(0, len(states), micro)]
        for micro in MICRO
        if micro <= len(states)
    ]
    graphs = [to_graph(layout, state, taps=taps) for state in states]
    narrow = [to_graph(layout, state, taps=1) for state in states]
    dense = DenseMetanetwork(graphs[0], OUTPUTS, width, layers)
    steps = {
        f"blocks {len(states) // len(parts)}": training(
            GraphPredictor(OUTPUTS, width, layers, taps=taps), parts, targets
        )
        for parts in stacked
    }
    steps["plain"] = training(
        GraphPredictor(OUTPUTS, width, layers, taps=taps), [Batch.from_data_list(graphs)], targets
    )
    steps["naive"] = training(NaiveMetanetwork(OUTPUTS, width, layers), [Batch.from_data_list(narrow)], targets)
    steps["dense"] = training(dense, [matrices(graphs)], targets)
    functional = InvariantUNF(UNF(Blocks(layout.spec), width, layers), OUTPUTS)
    steps["unf"] = training(functional, [stacked[-1][0].tensors], targets)
    memory = {form: peak_bytes(step) for form, step in steps.items()}
    taken = cpu_seconds(steps, budget)
    blocks = min((key for key in taken if key.startswith("blocks")), key=taken.__getitem__)
    wiring = wiring_of(layout, taps, torch.device("cpu"))
    rate = gemm_rate(wiring.edges * int(blocks.split()[1]), width)
    rows = []
    for form, seconds in (
        (blocks, taken[blocks]),
        *((form, taken[form]) for form in ("plain", "naive", "dense", "unf")),
    ):
        row = {
            "network": name, "form": form.split()[0], "parameters": sum(each.numel() for each in states[0].values()),
            "edges": wiring.edges, "seconds": seconds, "per_second": len(states) / seconds,
            "ratio": seconds / taken[blocks], "memory": memory[form] / 2**20,
        }  # fmt: skip
        if form == blocks:
            needed = flops(wiring, width, layers) * len(states)
            row |= {"micro": int(form.split()[1]), "gflops": needed / seconds / 1e9, "gemm": rate / 1e9}
            row["share"] = needed / seconds / rate
        rows.append(row)
    return rows


COLUMNS = {
    "network": "networks", "form": "form", "parameters": "parameters", "edges": "edges", "micro": "micro",
    "per_second": "networks / s", "ratio": "blocks is faster by", "memory": "memory, MiB",
    "gflops": "GFLOP/s", "gemm": "gemm, GFLOP/s", "share": "share",
}  # fmt: skip


def main() -> None:
    parser = options("Metanetworks: networks per second of training.")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of torch (1)")
    parser.add_argument("--width", type=int, default=64, metavar="N", help="channels (64)")
    parser.add_argument("--layers", type=int, default=4, metavar="N", help="rounds of messages (4)")
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="networks in a step (16)")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="for each architecture (60)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.quick:
        arguments.seconds = 8.0
    listed = track(NETWORKS, description="architectures", transient=True)
    rows = [row for name in listed for row in measured(name, arguments, arguments.seconds)]
    of_cnn = {row["form"]: row for row in rows if row["network"] == "cnn"}
    summary = {
        "speedup_vs_naive": of_cnn["naive"]["ratio"], "speedup_vs_plain": of_cnn["plain"]["ratio"],
        "speedup_vs_dense_nxn": of_cnn["dense"]["ratio"], "gemm_share": of_cnn["blocks"]["share"],
        "unf_vs_blocks": 1 / of_cnn["unf"]["ratio"],
    }  # fmt: skip
    publish("Training of metanetworks", COLUMNS, rows, summary, arguments)


if __name__ == "__main__":
    sys.exit(main())
