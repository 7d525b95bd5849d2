"""Merges of Llama-shaped bfloat16 checkpoints by `wsp merge` and by mergekit: time and peak memory.

    WSP_MERGEKIT_PYTHON=DIR/bin/python python benchmarks/merge_speed.py [--quick] [--sizes MILLIONS ...]
        [--methods NAME ...] [--rounds N] [--folder PATH] [--json FILE]

The same recipe is given to both, each a process of its own, in turn. Before every run all inputs are read once (a warm
cache), after it all writes are flushed, within its time. `total` is the peak of resident memory, pages of mapped files
included; `anonymous` without these. `copy` is what copying one checkpoint and flushing it takes: the floor of the disk.
Both speak of whole commands: starting Python and importing torch is part of every run, and of the memory; `--help`
shows how much. Without mergekit (an environment of its own, see `peers/mergekit.py`) ours alone are measured. --quick
takes one small size and one round.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from harness import options, publish
from harness.process import Run, run
from peers.mergekit import mergekit_command
from rich.progress import track
from torch import Tensor
from transformers import LlamaConfig

from weightspace.checkpoint import write_checkpoint

VOCABULARY = 32000
SHAPES = {25: (256, 2, 688), 250: (1024, 14, 2816), 1000: (2048, 17, 5632)}  # millions: width, layers, inner width
RECIPES = {
    "linear": "merge_method: linear\nmodels:\n- {model: A, parameters: {weight: 0.6}}\n"
    "- {model: B, parameters: {weight: 0.4}}\ndtype: bfloat16\n",
    "slerp": "merge_method: slerp\nbase_model: A\nmodels:\n- {model: A}\n- {model: B}\nparameters: {t: 0.4}\n"
    "dtype: bfloat16\n",
    "ties": "merge_method: ties\nbase_model: BASE\nmodels:\n- {model: A, parameters: {weight: 0.6, density: 0.5}}\n"
    "- {model: B, parameters: {weight: 0.4, density: 0.5}}\ndtype: bfloat16\n",
}  # fmt: skip
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}


def tensors(config: LlamaConfig, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Weights of a network, near those of seed 0."""
    width, inner = config.hidden_size, config.intermediate_size
    names = {"model.embed_tokens.weight": (VOCABULARY, width)}
    for layer in range(config.num_hidden_layers):
        inside = dict.fromkeys((f"self_attn.{x}_proj" for x in "qkvo"), (width, width))
        inside |= dict.fromkeys(("mlp.gate_proj", "mlp.up_proj"), (inner, width)) | {"mlp.down_proj": (width, inner)}
        inside |= dict.fromkeys(("input_layernorm", "post_attention_layernorm"), (width,))
        names |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in inside.items()}
    names |= {"model.norm.weight": (width,), "lm_head.weight": (VOCABULARY, width)}
    for number, (name, shape) in enumerate(names.items()):
        base = torch.randn(shape, generator=torch.Generator().manual_seed(number)) * 0.02
        own = torch.randn(shape, generator=torch.Generator().manual_seed(1000 * seed + number))
        yield name, (base + 0.002 * own if seed else base).bfloat16()


def made(folder: Path, millions: int) -> dict[str, Path]:
    """The three checkpoints of a size."""
    width, layers, inner = SHAPES[millions]
    config = LlamaConfig(
        hidden_size=width, num_hidden_layers=layers, intermediate_size=inner, vocab_size=VOCABULARY,
        num_attention_heads=width // 64, num_key_value_heads=width // 64, tie_word_embeddings=False,
        architectures=["LlamaForCausalLM"], dtype="bfloat16",
    )  # fmt: skip
    places = {}
    for seed, name in enumerate(("BASE", "A", "B")):
        places[name] = folder / f"{millions}-{name}"
        if not (places[name] / "wsp.json").exists() and not (places[name] / "config.json").exists():
            write_checkpoint(places[name], tensors(config, seed), provenance=None, max_shard_bytes=2 << 30)
            config.save_pretrained(places[name])
    return places


def warm(places: dict[str, Path]) -> None:
    for folder in places.values():
        for file in folder.glob("*.safetensors"):
            with file.open("rb") as stream:
                while stream.read(1 << 24):
                    pass


def copy_seconds(source: Path, target: Path) -> float:
    """Seconds to copy a checkpoint whose pages are in memory, and to flush it."""

    def copied() -> float:
        began = time.perf_counter()
        shutil.copytree(source, target)
        run(["sync"])
        seconds = time.perf_counter() - began
        shutil.rmtree(target)
        return seconds

    return min(copied() for _ in range(3))


