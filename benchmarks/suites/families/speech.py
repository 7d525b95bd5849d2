"""Speech and sound."""

from __future__ import annotations

from suites.families.family import SPECIAL, VOCABULARY, Family, ids, mask, normal

# fmt: off
WAVE = {"input_values": normal(2, 400)}
WAV2VEC = SPECIAL | {
    "vocab_size": 31,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 56,
    "conv_dim": [16, 24, 24],
    "conv_stride": [4, 2, 2],
    "conv_kernel": [8, 3, 2],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}
GROUPED = WAV2VEC | {"feat_extract_norm": "group"}
LAYERED = WAV2VEC | {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
SEQUENCE = SPECIAL | {"decoder_start_token_id": 1, "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2,
        "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 56,
        "decoder_ffn_dim": 48}

FAMILIES = (
    Family("wav2vec2", "Wav2Vec2ForCTC", GROUPED, WAVE | {"attention_mask": mask(2, 400, padded=80)}),
    Family("wav2vec2-layer", "Wav2Vec2ForCTC", LAYERED, WAVE),
    Family("wav2vec2-conformer", "Wav2Vec2ConformerForCTC", GROUPED | {"position_embeddings_type": "relative",
        "max_source_positions": 64}, WAVE),
    Family("wav2vec2-conformer-rotary", "Wav2Vec2ConformerForCTC", GROUPED | {"position_embeddings_type": "rotary"},
        WAVE),
    Family("wav2vec2-bert", "Wav2Vec2BertForCTC", SPECIAL | {"vocab_size": 31, "hidden_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 56,
        "feature_projection_input_dim": 20, "conv_depthwise_kernel_size": 5},
        {"input_features": normal(2, 24, 20)}),
    Family("hubert", "HubertForCTC", GROUPED, WAVE),
    Family("wavlm", "WavLMForCTC", GROUPED | {"num_buckets": 16, "max_bucket_distance": 20}, WAVE),
    Family("sew", "SEWForCTC", GROUPED | {"squeeze_factor": 2}, WAVE),
    Family("sew-d", "SEWDForCTC", GROUPED | {"squeeze_factor": 2, "position_buckets": 8,
        "max_position_embeddings": 64}, WAVE),
    Family("unispeech", "UniSpeechForCTC", GROUPED | {"num_ctc_classes": 31}, WAVE),
    Family("unispeech-sat", "UniSpeechSatForCTC", GROUPED, WAVE),
    Family("data2vec-audio", "Data2VecAudioForCTC", WAV2VEC | {"conv_pos_kernel_size": 5,
        "num_conv_pos_embeddings": 2}, WAVE),
    Family("whisper", "WhisperForConditionalGeneration", SEQUENCE | {"num_mel_bins": 20, "max_source_positions": 16,
        "max_target_positions": 12}, {"input_features": normal(2, 20, 32), "decoder_input_ids": ids(2, 7)}),
    Family("speech_to_text", "Speech2TextForConditionalGeneration", SEQUENCE | {"input_feat_per_channel": 20,
        "conv_channels": 24, "max_source_positions": 40, "max_target_positions": 12},
        {"input_features": normal(2, 32, 20), "attention_mask": mask(2, 32, padded=8),
        "decoder_input_ids": ids(2, 7)}),
    Family("moonshine", "MoonshineForConditionalGeneration", SPECIAL | {"decoder_start_token_id": 1,
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 56, "encoder_num_hidden_layers": 1,
        "decoder_num_hidden_layers": 1, "encoder_num_attention_heads": 4, "decoder_num_attention_heads": 4},
        {"input_values": normal(2, 2000), "decoder_input_ids": ids(2, 7)}),
    Family("audio-spectrogram-transformer", "ASTForAudioClassification", {"num_labels": 7, "hidden_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 56, "patch_size": 8,
        "max_length": 32, "num_mel_bins": 16, "frequency_stride": 8, "time_stride": 8},
        {"input_values": normal(2, 32, 16)}),
    Family("clap-audio", "ClapAudioModelWithProjection", {"window_size": 4, "num_mel_bins": 16, "spec_size": 64,
        "patch_size": 4, "patch_stride": [4, 4], "patch_embeds_hidden_size": 16, "depths": [1, 1],
        "num_attention_heads": [2, 2], "num_hidden_layers": 2, "hidden_size": 32, "projection_dim": 12},
        {"input_features": normal(2, 1, 64, 16)}),
    Family("speecht5", "SpeechT5ForSpeechToText", SPECIAL | {"decoder_start_token_id": 1, "vocab_size": VOCABULARY,
        "hidden_size": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 56, "decoder_ffn_dim": 48, "conv_dim": [16, 24],
        "conv_stride": [4, 2], "conv_kernel": [8, 3], "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 4, "positional_dropout": 0.0, "max_speech_positions": 100,
        "encoder_max_relative_position": 8}, {"input_values": normal(2, 400), "decoder_input_ids": ids(2, 7)}),
    Family("encodec", "EncodecModel", {"num_filters": 4, "hidden_size": 16, "codebook_size": 16, "codebook_dim": 16,
        "upsampling_ratios": [2, 2], "num_lstm_layers": 1, "target_bandwidths": [24.0], "sampling_rate": 2400},
        {"input_values": normal(2, 1, 64)}),
    Family("univnet", "UnivNetModel", {"model_in_channels": 8, "model_hidden_channels": 8, "num_mel_bins": 10,
        "resblock_kernel_sizes": [3], "resblock_stride_sizes": [4], "resblock_dilation_sizes": [[1, 3]],
        "kernel_predictor_num_blocks": 1, "kernel_predictor_hidden_channels": 8},
        {"input_features": normal(2, 12, 10), "noise_sequence": normal(2, 12, 8)}),
    Family("fastspeech2_conformer", "FastSpeech2ConformerHifiGan", {"model_in_dim": 10, "upsample_initial_channel": 16,
        "upsample_rates": [2, 2], "upsample_kernel_sizes": [4, 4], "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3]]}, {"spectrogram": normal(2, 12, 10)}),
    Family("parakeet", "ParakeetForCTC", {"vocab_size": 31, "pad_token_id": 0, "encoder_config": {"hidden_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 56, "num_mel_bins": 16,
        "subsampling_conv_channels": 12, "subsampling_factor": 4, "conv_kernel_size": 5}},
        {"input_features": normal(2, 32, 16), "attention_mask": mask(2, 32, padded=8)}),
    Family("dac", "DacModel", {"encoder_hidden_size": 8, "downsampling_ratios": [2, 2], "decoder_hidden_size": 16,
        "n_codebooks": 2, "codebook_size": 16, "codebook_dim": 4}, {"input_values": normal(2, 1, 64)}),
)
# fmt: on
