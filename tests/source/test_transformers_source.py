import json

import pytest
import torch
from safetensors.torch import save_file

from weightspace.checkpoint import open_checkpoint
from weightspace.errors import SourceError
from weightspace.source import Program, TransformersSource, resolve_source
from weightspace.symmetry import derive, randomized, verify

transformers = pytest.importorskip("transformers")

TEXT = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "vocab_size": 50}
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def gpt2_config():
    return transformers.GPT2Config(n_layer=2, n_embd=32, n_head=4, n_positions=12, vocab_size=50, **SPECIAL)


def llama_config():
    return transformers.LlamaConfig(num_key_value_heads=2, **TEXT, **SPECIAL)


def saved(folder, config, architecture: str | None):
    if architecture is not None:
        config.architectures = [architecture]
    config.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("config", "architecture"), [(gpt2_config, "GPT2LMHeadModel"), (llama_config, "LlamaForCausalLM")]
)
def test_language_model_runs_like_the_original(tmp_path, config, architecture: str) -> None:
    torch.manual_seed(3)
    original = getattr(transformers, architecture)(config()).eval()
    original.save_pretrained(tmp_path)
    source = resolve_source(f"hf:{tmp_path}")
    program = Program.from_source(source)
    checkpoint = open_checkpoint(tmp_path)
    program.check_state(checkpoint)
    tokens = source.example_inputs().kwargs["input_ids"]
    assert tokens.shape[1] <= 12 or architecture != "GPT2LMHeadModel"
    assert int(tokens.max()) < 50
    expected = original(tokens, use_cache=False).logits
    torch.testing.assert_close(program.outputs(checkpoint.tensors())[0], expected)
    torch.testing.assert_close(program.prediction(checkpoint.tensors(), tokens), expected)


@pytest.mark.skipif(
    not hasattr(transformers.PreTrainedModel, "set_experts_implementation"),
    reason="mixtures are loops before version 5",
)
def test_experts_may_be_exchanged(tmp_path) -> None:
    config = transformers.MixtralConfig(num_local_experts=3, num_key_value_heads=2, **TEXT, **SPECIAL)
    source = resolve_source(str(saved(tmp_path, config, "MixtralForCausalLM")))
    inputs = source.example_inputs()
    spec = derive(source.build(meta=True), inputs.args, inputs.kwargs)
    assert spec.completeness == 1
    assert [group.size for group in spec.groups].count(3) == 2  # the experts of either layer
    assert [group.size for group in spec.groups].count(48) == 2  # their hidden units
    # The spec of that form holds for the network as it runs, in whichever form.
    program = Program.from_source(source)
    assert verify(spec, program.outputs, randomized(program.state(), spec)).verified


def test_ties_survive_on_meta(tmp_path) -> None:
    module = resolve_source(str(saved(tmp_path, gpt2_config(), "GPT2LMHeadModel"))).build(meta=True)
    assert all(parameter.is_meta for parameter in module.parameters())
    assert module.lm_head.weight is module.transformer.wte.weight


def test_rotary_tables_keep_their_values_on_meta(tmp_path) -> None:
    module = resolve_source(str(saved(tmp_path, llama_config(), "LlamaForCausalLM"))).build(meta=True)
    torch.testing.assert_close(module.model.rotary_emb.inv_freq[0], torch.tensor(1.0))


