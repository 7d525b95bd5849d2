"""Adapters out of fine-tunes, read back by PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.merge.adapters.peft_models import adapted, bert, gpt2, llama, loaded, logits, transformers
from weightspace.checkpoint import Provenance, open_adapter, write_adapter
from weightspace.errors import CheckpointMismatchError, MergeError
from weightspace.merge.adapters import delta_of, extract, fuse, layers_of
from weightspace.merge.adapters.truncate import truncated, truncated_product

FORMS = {
    "gpt2": (gpt2, {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
    "llama": (llama, {"target_modules": ["q_proj", "down_proj"]}),
    "ranks": (llama, {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"q_proj": 2}, "use_rslora": True}),
    "embeddings": (llama, {"target_modules": ["embed_tokens", "q_proj", "lm_head"]}),
    "norms": (llama, {"target_modules": ["v_proj"], "modules_to_save": ["input_layernorm", "norm"]}),
    "head": (bert, {"target_modules": ["q_lin"], "modules_to_save": ["classifier"], "task_type": "SEQ_CLS"}),
    "biases": (bert, {"target_modules": ["q_lin"], "bias": "lora_only"}),
}


def written(made: Any, folder: Path) -> Path:
    write_adapter(folder, made.tensors, made.config(base="base"), provenance=Provenance("test", {}, {}))
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_what_was_fused_is_found_again_and_peft_loads_it(form: str, tmp_path: Path):
    build, settings = FORMS[form]
    network = build()
    model, adapter = adapted(network, tmp_path / "adapter", **settings)
    base = network.state_dict()
    tuned = fuse(base, [adapter]).tensors
    found = extract(base, tuned, layers_of(network), rank=3, whole=["pre_classifier", "classifier"])
    assert found.error < 1e-6
    assert found.dropped == found.only_base == ()
    again = open_adapter(written(found.adapter, tmp_path / "again"))
    before, after = delta_of(adapter).changes, delta_of(again).changes
    for module, change in before.items():
        assert after[module].rank == change.rank, module
        error = (after[module].full() - change.full()).norm() / change.full().norm()
        assert float(error) < 2e-6, (module, float(error))
    fused = fuse(base, [again]).tensors
    for name, tensor in tuned.items():
        assert torch.allclose(fused[name], tensor, atol=1e-6), name
    assert torch.allclose(logits(loaded(network, tmp_path / "again")), logits(model), atol=1e-5)


def fine_tune(network: Any, seed: int = 5) -> dict[str, torch.Tensor]:
    """Every tensor changed, a little and not by a low rank."""
    generator = torch.Generator().manual_seed(seed)
    return {n: t + 0.02 * torch.randn(t.shape, generator=generator) for n, t in network.state_dict().items()}


@pytest.mark.parametrize("build", [gpt2, llama, bert])
def test_with_all_ranks_nothing_of_a_fine_tune_is_lost(build: Any, tmp_path: Path):
    network, tuned = build(), fine_tune(build())
    found = extract(network.state_dict(), tuned, layers_of(network), rank=64)
    assert found.error < 1e-5
    model = loaded(network, written(found.adapter, tmp_path / "adapter"))
    network.load_state_dict(tuned)
    assert torch.allclose(logits(model), logits(network), atol=1e-5)


def test_a_share_of_the_energy_gives_each_layer_its_own_rank(tmp_path: Path):
    network, tuned = llama(), fine_tune(llama())
    found = extract(network.state_dict(), tuned, layers_of(network), energy=0.8)
    assert len({layer.rank for layer in found.adapter.layers}) > 1
    for layer in found.adapter.layers:
        assert layer.error**2 <= 0.2 + 1e-6
        difference = tuned[f"{layer.module}.weight"] - network.state_dict()[f"{layer.module}.weight"]
        values = torch.linalg.svdvals(difference.double())
        shares = values.square().cumsum(0) / values.square().sum()
        assert layer.rank == int((shares < 0.8).sum()) + 1
    folder = written(found.adapter, tmp_path / "adapter")
    fused = fuse(network.state_dict(), [open_adapter(folder)]).tensors
    model = loaded(network, folder)
    network.load_state_dict(dict(fused))
    assert torch.allclose(logits(model), logits(network), atol=1e-5)


def test_a_head_of_its_own_comes_along(tmp_path: Path):
    network = bert()
    tuned = {n: t for n, t in fine_tune(network).items() if "classifier" not in n}
    base = {n: t for n, t in network.state_dict().items() if "classifier" not in n} | {"vocab.weight": torch.ones(3, 2)}
    tuned |= {"pre_classifier.weight": torch.randn(16, 16), "pre_classifier.bias": torch.randn(16)}
    tuned |= {"classifier.weight": torch.randn(2, 16), "classifier.bias": torch.randn(2)}
    found = extract(base, tuned, layers_of(network), rank=64)
    assert {"classifier", "pre_classifier"} <= set(found.adapter.modules_to_save)
    assert found.only_base == ("vocab.weight",)
    model = loaded(network, written(found.adapter, tmp_path / "adapter"))
    network.load_state_dict(tuned)
    assert torch.allclose(logits(model), logits(network), atol=1e-5)


def test_dropped_modules_stay_as_they_are():
    network, tuned = llama(), fine_tune(llama())
    found = extract(network.state_dict(), tuned, layers_of(network), rank=2, drop=["mlp", "norm", "lm_head"])
    assert "lm_head.weight" in found.dropped
    assert not any("mlp" in module for module in found.adapter.changes)
    assert "model.norm" not in found.adapter.modules_to_save
    assert "model.layers.0.input_layernorm" in found.adapter.modules_to_save


def test_what_no_adapter_can_hold_is_refused():
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=1, n_embd=16, n_head=2, n_positions=16, vocab_size=50)
    network = transformers.GPT2LMHeadModel(config)
    base = network.state_dict()
    tuned = fine_tune(network)
    tuned["lm_head.weight"] = tuned["transformer.wte.weight"]
    with pytest.raises(CheckpointMismatchError, match=r"'transformer\.wte\.weight'.*tied.*wsp untie"):
        extract(base, tuned, layers_of(network), rank=2)
    assert extract(base, tuned, layers_of(network), rank=2, drop=["wte", "lm_head"]).dropped
    with pytest.raises(MergeError, match="expected weights that differ"):
        extract(base, base, layers_of(network), rank=2)
    with pytest.raises(CheckpointMismatchError, match="found none of the same name"):
        extract({"other": torch.ones(2)}, tuned, layers_of(network), rank=2)
    for wrong in ({}, {"rank": 0}, {"energy": 0.0}, {"energy": 1.5}):
        with pytest.raises(MergeError):
            extract(base, tuned, layers_of(network), **wrong)  # pyright: ignore[reportArgumentType]
    tuned["scale"], base["scale"] = torch.ones(1), torch.zeros(1)
    with pytest.raises(CheckpointMismatchError, match=r"'scale'.*module of the network"):
        extract(base, tuned, layers_of(network), rank=2, drop=["wte", "lm_head"])


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6), st.integers(1, 8), st.integers(0, 99))
def test_a_product_is_cut_as_the_matrix_is(rows: int, columns: int, inner: int, rank: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(rows, inner, generator=generator, dtype=torch.float64)
    right = torch.randn(inner, columns, generator=generator, dtype=torch.float64)
    values = torch.linalg.svdvals(left @ right)
    lost = float(values[rank:].square().sum().sqrt() / values.square().sum().sqrt())
    for cut in (truncated(left @ right, rank=rank), truncated_product(left, right, rank=rank, energy=None)):
        assert cut.error == pytest.approx(lost, abs=1e-9)
        assert cut.left.shape[1] == cut.right.shape[0] == min(rank, rows, columns, inner)
        error = torch.linalg.norm(cut.left @ cut.right - left @ right) / torch.linalg.norm(left @ right)
        assert float(error) == pytest.approx(lost, abs=1e-9)


def test_large_matrices_lose_hardly_more():
    generator = torch.Generator().manual_seed(0)
    # Singular values that fall as those of real differences do, slowly.
    u, _ = torch.linalg.qr(torch.randn(700, 700, generator=generator))
    v, _ = torch.linalg.qr(torch.randn(900, 700, generator=generator))
    values = torch.arange(1, 701).float() ** -0.5
    matrix = u * values @ v.T
    state = torch.random.get_rng_state()
    cut = truncated(matrix, rank=16)
    assert torch.equal(torch.random.get_rng_state(), state)
    best = float(values[16:].square().sum().sqrt() / values.square().sum().sqrt())
    assert best <= cut.error < 1.01 * best
    assert torch.equal(truncated(matrix, rank=16).left, cut.left)


def test_the_head_of_a_classifier_is_saved_whole_under_its_task(tmp_path: Path):
    network = bert()
    tuned = {n: t if "pre_classifier" in n else t + 0.1 for n, t in network.state_dict().items()}
    found = extract(network.state_dict(), tuned, layers_of(network), rank=2, task="SEQ_CLS").adapter
    assert found.task == "SEQ_CLS"
    assert {"pre_classifier", "classifier"} <= set(found.modules_to_save)
    loaded(network, written(found, tmp_path / "adapter"))
    without = extract(network.state_dict(), tuned, layers_of(network), rank=2, task="SEQ_CLS", drop=["classifier"])
    assert without.adapter.task is None
    loaded(network, written(without.adapter, tmp_path / "without"))


def test_a_base_without_the_prefix_of_its_fine_tune(tmp_path: Path):
    network = gpt2()
    model, adapter = adapted(network, tmp_path / "a", target_modules=["c_attn"], fan_in_fan_out=True)
    tuned = fuse(network.state_dict(), [adapter]).tensors
    bare = network.transformer.state_dict()
    tuned_bare = {n: t for n, t in tuned.items() if n != "lm_head.weight"}
    found = extract(bare, tuned_bare, layers_of(network), rank=3).adapter
    assert torch.allclose(logits(loaded(network, written(found, tmp_path / "b"))), logits(model), atol=1e-5)
