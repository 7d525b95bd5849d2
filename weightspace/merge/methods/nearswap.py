"""NearSwap: elements of a model where they are near the base, and less of them the farther they are."""

from __future__ import annotations

from torch import Tensor

from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.method import Measured, MergeMethod
from weightspace.merge.methods.option import Option, Settings


def _nearswap(chunk: Chunk, settings: Settings, _: Measured) -> Tensor:
    """The base, moved towards the model by t at most, which is t / |delta| of the way."""
    assert chunk.base is not None
    t = settings.number("t")
    return chunk.base + chunk.deltas[0].clamp_(-t, t)


NEARSWAP = MergeMethod(
    "nearswap", "NearSwap", "the base with every element moved to the model's, but by a distance at most",
    "alchemonaut 2024, QuartetAnemoi-70B, model card", _nearswap,
    options=(Option("t", "how far an element goes at most", 1e-4, low=0.0),), base="required", models=(1, 1),
)  # fmt: skip
