"""Two sharded checkpoints of a billion parameters aligned by `wsp align`, killed at a random moment and resumed.

    python benchmarks/killed.py [--quick] [--layers N] [--memory GB] [--folder PATH] [--json FILE]

The base is a Llama of random bfloat16 weights; the other is the base moved by a random element of its symmetry, with
noise of half the deviation of its weights, all written tensor by tensor into shards of 1 GB. The command runs once
undisturbed; then once more, is killed (SIGKILL) between a tenth and nine tenths of that time, and is given again until
it ends. Its output must be the same bytes. Peak memory is that of the process without pages of files, which the system
drops when others need the room (measured twice a second, on Linux), beside the size of one checkpoint; `--memory` is
what the command is given for blocks and costs. The largest working set (`weightspace.align.memory`) is what it cannot
do without. --quick takes two narrow layers.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import networks
import torch
from harness import options, publish
from torch import Tensor
from transformers import LlamaConfig

from weightspace.align.memory import working_set
from weightspace.checkpoint import Provenance, open_checkpoint, write_checkpoint
from weightspace.symmetry import Element, Spec, derive

SMALL = {"width": 256, "hidden": 688, "heads": 8, "kv": 2, "vocabulary": 512}
SHARD = 1 << 30
NOISE = 0.5
HALF = torch.bfloat16


class Made(Mapping[str, Tensor]):
    """Weights that are made when they are asked for, each from its own seed.

    Args:
        spec: Names, shapes and symmetry.
        element: What the base is moved by; None for the base itself.
    """

    def __init__(self, spec: Spec, element: Element | None = None) -> None:
        self._spec, self._element = spec, element
        self._numbers = {name: number for number, name in enumerate(spec.tensors)}

    def __getitem__(self, name: str) -> Tensor:
        shape, number = self._spec.tensors[name].shape, self._numbers[name]
        base = torch.randn(shape, generator=torch.Generator().manual_seed(number))
        base /= max(1, math.prod(shape[1:])) ** 0.5
        if self._element is None:
            return base.to(HALF)
        moved = self._spec.apply_tensor(self._element, name, base)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(len(self) + number))
        return (moved + NOISE * base.std(correction=0) * noise).to(HALF)

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def make(folder: Path, layers: int, sizes: dict[str, int]) -> tuple[Spec, Element]:
    """Writes the two checkpoints."""
    module, inputs = networks.llama(layers, meta=True, **sizes)
    spec = derive(module, inputs.args, inputs.kwargs)
    planted = spec.random_element(torch.Generator().manual_seed(0))
    config = module.config
    assert isinstance(config, LlamaConfig)
    config.architectures, config.dtype = ["LlamaForCausalLM"], HALF
    for name, tensors in (("a", Made(spec)), ("b", Made(spec, planted))):
        write_checkpoint(
            folder / name, tensors, provenance=Provenance("benchmarks/killed.py", {}, {}), max_shard_bytes=SHARD,
            texts={"config.json": config.to_json_string(use_diff=False)},
        )  # fmt: skip
    return spec, planted


def run(folder: Path, output: str, memory: float | None, kill_after: float | None = None) -> dict[str, Any] | None:
    """The command; its report, or None if it was killed."""
    command = [
        sys.executable, "-m", "wsp", "align", str(folder / "a"), str(folder / "b"), "-o", str(folder / output),
        "--journal", str(folder / f"{output}.journal"), "--restarts", "1", "--json",
        *([] if memory is None else ["--memory", str(memory)]),
    ]  # fmt: skip
    began, peak = time.perf_counter(), 0
    said, errors = folder / f"{output}.json", folder / f"{output}.err"
    with said.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        while process.poll() is None:
            peak = max(peak, held_by(process.pid))
            if kill_after is not None and time.perf_counter() - began > kill_after:
                process.kill()
                process.wait()
                return None
            time.sleep(0.5)
    if process.returncode != 0:
        raise RuntimeError(f"wsp align failed: {errors.read_text()}")
    return {**json.loads(said.read_text()), "wall_seconds": time.perf_counter() - began, "peak_bytes": peak}


def held_by(process: int) -> int:
    """Bytes that a process holds, pages of files left out; 0 where the system does not say."""
    status = Path(f"/proc/{process}/status")
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def held_after_imports() -> int:
    """Bytes that a process holds which has only imported what the command does, and read nothing."""
    code = "import torch, transformers, weightspace.align, wsp.main; import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = held_by(process.pid)
        process.kill()
    return found


def digest(folder: Path) -> str:
    """Of all weights of a checkpoint, in order."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def measure(arguments: Any, folder: Path) -> dict[str, Any]:
    sizes, layers = (SMALL, 2) if arguments.quick else (networks.BILLION, arguments.layers)
    spec, planted = make(folder, layers, sizes)
    size = sum(path.stat().st_size for path in (folder / "a").glob("*.safetensors"))
    whole = run(folder, "whole", arguments.memory)
    assert whole is not None
    peak = whole["peak_bytes"]
    moment = random.Random(time.time_ns()).uniform(0.1, 0.9) * whole["wall_seconds"]
    killed = run(folder, "resumed", arguments.memory, kill_after=moment) is None
    noted = (folder / "resumed.journal").exists()
    began = time.perf_counter()
    again = run(folder, "resumed", arguments.memory)
    assert again is not None
    rest = time.perf_counter() - began
    imports = held_after_imports()
    name = next(iter(spec.tensors))
    expected = spec.apply_tensor(planted.inverse(), name, open_checkpoint(folder / "b")[name])
    recovered = torch.equal(expected, open_checkpoint(folder / "whole")[name])
    return {
        "layers": layers, "parameters": sum(math.prod(tensor.shape) for tensor in spec.tensors.values()),
        "checkpoint_bytes": size, "seconds": whole["wall_seconds"], "aligning_seconds": whole["seconds"],
        "peak_bytes": peak, "peak_over_checkpoint": peak / size, "working_set_bytes": working_set(spec),
        "imports_bytes": imports,
        "preservation_error": whole["preservation_error"], "recovered": recovered, "killed": killed,
        "killed_after": moment, "journal_left": noted, "resumed_seconds": rest,
        "same_bytes": digest(folder / "whole") == digest(folder / "resumed"),
    }  # fmt: skip


COLUMNS = {
    "layers": "layers", "parameters": "parameters", "checkpoint_bytes": "one checkpoint", "seconds": "command, s",
    "aligning_seconds": "aligning, s", "peak_bytes": "peak", "imports_bytes": "of that, imports",
    "working_set_bytes": "largest working set",
    "preservation_error": "outputs change by", "recovered": "recovered", "killed_after": "killed after, s",
    "resumed_seconds": "rest, s", "same_bytes": "same bytes",
}  # fmt: skip


def main() -> None:
    parser = options("Align two sharded checkpoints by streaming; kill and resume.")
    parser.add_argument("--layers", type=int, default=16, metavar="N", help="of the billion-parameter shape (16)")
    parser.add_argument("--memory", type=float, default=None, metavar="GB", help="for blocks and costs")
    parser.add_argument("--folder", type=Path, default=None, metavar="PATH", help="where the checkpoints go")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="killed-", dir=arguments.folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        row = measure(arguments, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    summary = {key: row[key] for key in ("same_bytes", "killed", "recovered", "peak_over_checkpoint", "seconds")}
    publish("A large pair, streamed, killed and resumed", COLUMNS, [row], summary, arguments)


if __name__ == "__main__":
    main()
