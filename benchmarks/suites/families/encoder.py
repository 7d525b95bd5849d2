"""Encoders of text."""

from __future__ import annotations

from suites.families.family import DECODER, SPECIAL, TEXT, VOCABULARY, Family, boxes, constant, ids

# fmt: off
BERT = DECODER | {"type_vocab_size": 2}
XLM = SPECIAL | {"vocab_size": VOCABULARY, "n_words": VOCABULARY, "emb_dim": 32, "n_layers": 2, "n_heads": 4,
        "max_position_embeddings": 40}
DISENTANGLED = BERT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False,
        "max_relative_positions": 8}
BLOCKS = BERT | {"max_position_embeddings": 72}
LONG = {"input_ids": ids(2, 64)}
BOX = {"bbox": boxes(2, 10)}
LAYOUT = {"max_2d_position_embeddings": 64}

FAMILIES = (
    Family("bert", "BertForMaskedLM", BERT, TEXT),
    Family("bert-generation", "BertGenerationEncoder", DECODER, TEXT),
    Family("roberta", "RobertaForMaskedLM", BERT, TEXT),
    Family("roberta-prelayernorm", "RobertaPreLayerNormForMaskedLM", BERT, TEXT),
    Family("xlm-roberta", "XLMRobertaForMaskedLM", BERT, TEXT),
    Family("xlm-roberta-xl", "XLMRobertaXLForMaskedLM", BERT, TEXT),
    Family("xmod", "XmodForMaskedLM", BERT | {"languages": ["en_XX", "de_DE"], "default_language": "en_XX"}, TEXT |
        {"lang_ids": constant(0, 1)}),
    Family("camembert", "CamembertForMaskedLM", BERT, TEXT),
    Family("distilbert", "DistilBertForMaskedLM", SPECIAL | {"vocab_size": VOCABULARY, "dim": 32, "n_layers": 2,
        "n_heads": 4, "hidden_dim": 56, "max_position_embeddings": 40}, TEXT),
    Family("electra", "ElectraForMaskedLM", BERT | {"embedding_size": 24}, TEXT),
    Family("albert", "AlbertForMaskedLM", BERT | {"embedding_size": 24}, TEXT),
    Family("deberta", "DebertaForMaskedLM", DISENTANGLED, TEXT),
    Family("deberta-v2", "DebertaV2ForMaskedLM", DISENTANGLED | {"position_buckets": 4, "norm_rel_ebd": "layer_norm",
        "share_att_key": True}, TEXT),
    Family("mpnet", "MPNetForMaskedLM", BERT, TEXT),
    Family("xlm", "XLMWithLMHeadModel", XLM, TEXT),
    Family("flaubert", "FlaubertWithLMHeadModel", XLM, TEXT),
    Family("xlnet", "XLNetLMHeadModel", SPECIAL | {"vocab_size": VOCABULARY, "d_model": 32, "n_layer": 2, "n_head": 4,
        "d_inner": 56}, TEXT),
    Family("fnet", "FNetForMaskedLM", BERT, {"input_ids": ids(2, 10)}),
    Family("funnel", "FunnelForMaskedLM", SPECIAL | {"vocab_size": VOCABULARY, "d_model": 32, "block_sizes": [1, 1],
        "n_head": 4, "d_head": 8, "d_inner": 56}, TEXT),
    Family("nystromformer", "NystromformerForMaskedLM", BERT | {"num_landmarks": 5, "segment_means_seq_len": 10},
        {"input_ids": ids(2, 10)}),
    Family("longformer", "LongformerForMaskedLM", BLOCKS | {"attention_window": 8}, TEXT),
    Family("big_bird", "BigBirdForMaskedLM", BLOCKS | {"block_size": 4, "num_random_blocks": 1}, LONG),
    Family("yoso", "YosoForMaskedLM", BERT | {"use_expectation": True}, TEXT),
    Family("squeezebert", "SqueezeBertForMaskedLM", BERT | {"embedding_size": 32}, TEXT),
    Family("mobilebert", "MobileBertForMaskedLM", BERT | {"embedding_size": 24, "intra_bottleneck_size": 16,
        "true_hidden_size": 16}, TEXT),
    Family("convbert", "ConvBertForMaskedLM", BERT | {"embedding_size": 24, "conv_kernel_size": 3}, TEXT),
    Family("layoutlm", "LayoutLMForMaskedLM", BERT | LAYOUT, TEXT | BOX),
    Family("lilt", "LiltModel", BERT | LAYOUT | {"hidden_size": 48}, TEXT | BOX),
    Family("markuplm", "MarkupLMModel", BERT | {"xpath_unit_hidden_size": 8}, TEXT),
    Family("ernie", "ErnieForMaskedLM", BERT, TEXT),
    Family("esm", "EsmForMaskedLM", BERT | {"mask_token_id": 3}, TEXT),
    Family("modernbert", "ModernBertForMaskedLM", DECODER | {"local_attention": 4}, TEXT),
    Family("rembert", "RemBertForMaskedLM", BERT | {"input_embedding_size": 24, "output_embedding_size": 40}, TEXT),
    Family("roformer", "RoFormerForMaskedLM", BERT, TEXT),
    Family("splinter", "SplinterModel", BERT, TEXT),
    Family("roc_bert", "RoCBertForMaskedLM", BERT | {"pronunciation_vocab_size": 20, "shape_vocab_size": 21,
        "pronunciation_embed_dim": 12, "shape_embed_dim": 14}, TEXT | {"input_shape_ids": ids(2, 10, below=20),
        "input_pronunciation_ids": ids(2, 10, below=20)}),
    Family("luke", "LukeModel", BERT | {"entity_vocab_size": 20, "entity_emb_size": 24}, TEXT |
        {"entity_ids": ids(2, 2, below=20), "entity_position_ids": ids(2, 2, 4, below=10, start=0)}),
    Family("megatron-bert", "MegatronBertForMaskedLM", BERT, TEXT),
    Family("ibert", "IBertForMaskedLM", BERT, TEXT),
    Family("canine", "CanineModel", BERT | {"num_hash_buckets": 72, "local_transformer_stride": 8,
        "type_vocab_size": 16, "max_position_embeddings": 72}, LONG),
    Family("tapas", "TapasModel", BERT | {"type_vocab_sizes": [3, 8, 8, 2, 8, 8, 4]}, TEXT),
    Family("dpr", "DPRContextEncoder", BERT, TEXT),
    Family("eurobert", "EuroBertForMaskedLM", DECODER | {"num_key_value_heads": 2}, TEXT),
    Family("nomic_bert", "NomicBertForMaskedLM", BERT, TEXT),
    Family("reformer", "ReformerForMaskedLM", {"vocab_size": VOCABULARY, "pad_token_id": 0, "eos_token_id": 2,
        "hidden_size": 32, "attention_head_size": 8, "num_attention_heads": 4, "feed_forward_size": 56,
        "attn_layers": ["local", "local"], "local_attn_chunk_length": 8, "axial_pos_shape": [8, 8],
        "axial_pos_embds_dim": [16, 16], "max_position_embeddings": 64, "is_decoder": False}, LONG),
    Family("perceiver", "PerceiverForMaskedLM", {"vocab_size": VOCABULARY, "d_model": 32, "d_latents": 24,
        "num_latents": 6, "num_blocks": 1, "num_self_attends_per_block": 1, "num_self_attention_heads": 4,
        "num_cross_attention_heads": 4, "qk_channels": 16, "v_channels": 24, "max_position_embeddings": 12},
        {"inputs": ids(2, 12)}),
)
# fmt: on
