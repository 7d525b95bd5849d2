"""Example inputs from a transformers configuration."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
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
        height, width) or (batch, frames, channels, height, width), `pixel_values_videos` likewise, `input_values`
        (batch, samples), `input_features` (batch, bins, frames) or (batch, frames, bins), `past_values` (batch, length,
        channels); with `decoder_input_ids` for encoder-decoders. None when the class takes something else.
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
        positions = min(
            getattr(text, name, None) or _TOKENS + 2 for name in ("max_position_embeddings", "max_target_positions")
        )
        length = max(1, min(_TOKENS, positions - 2))
        return torch.randint(0, vocabulary, (batch, length), generator=generator)

    main = getattr(model_class, "main_input_name", "input_ids")
    # Two towers (CLIP and its kin) take both at once; a model with an image *token* takes text alone.
    has_image_token = any(getattr(config, name, None) is not None for name in ("image_token_id", "image_token_index"))
    vision = getattr(config, "vision_config", None)
    kwargs: dict[str, torch.Tensor | None]
    if main == "input_ids":
        kwargs = {"input_ids": tokens()}
        looks = vision is not None or hasattr(config, "image_size")  # ViLT has one configuration for both
        if looks and not has_image_token and "pixel_values" in signature(model_class.forward).parameters:
            kwargs["pixel_values"] = normal(*_image_shape(vision or config, image_shape))
    elif main in ("pixel_values", "pixel_values_videos"):
        kwargs = {main: normal(*_image_shape(vision or config, image_shape))}
        reads = signature(model_class.forward).parameters.get("input_ids")
        if reads is not None and not has_image_token:  # captions under pictures
            kwargs["input_ids"] = tokens()
    elif main == "input_values":
        bins, length = getattr(config, "num_mel_bins", None), getattr(config, "max_length", None)
        channels = getattr(config, "audio_channels", None)
        if bins is not None and length is not None:
            kwargs = {main: normal(length, bins)}
        else:
            kwargs = {main: normal(_WAVEFORM_SAMPLES) if channels is None else normal(channels, _WAVEFORM_SAMPLES)}
    elif main == "input_features":
        kwargs = {main: _spectrum(config, normal)}
    elif main == "past_values":
        length, channels = getattr(config, "context_length", None), getattr(config, "num_input_channels", None)
        kwargs = {main: None if length is None or channels is None else normal(length, channels)}
    else:
        return None
    if (
        getattr(config, "is_encoder_decoder", False)
        and "decoder_input_ids" in signature(model_class.forward).parameters
    ):
        kwargs["decoder_input_ids"] = tokens()
    if any(value is None for value in kwargs.values()):
        return None
    return Inputs(kwargs=kwargs)


def _spectrum(config: Any, normal: Callable[..., torch.Tensor]) -> torch.Tensor | None:
    sound = getattr(config, "encoder_config", None) or config
    names = ("num_mel_bins", "feature_size", "input_feat_per_channel", "feature_projection_input_dim")
    bins = next((size for name in names if (size := getattr(sound, name, 0))), 0)
    frames = getattr(sound, "max_source_positions", None)
    if not bins:
        return None
    # Whisper wants exactly two spectrum frames per encoder position; other speech models take any length.
    if hasattr(sound, "num_mel_bins") and frames:
        return normal(bins, 2 * frames)
    return normal(_SPECTRUM_FRAMES, bins)


def _image_shape(config: Any, given: tuple[int, ...] | None) -> tuple[int, ...]:
    if given is not None:
        return given
    size = getattr(config, "image_size", None) or getattr(config, "crop_size", None) or 224
    height, width = (size, size) if isinstance(size, int) else tuple(size)[-2:]
    channels = getattr(config, "num_channels", None) or 3
    frames = getattr(config, "num_frames", None) or getattr(config, "frames_per_clip", None)
    return (channels, height, width) if frames is None else (frames, channels, height, width)
