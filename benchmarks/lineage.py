"""Verdicts of `wsp diff` on all pairs of real checkpoints, and the margins between related and independent ones.

Related are: snapshots of one run, a fine-tune and what it came from, and copies of each with a random element of the
symmetry group. Some files of `mlp_seeds` turn out to be related too: those of equal number were started from the same
weights, one trained on MNIST, the other on Fashion-MNIST. The first layer of `torch.manual_seed(n)`, drawn again, has a
cosine of 0.6 with both files of number n, of other seeds 0.01 at most (looked at for n = 0 and 3).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from harness import options, publish

from weightspace.checkpoint import open_checkpoint
from weightspace.errors import SpecError
from weightspace.evaluate import Comparison, compare
from weightspace.source import Program, resolve_source
from weightspace.symmetry import Spec, Transformation, derive
from weightspace.symmetry.freedom import KINDS

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"
ZOO = REPOSITORY / "checkpoints_zoo"
ALL = ("permutation", *KINDS)
State = dict[str, torch.Tensor]
Row = dict[str, Any]
MEASURED = ("recognised", "recognised_aligned", "distance_aligned", "cosine", "cosine_aligned", "seconds")
COLUMNS = {
    "family": "networks", "truth": "truth", "right": "right", "recognised": "recognised",
    "recognised_aligned": "aligned", "distance_aligned": "largest distance, aligned", "cosine": "cosine",
    "cosine_aligned": "aligned", "seconds": "seconds",
}  # fmt: skip


class Family:
    """Checkpoints of one architecture."""

    def __init__(self, name: str, first: Path, arch: str | None = None, activation: str | None = None) -> None:
        self.name = name
        source = resolve_source(arch, checkpoint=open_checkpoint(first), activation=activation)
        inputs = source.example_inputs()
        self.program = Program.from_source(source)
        self.spec: Spec = derive(source.build(meta=True), inputs.args, inputs.kwargs)

    def state(self, path: Path) -> State:
        named = open_checkpoint(path).tensors()
        return {self.spec.aliases.get(name, name): named[name] for name in named}

    def moved(self, state: State, kinds: tuple[str, ...]) -> State:
        full = {name: state.get(name, torch.tensor(0)) for name in self.spec.tensors}
        change = Transformation.random(self.spec, torch.Generator().manual_seed(0), kinds)
        wide = {name: t.double() if t.is_floating_point() else t for name, t in full.items()}
        return {name: t.to(full[name].dtype) for name, t in change.apply(wide).items()}


def families() -> dict[str, tuple[Path, str | None, str | None, list[Path], list[tuple[Path, Path]]]]:
    """By name: a file to read the architecture off, what names it, the files, and pairs known to be related."""
    found: dict[str, tuple[Path, str | None, str | None, list[Path], list[tuple[Path, Path]]]] = {}
    for net in ("mlp", "cnn"):
        files = [ZOO / f"digits_{net}_{i}.safetensors" for i in (0, 1)]
        found[f"digits {net}"] = files[0], f"{ZOO}/models.py:digits_{net}", None, files, []
    if not SHARED.is_dir():
        return found
    seeds = sorted((SHARED / "mlp_seeds").glob("*.pt"))
    starts = [(file, file.with_name(f"fashion_{file.name}")) for file in seeds if file.name.startswith("mnist")]
    found["MLP 784-64-64-10"] = seeds[0], None, "relu", seeds, starts
    lenets = sorted((SHARED / "cifar_lenet").glob("*.pth"))
    found["LeNet"] = lenets[0], None, "relu", lenets, []
    gpts = [SHARED / "shakespeare" / f"gpt2_{i}" for i in (0, 1)]
    found["GPT-2 of 4 layers"] = gpts[0], None, None, gpts, []
    resnets = SHARED / "resnet_cifar10"
    for depth in (32, 56, 20):
        files = sorted((resnets / f"resnet{depth}").glob("*.th"))
        snapshots = [(file, file.with_name(file.name.replace("model", "checkpoint"))) for file in files]
        related = [(file, late) for file, late in snapshots if late != file and late in files]
        if depth == 20:
            tuned = resnets / "lineage" / "resnet20_akamaster_qpsk_ft1_best.pth"
            related.append((resnets / "resnet20" / "akamaster_akamaster_pretrained.th", tuned))
            files.append(tuned)
        found[f"ResNet-{depth}"] = files[0], f"{ZOO}/cifar_resnet.py:resnet{depth}", None, files, related
    return found


def row(family: Family, what: str, a: State, b: State, expected: str, *, moved: bool = False) -> Row:
    began = time.perf_counter()
    found: Comparison = compare(a, b, family.spec, program=family.program)
    evidence = found.evidence
    assert evidence is not None
    return {
        "family": family.name,
        "pair": what,
        "truth": f"{expected}, then moved" if moved else expected,
        "expected": expected,
        "verdict": found.verdict,
        "recognised": evidence.units.share,
        "recognised_aligned": evidence.units_aligned.share,
        "log10_chance": evidence.units.log10_chance,
        "distance_aligned": evidence.distance_aligned,
        "cosine": evidence.cosine,
        "cosine_aligned": evidence.cosine_aligned,
        "seconds": time.perf_counter() - began,
    }


def rows_of(family: Family, files: list[Path], related: list[tuple[Path, Path]], quick: bool) -> list[Row]:
    kin = {frozenset(pair) for pair in related}
    runs = {file: file for file in files}
    for a, b in related:
        runs[b] = runs[a]
    done: list[Row] = []
    for a, b in itertools.combinations(files, 2):
        if quick and frozenset((a, b)) not in kin and done and done[-1]["expected"] == "unrelated":
            continue
        expected = "fine-tuned" if runs[a] == runs[b] else "unrelated"
        states = family.state(a), family.state(b)
        done.append(row(family, f"{a.name} {b.name}", *states, expected))
        if frozenset((a, b)) in kin:
            done.append(
                row(family, f"{a.name} {b.name} moved", states[0], family.moved(states[1], ALL), expected, moved=True)
            )
    for file in files[: 1 if quick else 3]:
        state = family.state(file)
        for kinds in (("permutation",), ("permutation", "scale"), ALL):
            what = f"{file.name} {'+'.join(kinds)}"
            try:
                copy = family.moved(state, kinds)
            except SpecError as error:  # units that never fire have variances that leave no room for a scale
                print(f"skipped {what}: {error}", flush=True)
                continue
            done.append(row(family, what, state, copy, "equivalent"))
    return done


def summarise(rows: Sequence[Row]) -> list[Row]:
    """One row per family and expectation: how many are right, and the range of every figure."""
    found: dict[tuple[str, str], list[Row]] = {}
    for each in rows:
        found.setdefault((each["family"], each["truth"]), []).append(each)
    return [
        {
            "family": family,
            "truth": truth,
            "right": f"{sum(each['verdict'] == each['expected'] for each in mine)} of {len(mine)}",
            **{key: _range([each[key] for each in mine if each[key] is not None]) for key in MEASURED},
        }
        for (family, truth), mine in found.items()
    ]


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.3g} to {max(values):.3g}" if values else "-"


def main() -> None:
    parser = options("Verdicts of `wsp diff` on all pairs of real checkpoints.")
    parser.add_argument("--only", metavar="TEXT", default="", help="families whose name holds this")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name, (first, arch, activation, files, related) in families().items():
        if arguments.only in name:
            rows += rows_of(Family(name, first, arch, activation), files, related, arguments.quick)
    wrong = [
        f"{each['family']}, {each['pair']}: {each['verdict']}" for each in rows if each["verdict"] != each["expected"]
    ]
    summary = summarise(rows)
    notes = [f"wrong: {line}" for line in wrong] or [f"all {len(rows)} verdicts are right"]
    publish("Lineage", COLUMNS, summary, {"rows": rows, "wrong": wrong}, arguments, notes)


if __name__ == "__main__":
    main()