def commands(recipe: Path, output: Path) -> dict[str, list[str | Path]]:
    found: dict[str, list[str | Path]] = {"wsp": [sys.executable, "-m", "wsp", "merge", recipe, "-o", output, "-q"]}
    mergekit = mergekit_command()
    return found if mergekit is None else {**found, "mergekit": [mergekit, recipe, output]}


def measured(folder: Path, millions: int, method: str, rounds: int) -> dict[str, Any]:
    """One method at one size, by both."""
    places = made(folder, millions)
    text = RECIPES[method]
    for name, place in places.items():
        text = text.replace(f"model: {name}", f"model: {place}")
    recipe = folder / f"{method}.yml"
    recipe.write_text(text)
    runs: dict[str, list[Run]] = {}
    for _ in range(rounds):
        for tool, command in commands(recipe, folder / "merged").items():
            warm(places)
            runs.setdefault(tool, []).append(run(command, env=OFFLINE))
            if not any((folder / "merged").glob("*.safetensors")):
                raise SystemExit(f"{tool} wrote nothing: {runs[tool][-1].error}")
            shutil.rmtree(folder / "merged")
    row: dict[str, Any] = {"millions": millions, "method": method, "copy": copy_seconds(places["A"], folder / "copy")}
    for tool, each in runs.items():
        row |= {
            f"{tool}_seconds": median(one.seconds for one in each), f"{tool}_cpu": median(one.cpu for one in each),
            f"{tool}_total": max(one.total for one in each) / 2**20,
            f"{tool}_anonymous": max(one.anonymous for one in each) / 2**20,
        }  # fmt: skip
    if "mergekit" in runs:
        row["speedup"] = row["mergekit_seconds"] / row["wsp_seconds"]
        row["rss_ratio"] = row["wsp_total"] / row["mergekit_total"]
        row["anonymous_ratio"] = row["wsp_anonymous"] / row["mergekit_anonymous"]
    return row


def help_seconds(rounds: int) -> dict[str, float]:
    """What it takes to show the help."""
    mergekit = mergekit_command()
    tools: dict[str, list[str | Path]] = {"wsp": [sys.executable, "-m", "wsp", "--help"]}
    tools |= {} if mergekit is None else {"mergekit": [mergekit, "--help"]}
    return {f"help_{tool}": min(run(command).seconds for _ in range(rounds)) for tool, command in tools.items()}


def summarise(rows: list[dict[str, Any]], rounds: int) -> dict[str, Any]:
    """Ratios of the largest size."""
    largest = [row for row in rows if row["millions"] == max(row["millions"] for row in rows) and "speedup" in row]
    found: dict[str, Any] = {f"speedup_{row['method']}": row["speedup"] for row in largest}
    if largest:
        found |= {"rss_ratio": max(row["rss_ratio"] for row in largest)}
        found |= {"anonymous_ratio": max(row["anonymous_ratio"] for row in largest)}
    return found | help_seconds(rounds)


COLUMNS = {
    "millions": "M parameters", "method": "method", "copy": "copy, s", "wsp_seconds": "wsp, s",
    "mergekit_seconds": "mergekit, s", "speedup": "ratio", "wsp_total": "wsp, MiB", "mergekit_total": "mergekit, MiB",
    "wsp_anonymous": "wsp, MiB anon.", "mergekit_anonymous": "mergekit, MiB anon.",
}  # fmt: skip


def main() -> None:
    parser = options("Merges by wsp and by mergekit: time and memory.")
    parser.add_argument("--sizes", nargs="+", type=int, choices=SHAPES, default=[250, 1000], help="millions (250 1000)")
    parser.add_argument("--methods", nargs="+", choices=RECIPES, default=list(RECIPES), help="which (all)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each (3)")
    parser.add_argument("--folder", type=Path, metavar="PATH", help="where checkpoints are made and kept")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sizes, arguments.rounds = [25], 1
    notes = [] if mergekit_command() else ["mergekit is not there (WSP_MERGEKIT_PYTHON): ours alone"]
    with tempfile.TemporaryDirectory(prefix="wsp-") as temporary:
        folder = Path(temporary) if arguments.folder is None else arguments.folder
        folder.mkdir(exist_ok=True)
        cases = [(millions, method) for millions in arguments.sizes for method in arguments.methods]
        listed = track(cases, description="merges", transient=True)
        rows = [measured(folder, millions, method, arguments.rounds) for millions, method in listed]
    publish("Merges, streamed", COLUMNS, rows, summarise(rows, arguments.rounds), arguments, notes)


if __name__ == "__main__":
    main()
