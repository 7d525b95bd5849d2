"""Statistics of activations, streamed over data."""

from weightspace.stats.batchnorm import has_batchnorm, reset_batchnorm
from weightspace.stats.cross import CrossMoments
from weightspace.stats.moments import ChannelMoments

__all__ = ["ChannelMoments", "CrossMoments", "has_batchnorm", "reset_batchnorm"]
