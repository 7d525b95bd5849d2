"""Networks at the sizes at which they were published, for derivation on the meta device alone."""

from __future__ import annotations

from suites.families.family import Family, ids, mask, normal

LENGTH = 64
TEXT = {"input_ids": ids(1, LENGTH), "attention_mask": mask(1, LENGTH)}
PAIR = TEXT | {"decoder_input_ids": ids(1, LENGTH)}


def decoder(hidden: int, inner: int, layers: int, heads: int, vocabulary: int, **options: object) -> dict[str, object]:
    """Options that most decoders share."""
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": vocabulary,
        **options,
    }


# fmt: off
FAMILIES = (
    Family("llama-7b", "LlamaForCausalLM", decoder(4096, 11008, 32, 32, 32000), TEXT),
    Family("mixtral-8x7b", "MixtralForCausalLM", decoder(4096, 14336, 32, 32, 32000, num_key_value_heads=8,
        num_local_experts=8, num_experts_per_tok=2), TEXT),
    Family("qwen2.5-7b", "Qwen2ForCausalLM", decoder(3584, 18944, 28, 28, 152064, num_key_value_heads=4), TEXT),
    Family("gpt2-xl", "GPT2LMHeadModel", {"n_embd": 1600, "n_layer": 48, "n_head": 25}, TEXT),
    Family("llama-3.1-8b", "LlamaForCausalLM", decoder(4096, 14336, 32, 32, 128256, num_key_value_heads=8), TEXT),
    Family("mistral-7b", "MistralForCausalLM", decoder(4096, 14336, 32, 32, 32000, num_key_value_heads=8), TEXT),
    Family("falcon-7b", "FalconForCausalLM", decoder(4544, 18176, 32, 71, 65024), TEXT),
    Family("mpt-7b", "MptForCausalLM", {"d_model": 4096, "n_layers": 32, "n_heads": 32, "vocab_size": 50432}, TEXT),
    Family("mamba-2.8b", "MambaForCausalLM", {"hidden_size": 2560, "num_hidden_layers": 64, "vocab_size": 50280},
        {"input_ids": ids(1, LENGTH)}),
    Family("t5-11b", "T5ForConditionalGeneration", {"d_model": 1024, "d_kv": 128, "d_ff": 65536, "num_layers": 24,
        "num_heads": 128, "vocab_size": 32128}, PAIR),
    Family("whisper-large-v3", "WhisperForConditionalGeneration", {"d_model": 1280, "encoder_layers": 32,
        "decoder_layers": 32, "encoder_attention_heads": 20, "decoder_attention_heads": 20, "encoder_ffn_dim": 5120,
        "decoder_ffn_dim": 5120, "vocab_size": 51866, "num_mel_bins": 128},
        {"input_features": normal(1, 128, 3000), "decoder_input_ids": ids(1, LENGTH)}),
    Family("vit-huge", "ViTForImageClassification", {"hidden_size": 1280, "intermediate_size": 5120,
        "num_hidden_layers": 32, "num_attention_heads": 16, "patch_size": 14},
        {"pixel_values": normal(1, 3, 224, 224)}),
    Family("gpt-neox-20b", "GPTNeoXForCausalLM", decoder(6144, 24576, 44, 64, 50432), TEXT),
    Family("gemma-2-27b", "Gemma2ForCausalLM", decoder(4608, 36864, 46, 32, 256000, num_key_value_heads=16,
        head_dim=128), TEXT),
    Family("opt-66b", "OPTForCausalLM", {"hidden_size": 9216, "ffn_dim": 36864, "num_hidden_layers": 64,
        "num_attention_heads": 72, "word_embed_proj_dim": 9216, "vocab_size": 50272}, TEXT),
    Family("llama-70b", "LlamaForCausalLM", decoder(8192, 28672, 80, 64, 32000, num_key_value_heads=8), TEXT),
    Family("gpt-oss-120b", "GptOssForCausalLM", decoder(2880, 2880, 36, 64, 201088, num_key_value_heads=8, head_dim=64,
        num_local_experts=128, num_experts_per_tok=4), TEXT),
    Family("bloom-176b", "BloomForCausalLM", {"hidden_size": 14336, "n_layer": 70, "n_head": 112,
        "vocab_size": 250880}, TEXT),
    Family("qwen3-235b-a22b", "Qwen3MoeForCausalLM", decoder(4096, 12288, 94, 64, 151936, num_key_value_heads=4,
        head_dim=128, num_experts=128, num_experts_per_tok=8, moe_intermediate_size=1536), TEXT),
    Family("deepseek-v3-671b", "DeepseekV3ForCausalLM", decoder(7168, 18432, 61, 128, 129280), TEXT),
)
# fmt: on
