"""An output head of its own: what is copied, what stays tied, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from weightspace.checkpoint import companions_of, open_checkpoint, write_checkpoint
from weightspace.errors import CheckpointMismatchError, SourceError, VerificationError
from weightspace.source import Program, Untied, resolve_source, untie
from weightspace.symmetry import derive
from weightspace.symmetry.verify_freedoms import verify_freedoms

transformers = pytest.importorskip("transformers")

SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
TEXT = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "vocab_size": 50}
HEAD, EMBEDDINGS = "lm_head.weight", "transformer.wte.weight"
IDS = torch.arange(3, 13)[None]


def gpt2(**settings: Any) -> Any:
    config = transformers.GPT2Config(n_layer=1, n_embd=16, n_head=2, n_positions=16, vocab_size=50, **SPECIAL)
    config.update(settings)
    return transformers.GPT2LMHeadModel(config)


def llama() -> Any:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(tie_word_embeddings=True, **TEXT, **SPECIAL))


def bert() -> Any:
    """Its head has a bias that is tied as well."""
    return transformers.BertForMaskedLM(transformers.BertConfig(**TEXT))


def bart() -> Any:
    """Two further tables are tied to its embeddings."""
    config = transformers.BartConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=24, decoder_ffn_dim=24, vocab_size=50, max_position_embeddings=32, decoder_start_token_id=2,
        **SPECIAL,
    )  # fmt: skip
    return transformers.BartForConditionalGeneration(config)


def switch() -> Any:
    """Its outputs are divided by the root of the width if its head is tied."""
    config = transformers.SwitchTransformersConfig(
        d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, vocab_size=50, num_experts=2, tie_word_embeddings=True,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=2,
    )  # fmt: skip
    return transformers.SwitchTransformersForConditionalGeneration(config)


def saved(folder: Path, build: Callable[[], Any], **options: Any) -> Any:
    """A model with random weights, biases and scales included, in a folder."""
    torch.manual_seed(0)
    model = build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder, **options)
    return model


def written(folder: Path, output: Path, *, max_shard_bytes: int | None = None) -> Untied:
    checkpoint = open_checkpoint(folder)
    result = untie(checkpoint)
    write_checkpoint(
        output, result.tensors, provenance=None, aliases=result.aliases, companions=companions_of(checkpoint),
        texts={"config.json": result.config}, max_shard_bytes=max_shard_bytes,
    )  # fmt: skip
    return result


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS, **({"decoder_input_ids": IDS} if model.config.is_encoder_decoder else {})).logits


def loaded(folder: Path, like: Any) -> Any:
    """The model that transformers makes of a folder, which must hold all that it wants and no more."""
    model, problems = type(like).from_pretrained(folder, output_loading_info=True)
    assert not any(problems.values()), problems
    assert model.get_output_embeddings().weight is not model.get_input_embeddings().weight
    return model.eval()


COPIES = {
    gpt2: {HEAD: EMBEDDINGS},
    llama: {HEAD: "model.embed_tokens.weight"},
    bert: {
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    bart: {
        "model.encoder.embed_tokens.weight": "model.shared.weight",
        "model.decoder.embed_tokens.weight": "model.shared.weight",
        HEAD: "model.shared.weight",
    },
}


@pytest.mark.parametrize("build", COPIES)
def test_the_same_function_with_a_head_of_its_own(tmp_path: Path, build: Callable[[], Any]):
    model = saved(tmp_path / "in", build)
    result = written(tmp_path / "in", tmp_path / "out")
    assert result.preservation_error == 0
    assert result.notes == ()
    assert torch.equal(logits(loaded(tmp_path / "out", model)), logits(model))
    before, after = load_file(tmp_path / "in" / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    head = model.get_output_embeddings().weight
    assert any(torch.equal(after[name], head) for name in result.copies)
    assert {name: first for name, first in result.copies.items() if first in before} == result.copies
    assert set(after) == set(before) | set(result.copies)
    assert all(torch.equal(after[name], before[result.copies.get(name, name)]) for name in after)
    if transformers.__version__.startswith("5."):
        assert result.copies == COPIES[build]


def test_its_stream_may_be_rotated(tmp_path: Path):
    saved(tmp_path / "in", gpt2)
    written(tmp_path / "in", tmp_path / "out")
    found = {}
    for name in ("in", "out"):
        checkpoint = open_checkpoint(tmp_path / name)
        source = resolve_source(None, checkpoint=checkpoint)
        program = Program.from_source(source)
        spec = derive(source.build(meta=True), program.inputs.args, program.inputs.kwargs)
        found[name] = len(spec.freedoms.only("rotation").all)
        state = {key: t.double() for key, t in checkpoint.tensors().items() if key in spec.tensors}
        verification = verify_freedoms(spec, program.outputs, state, kinds=["rotation"])
        assert not verification.wrong
        assert verification.max_error < 1e-9
    assert found == {"in": 0, "out": 1}


def test_files_of_a_base_model_get_its_prefix(tmp_path: Path):
    model = saved(tmp_path / "in", gpt2)
    file = tmp_path / "in" / "model.safetensors"
    base = {name.removeprefix("transformer."): tensor for name, tensor in load_file(file).items()}
    mask = {"h.0.attn.bias": torch.ones(1, 1, 16, 16)}  # as in the file that everybody has
    save_file(base | mask, file, metadata={"format": "pt"})
    result = written(tmp_path / "in", tmp_path / "out")
    assert result.copies == {HEAD: EMBEDDINGS}
    assert [note for note in result.notes if "transformer.h.0." in note]
    assert torch.equal(logits(loaded(tmp_path / "out", model)), logits(model))


def test_both_names_in_a_file_of_torch(tmp_path: Path):
    model = saved(tmp_path / "in", gpt2)
    (tmp_path / "in" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "in" / "pytorch_model.bin")
    assert open_checkpoint(tmp_path / "in").aliases() == {HEAD: EMBEDDINGS}
    result = written(tmp_path / "in", tmp_path / "out")
    assert (dict(result.copies), dict(result.aliases)) == ({}, {})
    assert open_checkpoint(tmp_path / "out").aliases() == {}
    assert HEAD in load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(logits(loaded(tmp_path / "out", model)), logits(model))


def test_types_and_shards(tmp_path: Path):
    model = saved(tmp_path / "in", lambda: gpt2().half(), max_shard_size="5KB")
    assert len(open_checkpoint(tmp_path / "in").files) > 2
    written(tmp_path / "in", tmp_path / "out", max_shard_bytes=5000)
    checkpoint = open_checkpoint(tmp_path / "out")
    assert len(checkpoint.files) > 2
    assert {checkpoint.info(name).dtype for name in checkpoint} == {torch.float16}
    again = loaded(tmp_path / "out", model)
    torch.testing.assert_close(logits(again.float()), logits(model.float()))


def test_only_the_switch_changes_in_the_configuration(tmp_path: Path):
    saved(tmp_path, gpt2)
    path = tmp_path / "config.json"
    settings = json.loads(path.read_text())
    settings |= {"note": "Größe", "task_specific_params": {"text": {"tie_word_embeddings": True, "a": 1}, "b": {}}}
    path.write_text(json.dumps(settings))
    changed = {"task_specific_params": {"text": {"tie_word_embeddings": False, "a": 1}, "b": {}}}
    result = untie(open_checkpoint(tmp_path))
    assert json.loads(result.config) == settings | changed | {"tie_word_embeddings": False}
    assert "Größe" in result.config
    settings.pop("tie_word_embeddings")  # which is true where nothing is said
    path.write_text(json.dumps(settings))
    assert json.loads(untie(open_checkpoint(tmp_path)).config)["tie_word_embeddings"] is False


# ------------------------------------------------------------------------------------------------- refusals


def test_models_without_a_tied_head(tmp_path: Path):
    saved(tmp_path / "apart", lambda: gpt2(tie_word_embeddings=False))
    saved(tmp_path / "base", lambda: transformers.GPT2Model(gpt2().config))
    for name in ("apart", "base"):
        with pytest.raises(SourceError, match=rf"{name}: expected an output head tied .* found no tied tensors"):
            untie(open_checkpoint(tmp_path / name))


def test_a_model_that_computes_otherwise_without_the_tie(tmp_path: Path):
    saved(tmp_path, switch)
    with pytest.raises(VerificationError, match="same outputs with a head of its own, found a relative difference"):
        untie(open_checkpoint(tmp_path))


def test_other_numbers_under_the_name_of_the_head(tmp_path: Path):
    saved(tmp_path, gpt2)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(tensors | {HEAD: tensors[EMBEDDINGS] + 1}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointMismatchError, match=rf"{HEAD}: expected the numbers of {EMBEDDINGS}.* found others"):
        untie(open_checkpoint(tmp_path))


def test_weights_that_do_not_fit_the_configuration(tmp_path: Path):
    saved(tmp_path, gpt2)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 51}))
    with pytest.raises(CheckpointMismatchError, match=r"expected shape \(51, 16\), found \(50, 16\).*restore the conf"):
        untie(open_checkpoint(tmp_path))


def test_no_transformers_folder(tmp_path: Path):
    save_file({"0.weight": torch.ones(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(SourceError, match=r"expected a transformers folder, found no config.json"):
        untie(open_checkpoint(tmp_path))
    for text, part in (("{", "expected JSON"), ('{"architecture": "resnet18"}', "no model_type")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(SourceError, match=rf"config.json: .*{part}"):
            untie(open_checkpoint(tmp_path))
