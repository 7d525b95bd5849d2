"""The tables of transformers families: well formed, small, and one of each kind derived and verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from weightspace.source import Program
from weightspace.symmetry import derive, randomized, verify

pytest.importorskip("transformers")
BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def test_there_are_more_than_a_hundred_families_each_named_once():
    import suites

    names = [case.name for case in suites.cases("transformers")]
    assert len(names) == len(set(names))
    assert len(names) > 100


@pytest.mark.parametrize(
    "name",
    ["gemma2", "albert", "t5-gated", "qwen2_moe", "mamba2", "swinv2", "wav2vec2-conformer", "clip", "patchtst"],
)
def test_one_of_each_kind_is_derived_and_verified(name: str):
    import suites

    (case,) = [case for case in suites.cases("transformers") if case.name == name]
    module, inputs = case.build()
    assert not module.training
    assert sum(parameter.numel() for parameter in module.parameters()) < 100_000
    spec = derive(module, inputs.args, inputs.kwargs)
    assert spec.completeness > 0.94
    program = Program(module, inputs)
    assert verify(spec, program.outputs, randomized(program.state(), spec)).verified


def test_every_build_is_the_same():
    import suites

    case = suites.cases("transformers")[0]
    (first, inputs), (second, again) = case.build(), case.build()
    for name, tensor in first.state_dict().items():
        assert tensor.equal(second.state_dict()[name])
    assert all(tensor.equal(again.kwargs[name]) for name, tensor in inputs.kwargs.items())


@pytest.mark.parametrize("name", ["gpt2-xl"])
def test_large_networks_are_built_without_values(name: str):
    from suites.families.large import FAMILIES  # pyright: ignore[reportMissingImports]

    (family,) = [family for family in FAMILIES if family.name == name]
    module, _ = family.build(meta=True)
    assert all(parameter.is_meta for parameter in module.parameters())
    assert sum(parameter.numel() for parameter in module.parameters()) > 1.5e9
