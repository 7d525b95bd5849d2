"""Merged adapters are the merges of what the adapters add."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.merge.adapters.peft_models import adapted, bert, gpt2, llama, loaded, logits, peft, transformers
from weightspace.checkpoint import Adapter, Provenance, open_adapter, write_adapter
from weightspace.errors import CheckpointFormatError, CheckpointMismatchError, MergeError
from weightspace.merge.adapters import delta_of, fuse, merge_adapters
from weightspace.merge.methods import MERGE_METHODS, MergeMethod, Option, merge_tensors

PAIRS = {
    "gpt2": (gpt2, {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
    "llama": (llama, {"target_modules": ["q_proj", "down_proj"]}),
    "embeddings": (llama, {"target_modules": ["embed_tokens", "q_proj"]}),
    "biases": (bert, {"target_modules": ["q_lin", "lin1"], "lora_bias": True}),
}


def written(made: Any, folder: Path) -> Adapter:
    write_adapter(folder, made.tensors, made.config(base="base"), provenance=Provenance("test", {}, {}))
    return open_adapter(folder)


@pytest.mark.parametrize("form", PAIRS)
def test_the_mean_of_two_is_the_mean_of_the_fused_models(form: str, tmp_path: Path):
    build, settings = PAIRS[form]
    network = build()
    a = adapted(network, tmp_path / "a", seed=1, **settings)[1]
    b = adapted(network, tmp_path / "b", seed=2, **{**settings, "r": 2, "lora_alpha": 9, "use_rslora": True})[1]
    base = network.state_dict()
    merged = merge_adapters([a, b], options={"weight": [3.0, 1.0]})
    assert {layer.rank for layer in merged.adapter.layers} == {5}
    assert all(layer.error == 0 for layer in merged.adapter.layers)
    fused = fuse(base, [written(merged.adapter, tmp_path / "merged")]).tensors
    expected = fuse(base, [a, b], weights=[0.75, 0.25]).tensors
    for name in base:
        assert torch.allclose(fused[name], expected[name], atol=1e-6), name
    model = loaded(network, tmp_path / "merged")
    network.load_state_dict(dict(expected))
    assert torch.allclose(logits(model), logits(network), atol=1e-5)


def test_as_peft_combines(tmp_path: Path):
    network = llama()
    a, b = (adapted(network, tmp_path / n, seed=s, target_modules=["q_proj"])[1] for n, s in (("a", 1), ("b", 2)))
    model = peft.PeftModel.from_pretrained(network, a.path, adapter_name="a")
    model.load_adapter(b.path, adapter_name="b")
    model.add_weighted_adapter(["a", "b"], [0.3, 0.9], "both", combination_type="cat")
    made = merge_adapters([a, b], options={"weight": [0.3, 0.9], "normalize": False}).adapter
    for name, change in made.changes.items():
        theirs = model.get_submodule(f"base_model.model.{name}").get_delta_weight("both")
        assert torch.allclose(change.full(), theirs, atol=1e-6)


def test_different_ranks_and_modules(tmp_path: Path):
    network = llama()
    a = adapted(network, tmp_path / "a", seed=1, target_modules=["q_proj", "v_proj"])[1]
    b = adapted(network, tmp_path / "b", seed=2, target_modules=["q_proj", "up_proj"], r=2)[1]
    made = merge_adapters([a, b]).adapter
    ranks = {name.rpartition(".")[2]: change.rank for name, change in made.changes.items()}
    assert ranks == {"q_proj": 5, "v_proj": 3, "up_proj": 2}
    again = written(made, tmp_path / "merged")
    first, second = delta_of(a).changes, delta_of(b).changes
    for name, change in delta_of(again).changes.items():
        expected = sum(0.5 * each[name].full() for each in (first, second) if name in each)
        assert torch.allclose(change.full(), torch.as_tensor(expected), atol=1e-6)
    model = loaded(network, again.path)
    network.load_state_dict(dict(fuse(network.state_dict(), [again]).tensors))
    assert torch.allclose(logits(model), logits(network), atol=1e-5)


def test_a_lower_rank_is_the_nearest(tmp_path: Path):
    network = llama()
    a, b = (adapted(network, tmp_path / n, seed=s, target_modules=["q_proj"])[1] for n, s in (("a", 1), ("b", 2)))
    exact, cut = merge_adapters([a, b]).adapter, merge_adapters([a, b], rank=2).adapter
    for layer in cut.layers:
        values = torch.linalg.svdvals(exact.changes[layer.module].full())
        assert layer.rank == 2
        assert layer.error == pytest.approx(float(values[2:].norm() / values.norm()), rel=1e-4)


@given(st.lists(st.floats(0.1, 3), min_size=2, max_size=4), st.booleans())
def test_a_full_rank_merge_by_any_method_is_the_methods(tmp_path_factory: Any, weights: list[float], normalize: bool):
    adapters = [_bare(tmp_path_factory, seed, rank=seed % 3 + 1) for seed in range(len(weights))]
    options = {"weight": weights, "normalize": normalize}
    made = merge_adapters(adapters, method="linear", options=options, rank=6).adapter
    fulls = [delta_of(adapter).changes["layer"].full() for adapter in adapters]
    assert torch.allclose(made.changes["layer"].full(), merge_tensors("linear", fulls, options=options), atol=1e-4)


def _bare(factory: Any, seed: int, *, rank: int, rows: int = 6, **settings: Any) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        "base_model.model.layer.lora_A.weight": torch.randn(rank, 7, generator=generator),
        "base_model.model.layer.lora_B.weight": torch.randn(rows, rank, generator=generator),
    }
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 2, "target_modules": ["layer"], **settings}
    folder = factory.mktemp("adapter") / "it"
    write_adapter(folder, tensors, config, provenance=Provenance("test", {}, {}))
    return open_adapter(folder)


def test_other_methods_see_changes_of_a_base_that_is_zero(tmp_path: Path, monkeypatch: Any):
    def largest(chunk: Any, settings: Any, measured: Any) -> torch.Tensor:
        stacked = torch.stack(chunk.deltas)
        return chunk.base + settings.number("share") * stacked.gather(0, stacked.abs().argmax(0)[None])[0]

    option = Option("share", "how much", 1.0)
    method = MergeMethod("largest", "Largest", "of each", "none", largest, options=(option,), base="required")
    monkeypatch.setitem(MERGE_METHODS, "largest", method)
    network = llama()
    a = adapted(network, tmp_path / "a", seed=1, target_modules=["q_proj", "v_proj"])[1]
    b = adapted(network, tmp_path / "b", seed=2, target_modules=["q_proj"], r=2)[1]
    made = merge_adapters([a, b], method="largest", options={"share": 0.5}, energy=1.0).adapter
    first, second = delta_of(a).changes, delta_of(b).changes
    for name, change in made.changes.items():
        one = first[name].full()
        other = second[name].full() if name in second else torch.zeros_like(one)
        expected = 0.5 * torch.where(one.abs() >= other.abs(), one, other)
        assert torch.allclose(change.full(), expected, atol=1e-6), name
    cut = merge_adapters([a, b], method="largest").adapter
    assert {layer.rank for layer in cut.layers} == {5, 3}
    assert any(layer.error > 0.01 for layer in cut.layers)
    again = written(cut, tmp_path / "merged")
    model = loaded(network, again.path)
    network.load_state_dict(dict(fuse(network.state_dict(), [again]).tensors))
    assert torch.allclose(logits(model), logits(network), atol=1e-5)


def test_methods_from_a_base_to_one_model_go_from_the_first_adapter_to_the_second(
    tmp_path_factory: Any, monkeypatch: Any
):
    def way(chunk: Any, settings: Any, measured: Any) -> torch.Tensor:
        return chunk.base + settings.number("t") * chunk.deltas[0]

    option = Option("t", "how far", 0.5)
    method = MergeMethod("way", "Way", "part of it", "none", way, (option,), base="required", models=(1, 1))
    monkeypatch.setitem(MERGE_METHODS, "way", method)
    adapters = [_bare(tmp_path_factory, seed, rank=2) for seed in range(3)]
    one, other = (delta_of(adapter).changes["layer"].full() for adapter in adapters[:2])
    made = merge_adapters(adapters[:2], method="way", options={"t": 0.25}).adapter
    assert torch.allclose(made.changes["layer"].full(), 0.75 * one + 0.25 * other, atol=1e-5)
    with pytest.raises(MergeError, match="expected 1 models beside the base, found 2"):
        merge_adapters(adapters, method="way")


def test_modules_saved_whole_are_averaged(tmp_path: Path):
    network = bert()
    settings = {"target_modules": ["q_lin"], "modules_to_save": ["classifier"], "task_type": "SEQ_CLS"}
    a, b = (adapted(network, tmp_path / n, seed=s, **settings)[1] for n, s in (("a", 1), ("b", 2)))
    merged = merge_adapters([a, b], options={"weight": [1.0, 3.0]})
    assert merged.partial == ()
    again = written(merged.adapter, tmp_path / "merged")
    fused = fuse(network.state_dict(), [again]).tensors
    expected = fuse(network.state_dict(), [a, b], weights=[0.25, 0.75]).tensors
    assert all(torch.allclose(fused[name], expected[name], atol=1e-6) for name in fused)
    loaded(network, again.path)


def test_two_real_adapters(shared_data: Path, tmp_path: Path):
    folder = shared_data / "lora_distilbert"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    a, b = open_adapter(folder / "imdb"), open_adapter(folder / "emotion")
    with pytest.raises(MergeError, match=r"'classifier\.bias'.*\(2,\) and \(6,\)"):
        merge_adapters([a, b])
    with pytest.raises(MergeError, match=r"'pre_classifier'.*dropped"):
        merge_adapters([a, open_adapter(folder / "imdb")], drop=["pre_classifier"])
    made = merge_adapters([a, b], drop=["classifier"]).adapter
    assert made.modules_to_save == ("pre_classifier",)
    assert sorted(made.targets) == ["q_lin", "v_lin"]
    written(made, tmp_path / "merged")
    torch.manual_seed(0)
    network = transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig())
    expected = fuse(network.state_dict(), [a, b], weights=[0.5, 0.5], drop=["classifier"]).tensors
    model = loaded(network, tmp_path / "merged")
    network.load_state_dict(dict(expected))
    assert torch.allclose(logits(model), logits(network.eval()), atol=1e-5)
    head = open_adapter(folder / "emotion")
    kept = merge_adapters([head, open_adapter(folder / "emotion")]).adapter
    assert {"classifier", "pre_classifier"} == set(kept.modules_to_save)


def test_what_cannot_be_merged_is_refused(tmp_path: Path, tmp_path_factory: Any):
    one, other = _bare(tmp_path_factory, 1, rank=2), _bare(tmp_path_factory, 2, rank=2, rows=5)
    with pytest.raises(MergeError, match="at least 2"):
        merge_adapters([one])
    with pytest.raises(MergeError, match="rank"):
        merge_adapters([one, one], rank=0)
    with pytest.raises(MergeError, match="energy"):
        merge_adapters([one, one], energy=2)
    with pytest.raises(MergeError, match="'nonsense'"):
        merge_adapters([one, one], method="nonsense")
    with pytest.raises(CheckpointMismatchError, match=r"'layer': expected a change of shape \(6, 7\)"):
        merge_adapters([one, other])
    with pytest.raises(CheckpointMismatchError, match="fan_in_fan_out"):
        merge_adapters([one, _bare(tmp_path_factory, 3, rank=2, fan_in_fan_out=True)])
    dora = adapted(llama(), tmp_path / "dora", target_modules=["q_proj"], use_dora=True)[1]
    with pytest.raises(CheckpointFormatError, match="DoRA"):
        merge_adapters([dora, dora])


def test_configuration_of_what_is_written(tmp_path: Path):
    network = llama()
    a = adapted(network, tmp_path / "a", seed=1, target_modules=["q_proj", "v_proj"])[1]
    b = adapted(network, tmp_path / "b", seed=2, target_modules=["q_proj"], r=2)[1]
    again = written(merge_adapters([a, b]).adapter, tmp_path / "merged")
    config = json.loads((again.path / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    assert config["lora_alpha"] == config["r"]
    assert config["rank_pattern"] == config["alpha_pattern"]
    assert peft.LoraConfig.from_pretrained(again.path).r == config["r"]