def test_configuration_in_half_precision_builds_in_single(tmp_path) -> None:
    config = llama_config()
    config.dtype = torch.bfloat16
    for architecture in ("LlamaForCausalLM", None):
        source = resolve_source(str(saved(tmp_path, config, architecture)))
        assert {parameter.dtype for parameter in source.build().parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (lambda: transformers.BertConfig(**TEXT), {"input_ids"}),
        (
            lambda: transformers.ViTConfig(**{**TEXT, "vocab_size": None}, image_size=32, patch_size=8, num_channels=1),
            {"pixel_values"},
        ),
        (
            lambda: transformers.T5Config(d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=4, vocab_size=50),
            {"input_ids", "decoder_input_ids"},
        ),
        (
            lambda: transformers.CLIPConfig(
                text_config={**TEXT, **SPECIAL}, vision_config={**TEXT, "image_size": 32, "patch_size": 8}
            ),
            {"input_ids", "pixel_values"},
        ),
        (lambda: transformers.Wav2Vec2Config(**TEXT, conv_dim=(16,) * 7), {"input_values"}),
        (
            lambda: transformers.WhisperConfig(
                d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
                encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=50, max_source_positions=10, **SPECIAL,
                decoder_start_token_id=1,
            ),
            {"input_features", "decoder_input_ids"},
        ),
        (
            lambda: transformers.ViltConfig(**TEXT, image_size=32, patch_size=16, max_image_length=-1),
            {"input_ids", "pixel_values"},
        ),
        (
            lambda: transformers.BlipConfig(
                text_config={**TEXT, **SPECIAL, "encoder_hidden_size": 32},
                vision_config={**TEXT, "image_size": 32, "patch_size": 16}, projection_dim=24,
            ),
            {"input_ids", "pixel_values"},
        ),
        (
            lambda: transformers.Wav2Vec2BertConfig(**TEXT, feature_projection_input_dim=20),
            {"input_features"},
        ),
        (
            lambda: transformers.PatchTSTConfig(num_input_channels=3, context_length=32, patch_length=8, d_model=24),
            {"past_values"},
        ),
        (
            lambda: transformers.VideoMAEConfig(
                **{**TEXT, "vocab_size": None}, image_size=32, patch_size=16, num_frames=2
            ),
            {"pixel_values"},
        ),
    ],
    ids=["bert", "vit", "t5", "clip", "wav2vec2", "whisper", "vilt", "blip", "wav2vec2-bert", "patchtst", "videomae"],
)  # fmt: skip
def test_inputs_follow_the_kind_of_model(tmp_path, config, names: set[str]) -> None:
    source = resolve_source(str(saved(tmp_path, config(), None)))
    inputs = source.example_inputs(batch=2)
    assert set(inputs.kwargs) == names
    program = Program.from_source(source)
    assert all(torch.isfinite(output).all() for output in program.outputs(program.state()))


def test_remote_code_is_refused_and_not_run(tmp_path) -> None:
    (tmp_path / "modeling_x.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    config = {
        "model_type": "mine",
        "architectures": ["MineForCausalLM"],
        "auto_map": {"AutoConfig": "modeling_x.MineConfig", "AutoModel": "modeling_x.Mine"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SourceError, match="auto_map"):
        resolve_source(str(tmp_path)).build(meta=True)
    config |= {"model_type": "llama"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SourceError, match="MineForCausalLM"):
        resolve_source(str(tmp_path)).build(meta=True)
    assert not (tmp_path / "ran").exists()


def test_native_class_is_used_although_the_repository_brings_code(tmp_path) -> None:
    saved(tmp_path, llama_config(), "LlamaForCausalLM")
    config = json.loads((tmp_path / "config.json").read_text()) | {"auto_map": {"AutoModel": "evil--x.Y"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert type(resolve_source(str(tmp_path)).build(meta=True)) is transformers.LlamaForCausalLM


@pytest.mark.parametrize("architecture", ["pipeline", "AutoModel", "os", "GPT2Config"])
def test_architectures_name_model_classes_only(tmp_path, architecture: str) -> None:
    source = resolve_source(str(saved(tmp_path, gpt2_config(), architecture)))
    assert type(source.build(meta=True)) is transformers.GPT2Model


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "JSON"), ("[1]", "JSON object"), ('{"model_type": "gpt3"}', "did you mean .*gpt2"), ("{}", "no model_type")],
)
def test_bad_configuration_is_one_line(tmp_path, text: str, message: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(SourceError, match=message) as caught:
        resolve_source(str(tmp_path)).build(meta=True)
    assert "config.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_the_local_cache_is_searched(tmp_path, monkeypatch) -> None:
    from huggingface_hub import constants

    with pytest.raises(SourceError, match="hf download nobody/nothing"):
        resolve_source("hf:nobody/nothing")
    with pytest.raises(SourceError, match="repository name"):
        resolve_source("hf:a/b/../../c")
    snapshot = tmp_path / "models--some--net" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (tmp_path / "models--some--net" / "refs").mkdir()
    (tmp_path / "models--some--net" / "refs" / "main").write_text("0" * 40)
    saved(snapshot, gpt2_config(), "GPT2LMHeadModel")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    source = resolve_source("hf:some/net")
    assert isinstance(source, TransformersSource)
    assert type(source.build(meta=True)) is transformers.GPT2LMHeadModel


def test_preprocessor_gives_the_normalization(tmp_path) -> None:
    saved(tmp_path, transformers.ViTConfig(**{**TEXT, "vocab_size": None}), None)
    assert resolve_source(str(tmp_path)).normalization is None
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2]}')
    normalization = resolve_source(str(tmp_path)).normalization
    assert normalization is not None
    assert normalization.mean == (0.5, 0.4, 0.3)


