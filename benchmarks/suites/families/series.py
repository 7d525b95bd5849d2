"""Time series, trajectories, and what fits nowhere else."""

from __future__ import annotations

from suites.families.family import Family, constant, ids, normal, uniform

# fmt: off
ROLL = {"prediction_length": 4, "context_length": 8, "lags_sequence": [1, 2], "num_time_features": 1, "d_model": 32,
        "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
        "encoder_ffn_dim": 56, "decoder_ffn_dim": 48}
SEEN = [[1] * 10] * 2
PAST = {"past_values": uniform(2, 10), "past_time_features": normal(2, 10, 1), "past_observed_mask": constant(*SEEN),
        "future_values": uniform(2, 4), "future_time_features": normal(2, 4, 1)}
PATCHED = {"num_input_channels": 3, "context_length": 32, "patch_length": 8, "patch_stride": 8, "d_model": 24,
        "num_hidden_layers": 2}

FAMILIES = (
    Family("time_series_transformer", "TimeSeriesTransformerModel", ROLL, PAST),
    Family("informer", "InformerModel", ROLL, PAST),
    Family("autoformer", "AutoformerModel", ROLL | {"label_length": 4, "moving_average": 3}, PAST),
    Family("patchtst", "PatchTSTForPrediction", PATCHED | {"num_attention_heads": 4, "ffn_dim": 40,
        "prediction_length": 5, "use_cls_token": True}, {"past_values": normal(2, 32, 3)}),
    Family("patchtsmixer", "PatchTSMixerForPrediction", PATCHED | {"prediction_length": 5, "num_layers": 2,
        "expansion_factor": 2}, {"past_values": normal(2, 32, 3)}),
    Family("timesfm", "TimesFmModelForPrediction", {"patch_length": 8, "context_length": 32, "horizon_length": 8,
        "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2, "num_attention_heads": 4,
        "head_dim": 8}, {"past_values": normal(2, 32)}),
    Family("decision_transformer", "DecisionTransformerModel", {"state_dim": 5, "act_dim": 3, "hidden_size": 32,
        "n_layer": 2, "n_head": 4, "max_ep_len": 20, "vocab_size": 1, "n_positions": 40},
        {"states": normal(2, 4, 5), "actions": normal(2, 4, 3), "rewards": normal(2, 4, 1),
        "returns_to_go": normal(2, 4, 1), "timesteps": ids(2, 4, below=20, start=0),
        "attention_mask": constant([1] * 4, [1] * 4)}),
)
# fmt: on
