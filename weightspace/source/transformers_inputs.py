"""Example inputs from a transformers configuration."""

from __future__ import annotations

from typing import Any

import torch

from weightspace.source.base import Inputs

_TOKENS = 16
_WAVEFORM_SAMPLES = 4000
_SPECTRUM_FRAMES = 64


def inputs_for(
    config: Any,
    model_class: Any,
    *,
    batch: int,
    seed: int,
    dtype: torch.dtype,
    image_shape: tuple[int, ...] | None = None,
) -> Inputs | None:
    """Random inputs of the kind that a model class names as its main input.

    Args:
        config: A `PretrainedConfig`.
        model_class: A `PreTrainedModel` class.
        batch: Number of samples.
        seed: Seed of the values.
        dtype: Type of floating inputs; tokens are int64.
        image_shape: Shape of one image or clip, instead of the configuration's.

    Returns:
        Keyword inputs: `input_ids` (batch, length) below the vocabulary's size, `pixel_values` (batch, channels,
        height, width) or (batch, frames, channels, height, width), `input_values` (batch, samples) or `input_features`
        (batch, bins, frames); with `decoder_input_ids` for encoder-decoders. None when the class takes something else.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(batch, *shape, generator=generator, dtype=dtype)

    def tokens() -> torch.Tensor | None:
        text = config.get_text_config() if hasattr(config, "get_text_config") else config
        vocabulary = getattr(text, "vocab_size", None)
        if vocabulary is None:
            return None
        # Some families begin their positions after the padding index, so two positions are left free.
        positions = getattr(text, "max_position_embeddings", None) or _TOKENS + 2
        length = max(1, min(_TOKENS, positions - 2))
        return torch.randint(0, vocabulary, (batch, length), generator=generator)

    main = getattr(model_class, "main_input_name", "input_ids")
    kwargs: dict[str, torch.Tensor | None]
    if main == "input_ids":
        kwargs = {"input_ids": tokens()}
        # Two towers (CLIP and its kin) take both at once; a model with an image *token* takes text alone.
        has_image_token = any(
            getattr(config, name, None) is not None for name in ("image_token_id", "image_token_index")
        )
        if getattr(config, "vision_config", None) is not None and not has_image_token:
            kwargs["pixel_values"] = normal(*_image_shape(config.vision_config, image_shape))
    elif main == "pixel_values":
        kwargs = {main: normal(*_image_shape(getattr(config, "vision_config", None) or config, image_shape))}
    elif main == "input_values":
        bins = getattr(config, "num_mel_bins", None)
        kwargs = {main: normal(_WAVEFORM_SAMPLES) if bins is None else normal(config.max_length, bins)}
    elif main == "input_features":
        bins = next(
            (b for n in ("num_mel_bins", "feature_size", "input_feat_per_channel") if (b := getattr(config, n, 0))), 0
        )
        frames = getattr(config, "max_source_positions", None)
        if not bins:
            return None
        # Whisper wants exactly two spectrum frames per encoder position; other speech models take any length.
        kwargs = {
            main: normal(bins, 2 * frames)
            if hasattr(config, "num_mel_bins") and frames
            else normal(_SPECTRUM_FRAMES, bins)
        }
    else:
        return None
    if getattr(config, "is_encoder_decoder", False):
        kwargs["decoder_input_ids"] = tokens()
    if any(value is None for value in kwargs.values()):
        return None
    return Inputs(kwargs=kwargs)


def _image_shape(config: Any, given: tuple[int, ...] | None) -> tuple[int, ...]:
    if given is not None:
        return given
    size = getattr(config, "image_size", None) or 224
    height, width = (size, size) if isinstance(size, int) else tuple(size)[-2:]
    channels = getattr(config, "num_channels", None) or 3
    frames = getattr(config, "num_frames", None)
    return (channels, height, width) if frames is None else (frames, channels, height, width)
