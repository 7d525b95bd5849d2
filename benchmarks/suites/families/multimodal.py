"""Text with images, video or sound."""

from __future__ import annotations

from suites.families.family import DECODER, GROUPED, IMAGE, TEXT, Family, boxes, constant, ids, normal, patches

# fmt: off
TOWER = {"vocab_size": 83, "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 40, "pad_token_id": 0, "bos_token_id": 1,
        "eos_token_id": 82}
SIGHT = {"hidden_size": 40, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "image_size": 32, "patch_size": 16}
TWO = {"text_config": TOWER, "vision_config": SIGHT, "projection_dim": 24}
BOTH = TEXT | IMAGE
ROW = [3, 77, 77, 77, 77, 5, 6, 7]
PLACED = {"input_ids": constant(ROW, ROW[::-1]), "pixel_values": normal(2, 3, 32, 32)}
LLAMA = {"model_type": "llama"} | GROUPED
CLIP = {"model_type": "clip_vision_model"} | SIGHT
SIGLIP = {"model_type": "siglip_vision_model", "vision_use_head": False} | SIGHT

FAMILIES = (
    Family("clip", "CLIPModel", TWO, BOTH),
    Family("siglip", "SiglipModel", {"text_config": TOWER | {"projection_size": 40}, "vision_config": SIGHT}, BOTH),
    Family("siglip2", "Siglip2Model", {"text_config": TOWER | {"projection_size": 40}, "vision_config": SIGHT |
        {"num_patches": 4}}, {"input_ids": ids(2, 10), "pixel_values": normal(2, 4, 768),
        "pixel_attention_mask": constant([1] * 4, [1] * 4), "spatial_shapes": constant([2, 2], [2, 2])}),
    Family("altclip", "AltCLIPModel", TWO | {"text_config": TOWER | {"project_dim": 24, "type_vocab_size": 1}}, BOTH),
    Family("chinese_clip", "ChineseCLIPModel", TWO, BOTH),
    Family("clipseg", "CLIPSegForImageSegmentation", TWO | {"extract_layers": [0, 1], "reduce_dim": 16,
        "decoder_num_attention_heads": 4, "decoder_intermediate_size": 28}, BOTH),
    Family("xclip", "XCLIPModel", {"text_config": TOWER, "vision_config": SIGHT | {"mit_hidden_size": 24,
        "mit_intermediate_size": 28, "mit_num_attention_heads": 4, "num_frames": 2}, "projection_dim": 24,
        "prompt_layers": 1, "prompt_num_attention_heads": 4}, TEXT | {"pixel_values": normal(2, 2, 3, 32, 32)}),
    Family("owlvit", "OwlViTModel", TWO, BOTH),
    Family("groupvit", "GroupViTModel", {"text_config": TOWER, "vision_config": SIGHT | {"depths": [1, 1, 1],
        "num_group_tokens": [4, 2, 0], "num_output_groups": [4, 2, 0], "patch_size": 8}, "projection_dim": 24,
        "projection_intermediate_dim": 28}, BOTH),
    Family("align", "AlignModel", {"text_config": TOWER, "vision_config": {"image_size": 32, "width_coefficient": 0.25,
        "depth_coefficient": 0.5, "kernel_sizes": [3, 5], "in_channels": [32, 16], "out_channels": [16, 24],
        "strides": [1, 2], "num_block_repeats": [1, 2], "expand_ratios": [1, 6], "hidden_dim": 8},
        "projection_dim": 8}, BOTH),
    Family("blip", "BlipForConditionalGeneration", {"text_config": TOWER | {"encoder_hidden_size": 40},
        "vision_config": SIGHT, "projection_dim": 24}, BOTH),
    Family("blip-2", "Blip2ForConditionalGeneration", {"vision_config": SIGHT, "qformer_config": {"vocab_size": 83,
        "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 28,
        "encoder_hidden_size": 40}, "text_config": {"model_type": "opt", "ffn_dim": 56, "word_embed_proj_dim": 32}
        | DECODER, "num_query_tokens": 4, "image_token_index": 77, "image_token_id": 77}, PLACED),
    Family("vilt", "ViltForMaskedLM", SIGHT | {"vocab_size": 83, "max_position_embeddings": 40,
        "max_image_length": -1}, BOTH),
    Family("visual_bert", "VisualBertForPreTraining", DECODER | {"visual_embedding_dim": 20}, TEXT |
        {"visual_embeds": normal(2, 4, 20)}),
    Family("flava", "FlavaModel", {"text_config": TOWER, "image_config": SIGHT,
        "multimodal_config": {"hidden_size": 36, "num_hidden_layers": 1, "num_attention_heads": 4,
        "intermediate_size": 44}, "projection_dim": 24, "hidden_size": 36}, BOTH),
    Family("bridgetower", "BridgeTowerForMaskedLM", {"hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "text_config": TOWER | {"type_vocab_size": 1},
        "vision_config": {"hidden_size": 64, "num_hidden_layers": 2, "image_size": 32, "patch_size": 16}}, BOTH |
        {"pixel_mask": constant(*[[[1] * 32] * 32] * 2)}),
    Family("lxmert", "LxmertModel", {"vocab_size": 83, "hidden_size": 32, "num_attention_heads": 4,
        "intermediate_size": 56, "max_position_embeddings": 40, "l_layers": 1, "x_layers": 1, "r_layers": 1,
        "visual_feat_dim": 20, "num_qa_labels": 5}, TEXT | {"visual_feats": normal(2, 4, 20),
        "visual_pos": normal(2, 4, 4)}),
    Family("git", "GitForCausalLM", TOWER | {"vision_config": SIGHT}, BOTH),
    Family("layoutlmv3", "LayoutLMv3ForTokenClassification", DECODER | {"coordinate_size": 5, "shape_size": 6,
        "max_2d_position_embeddings": 64, "input_size": 32, "patch_size": 16, "rel_pos_bins": 8,
        "rel_2d_pos_bins": 8}, BOTH | {"bbox": boxes(2, 10)}),
    Family("llava", "LlavaForConditionalGeneration", {"text_config": LLAMA, "vision_config": CLIP,
        "image_token_index": 77, "image_token_id": 77}, PLACED),
    Family("vipllava", "VipLlavaForConditionalGeneration", {"text_config": LLAMA, "vision_config": CLIP,
        "image_token_index": 77, "image_token_id": 77, "vision_feature_layers": [-2, -1]}, PLACED),
    Family("paligemma", "PaliGemmaForConditionalGeneration", {"text_config": {"model_type": "gemma", "head_dim": 8} |
        GROUPED, "vision_config": SIGLIP | {"projection_dim": 32}, "projection_dim": 32, "image_token_index": 77,
        "image_token_id": 77}, PLACED | {"token_type_ids": constant([0] * 8, [0] * 8)}),
    Family("idefics3", "Idefics3ForConditionalGeneration", {"text_config": LLAMA, "vision_config": SIGHT,
        "scale_factor": 1, "image_token_id": 77}, {"input_ids": constant(ROW, ROW[::-1]),
        "pixel_values": normal(2, 1, 3, 32, 32)}),
    Family("clap", "ClapModel", {"text_config": TOWER | {"type_vocab_size": 1, "projection_dim": 12},
        "audio_config": {"window_size": 4, "num_mel_bins": 16, "spec_size": 64, "patch_size": 4,
        "patch_stride": [4, 4], "patch_embeds_hidden_size": 16, "depths": [1, 1], "num_attention_heads": [2, 2],
        "num_hidden_layers": 2, "hidden_size": 32, "projection_dim": 12}, "projection_dim": 12}, TEXT |
        {"input_features": normal(2, 1, 64, 16)}),
    Family("vision-text-dual-encoder", "VisionTextDualEncoderModel", {"text_config": {"model_type": "bert"} | TOWER,
        "vision_config": {"model_type": "vit"} | SIGHT, "projection_dim": 24}, BOTH),
    Family("pix2struct", "Pix2StructForConditionalGeneration", {"text_config": {"vocab_size": 83, "hidden_size": 32,
        "d_kv": 8, "d_ff": 56, "num_layers": 1, "num_heads": 4}, "vision_config": {"hidden_size": 32, "d_kv": 8,
        "d_ff": 56, "num_hidden_layers": 1, "num_attention_heads": 4, "patch_embed_hidden_size": 20, "seq_len": 8},
        "is_encoder_decoder": True}, {"flattened_patches": patches(2, 6, 20), "decoder_input_ids": ids(2, 7)}),
    Family("kosmos-2", "Kosmos2ForConditionalGeneration", {"text_config": {"vocab_size": 83, "embed_dim": 32,
        "ffn_dim": 56, "layers": 2, "attention_heads": 4, "max_position_embeddings": 40}, "vision_config": SIGHT,
        "latent_query_num": 4}, {"input_ids": constant(ROW, ROW[::-1]), "pixel_values": normal(2, 3, 32, 32),
        "image_embeds_position_mask": constant([0, 1, 1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1, 0])}),
)
# fmt: on
