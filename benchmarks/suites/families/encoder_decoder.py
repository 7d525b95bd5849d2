"""Encoders and decoders of text."""

from __future__ import annotations

from suites.families.family import PAIR, SPECIAL, VOCABULARY, Family, ids, mask

# fmt: off
BART = SPECIAL | {
    "decoder_start_token_id": 1,
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 56,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 40,
}
T5 = {
    "vocab_size": VOCABULARY,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 56,
    "num_layers": 2,
    "num_heads": 4,
}
GATED = T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
LONG = {"input_ids": ids(2, 32), "attention_mask": mask(2, 32), "decoder_input_ids": ids(2, 7)}
ENTRIES_WINDOW = {"attention_window": [8, 8], "max_encoder_position_embeddings": 40,
        "max_decoder_position_embeddings": 40}

FAMILIES = (
    Family("t5", "T5ForConditionalGeneration", T5, PAIR),
    Family("t5-gated", "T5ForConditionalGeneration", GATED, PAIR),
    Family("mt5", "MT5ForConditionalGeneration", GATED, PAIR),
    Family("umt5", "UMT5ForConditionalGeneration", GATED, PAIR),
    Family("longt5", "LongT5ForConditionalGeneration", T5 | {"local_radius": 4, "encoder_attention_type": "local"},
        LONG),
    Family("longt5-global", "LongT5ForConditionalGeneration", T5 | {"local_radius": 4, "global_block_size": 4,
        "encoder_attention_type": "transient-global"}, LONG),
    Family("switch_transformers", "SwitchTransformersForConditionalGeneration", T5 | {"num_experts": 3,
        "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1, "expert_capacity": 20}, PAIR),
    Family("bart", "BartForConditionalGeneration", BART, PAIR),
    Family("mbart", "MBartForConditionalGeneration", BART, PAIR),
    Family("plbart", "PLBartForConditionalGeneration", BART, PAIR),
    Family("mvp", "MvpForConditionalGeneration", BART, PAIR),
    Family("marian", "MarianMTModel", BART | {"decoder_vocab_size": VOCABULARY}, PAIR),
    Family("pegasus", "PegasusForConditionalGeneration", BART, PAIR),
    Family("pegasus_x", "PegasusXForConditionalGeneration", BART | {"num_global_tokens": 4, "block_size": 8}, LONG),
    Family("bigbird_pegasus", "BigBirdPegasusForConditionalGeneration", BART | {"attention_type": "original_full"},
        PAIR),
    Family("blenderbot", "BlenderbotForConditionalGeneration", BART, PAIR),
    Family("blenderbot-small", "BlenderbotSmallForConditionalGeneration", BART, PAIR),
    Family("led", "LEDForConditionalGeneration", BART | ENTRIES_WINDOW, LONG),
    Family("m2m_100", "M2M100ForConditionalGeneration", BART, PAIR),
    Family("fsmt", "FSMTForConditionalGeneration", BART | {"src_vocab_size": VOCABULARY, "tgt_vocab_size": VOCABULARY,
        "langs": ["en", "de"]}, PAIR),
    Family("prophetnet", "ProphetNetForConditionalGeneration", SPECIAL | {"vocab_size": VOCABULARY,
        "decoder_start_token_id": 1, "hidden_size": 32, "num_encoder_layers": 2, "num_decoder_layers": 2,
        "num_encoder_attention_heads": 4, "num_decoder_attention_heads": 4, "encoder_ffn_dim": 56,
        "decoder_ffn_dim": 48, "max_position_embeddings": 40, "ngram": 2}, PAIR),
    Family("nllb-moe", "NllbMoeForConditionalGeneration", BART | {"num_experts": 3, "encoder_sparse_step": 2,
        "decoder_sparse_step": 2}, PAIR),
    Family("t5gemma", "T5GemmaForConditionalGeneration", SPECIAL | {"vocab_size": VOCABULARY,
        "encoder": {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 4},
        "decoder": {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 4}}, PAIR),
)
# fmt: on