def test_real_checkpoints_of_the_shared_data(shared_data) -> None:
    checkpoint = open_checkpoint(shared_data / "shakespeare" / "gpt2_0")
    program = Program.from_source(resolve_source(None, checkpoint=checkpoint))
    program.check_state(checkpoint)
    assert program.aliases == {"lm_head.weight": "transformer.wte.weight"}
    text = (shared_data / "shakespeare" / "tinyshakespeare.txt").read_text()
    characters = {c: i for i, c in enumerate(sorted(set(text)))}
    tokens = torch.tensor([characters[c] for c in text[-2049:]])
    logits = program.prediction(checkpoint.tensors(), tokens[:2048].view(16, 128))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[1:])
    assert loss < 2.0  # a model of letter frequencies has 3.3


def test_files_of_the_base_model_and_masks_in_old_files(tmp_path) -> None:
    # As the first GPT-2 files are: no prefix, no tied head, and a causal mask per layer.
    torch.manual_seed(0)
    original = transformers.GPT2LMHeadModel(gpt2_config()).eval()
    saved(tmp_path, original.config, "GPT2LMHeadModel")
    old = {name: tensor.clone() for name, tensor in original.transformer.state_dict().items()}
    old["h.0.attn.bias"] = torch.ones(1, 1, 12, 12).tril()
    save_file(old, tmp_path / "model.safetensors")
    checkpoint = open_checkpoint(tmp_path)
    source = resolve_source(None, checkpoint=checkpoint)
    program = Program.from_source(source)
    program.check_state(checkpoint)
    tokens = source.example_inputs().kwargs["input_ids"]
    torch.testing.assert_close(program.prediction(checkpoint.tensors(), tokens), original(tokens).logits)
    assert program.aliases == {"lm_head.weight": "wte.weight"}
    assert source.build(meta=True).lm_head.weight.is_meta


def test_files_of_a_base_model_whose_head_is_its_own(tmp_path) -> None:
    torch.manual_seed(0)
    original = transformers.LlamaModel(llama_config()).eval()
    original.save_pretrained(tmp_path)
    saved(tmp_path, llama_config(), "LlamaForCausalLM")
    checkpoint = open_checkpoint(tmp_path)
    program = Program.from_source(resolve_source(None, checkpoint=checkpoint))
    program.check_state(checkpoint)
    (hidden,) = program.outputs(checkpoint.tensors())
    torch.testing.assert_close(hidden, original(**program.inputs.kwargs).last_hidden_state)


def test_saved_ties_are_given_once(tmp_path) -> None:
    saved(tmp_path, gpt2_config(), "GPT2LMHeadModel")
    program = Program.from_source(resolve_source(str(tmp_path)))
    once = {name: tensor for name, tensor in program.state().items() if name != "lm_head.weight"}
    save_file({k: v.clone() for k, v in once.items()}, tmp_path / "model.safetensors")
    program.check_state(open_checkpoint(tmp_path))
    torch.testing.assert_close(program.outputs(once), program.outputs(program.state()))
