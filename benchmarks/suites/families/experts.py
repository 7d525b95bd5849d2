"""Decoders of text with a mixture of experts."""

from __future__ import annotations

from suites.families.family import DECODER, GROUPED, TEXT, Family

# fmt: off
HEAD = {"head_dim": 8}
FEW = {"num_local_experts": 3, "num_experts_per_tok": 2}
MANY = {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
LATENT = {"q_lora_rank": 20, "kv_lora_rank": 24, "qk_rope_head_dim": 4, "qk_nope_head_dim": 12, "v_head_dim": 10}
ROUTED = {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
        "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1}

FAMILIES = (
    Family("mixtral", "MixtralForCausalLM", GROUPED | FEW, TEXT),
    Family("qwen2_moe", "Qwen2MoeForCausalLM", GROUPED | MANY | {"shared_expert_intermediate_size": 28}, TEXT),
    Family("qwen3_moe", "Qwen3MoeForCausalLM", GROUPED | HEAD | MANY, TEXT),
    Family("qwen3_next", "Qwen3NextForCausalLM", GROUPED | HEAD | MANY | {"shared_expert_intermediate_size": 28,
        "layer_types": ["linear_attention", "full_attention"], "linear_num_value_heads": 4,
        "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 6}, TEXT),
    Family("olmoe", "OlmoeForCausalLM", GROUPED | {"num_experts": 3, "num_experts_per_tok": 2}, TEXT),
    Family("flex_olmo", "FlexOlmoForCausalLM", GROUPED | {"num_experts": 3, "num_experts_per_tok": 2}, TEXT),
    Family("deepseek_v2", "DeepseekV2ForCausalLM", DECODER | LATENT | ROUTED, TEXT),
    Family("deepseek_v3", "DeepseekV3ForCausalLM", DECODER | LATENT | ROUTED, TEXT),
    Family("granitemoe", "GraniteMoeForCausalLM", GROUPED | FEW, TEXT),
    Family("granitemoeshared", "GraniteMoeSharedForCausalLM", GROUPED | FEW | {"shared_intermediate_size": 28}, TEXT),
    Family("phimoe", "PhimoeForCausalLM", GROUPED | FEW, TEXT),
    Family("dbrx", "DbrxForCausalLM", {"vocab_size": 83, "d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 40,
        "ffn_config": {"ffn_hidden_size": 56, "moe_num_experts": 3, "moe_top_k": 2, "hidden_size": 32,
        "ffn_act_fn": {"name": "silu"}}, "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0}},
        TEXT),
    Family("jetmoe", "JetMoeForCausalLM", DECODER | FEW | {"num_key_value_heads": 2, "kv_channels": 8,
        "num_attention_heads": 4}, TEXT),
    Family("gpt_oss", "GptOssForCausalLM", GROUPED | HEAD | FEW | {"sliding_window": 4}, TEXT),
    Family("glm4_moe", "Glm4MoeForCausalLM", GROUPED | HEAD | ROUTED, TEXT),
    Family("ernie4_5_moe", "Ernie4_5_MoeForCausalLM", GROUPED | {"moe_num_experts": 3, "moe_k": 2,
        "moe_intermediate_size": 24, "moe_layer_start_index": 1}, TEXT),
    Family("hunyuan_v1_moe", "HunYuanMoEV1ForCausalLM", GROUPED | HEAD | {"num_experts": 3, "moe_topk": 2}, TEXT),
    Family("llama4", "Llama4ForCausalLM", GROUPED | HEAD | FEW | {"intermediate_size_mlp": 40,
        "num_experts_per_tok": 1, "interleave_moe_layer_step": 2}, TEXT),
    Family("minimax", "MiniMaxForCausalLM", GROUPED | HEAD | FEW |
        {"layer_types": ["linear_attention", "full_attention"], "block_size": 4}, TEXT),
    Family("minimax_m2", "MiniMaxM2ForCausalLM", GROUPED | HEAD | FEW, TEXT),
    Family("dots1", "Dots1ForCausalLM", GROUPED | HEAD | ROUTED, TEXT),
    Family("doge", "DogeForCausalLM", GROUPED | HEAD | {"is_moe": True, "num_experts": 4, "num_experts_per_tok": 2},
        TEXT),
    Family("lfm2_moe", "Lfm2MoeForCausalLM", GROUPED | MANY | {"num_dense_layers": 1,
        "layer_types": ["conv", "full_attention"]}, TEXT),
    Family("longcat_flash", "LongcatFlashForCausalLM", DECODER | LATENT | {"head_dim": 4, "ffn_hidden_size": 56,
        "expert_ffn_hidden_size": 24, "num_layers": 2, "n_routed_experts": 3, "moe_topk": 2, "zero_expert_num": 1},
        TEXT),
    Family("solar_open", "SolarOpenForCausalLM", GROUPED | HEAD | ROUTED, TEXT),
)
# fmt: on
