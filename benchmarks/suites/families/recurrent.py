"""State-space and recurrent decoders of text, and their hybrids with attention."""

from __future__ import annotations

from suites.families.family import DECODER, GROUPED, SPECIAL, TEXT, VOCABULARY, Family, ids

# fmt: off
SMALL = SPECIAL | {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2}
TOKENS = {"input_ids": ids(2, 10)}
MAMBA2 = {"mamba_d_state": 8, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_n_groups": 2, "mamba_chunk_size": 8}

FAMILIES = (
    Family("mamba", "MambaForCausalLM", SMALL | {"state_size": 8, "time_step_rank": 6}, TOKENS),
    Family("mamba2", "Mamba2ForCausalLM", SMALL | {"state_size": 8, "num_heads": 4, "head_dim": 16, "n_groups": 2,
        "chunk_size": 8}, TOKENS),
    Family("falcon_mamba", "FalconMambaForCausalLM", SMALL | {"state_size": 8, "time_step_rank": 6}, TOKENS),
    Family("rwkv", "RwkvForCausalLM", SMALL | {"attention_hidden_size": 32, "intermediate_size": 56,
        "context_length": 40}, TOKENS),
    Family("recurrent_gemma", "RecurrentGemmaForCausalLM", GROUPED | {"lru_width": 40, "attention_window_size": 8,
        "head_dim": 8, "block_types": ["recurrent", "attention"]}, TEXT),
    Family("jamba", "JambaForCausalLM", GROUPED | {"attn_layer_offset": 1, "attn_layer_period": 2,
        "expert_layer_offset": 1, "expert_layer_period": 2, "num_experts": 3, "num_experts_per_tok": 2,
        "mamba_d_state": 8, "mamba_dt_rank": 6}, TEXT),
    Family("bamba", "BambaForCausalLM", GROUPED | MAMBA2 | {"attn_layer_indices": [1]}, TEXT),
    Family("zamba", "ZambaForCausalLM", GROUPED | {"mamba_d_state": 8, "mamba_dt_rank": 6, "n_mamba_heads": 2,
        "num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "attention_hidden_size": 64, "attention_head_dim": 16}, TEXT),
    Family("zamba2", "Zamba2ForCausalLM", GROUPED | {"num_key_value_heads": 4, "mamba_d_state": 8, "n_mamba_heads": 4,
        "chunk_size": 8, "num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "use_shared_attention_adapter": True, "adapter_rank": 6}, TEXT),
    Family("falcon_h1", "FalconH1ForCausalLM", GROUPED | MAMBA2 | {"head_dim": 8, "mamba_d_ssm": 64}, TEXT),
    Family("granitemoehybrid", "GraniteMoeHybridForCausalLM", GROUPED | MAMBA2 | {"num_local_experts": 3,
        "num_experts_per_tok": 2, "shared_intermediate_size": 28, "layer_types": ["mamba", "attention"]}, TEXT),
    Family("nemotron_h", "NemotronHForCausalLM", GROUPED | {"head_dim": 8, "ssm_state_size": 8, "mamba_num_heads": 4,
        "mamba_head_dim": 16, "n_groups": 2, "chunk_size": 8, "layers_block_type": ["mamba", "attention"]}, TEXT),
    Family("xlstm", "xLSTMForCausalLM", SMALL | {"num_heads": 4, "chunk_size": 16, "embedding_dim": 32,
        "num_blocks": 2}, {"input_ids": ids(2, 16)}),
    Family("olmo_hybrid", "OlmoHybridForCausalLM", GROUPED | {"layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
        "linear_value_head_dim": 6}, TEXT),
    Family("kimi_linear", "KimiLinearForCausalLM", DECODER | {"moe_intermediate_size": 24, "num_local_experts": 3,
        "num_experts_per_tok": 2, "kv_lora_rank": 24, "qk_rope_head_dim": 4, "qk_nope_head_dim": 12,
        "v_head_dim": 10, "linear_head_dim": 8, "linear_num_heads": 4,
        "layer_types": ["linear_attention", "full_attention"]}, TEXT),
)
# fmt: on
