"""The suite of transformers: model families by tiny configurations with random weights, built offline."""

from __future__ import annotations

from suites import Case
from suites.families import causal, encoder, encoder_decoder, experts, multimodal, recurrent, series, speech, vision

KINDS = (causal, encoder, encoder_decoder, experts, recurrent, vision, speech, multimodal, series)


def cases() -> list[Case]:
    """One network per row of the tables; nothing is built yet."""
    return [Case(family.name, family.name, family.build) for kind in KINDS for family in kind.FAMILIES]
