"""Statistics of activations, streamed over data."""

from weightspace.stats.batchnorm import by_batch, has_batchnorm, reset_batchnorm, reset_on_calls
from weightspace.stats.cross import CrossMoments
from weightspace.stats.doubts import doubts_about
from weightspace.stats.moments import ChannelMoments
from weightspace.stats.output_moments import output_moments

__all__ = [
    "ChannelMoments",
    "CrossMoments",
    "by_batch",
    "doubts_about",
    "has_batchnorm",
    "output_moments",
    "reset_batchnorm",
    "reset_on_calls",
]
