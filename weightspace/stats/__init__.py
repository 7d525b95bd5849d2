"""Statistics of activations, streamed over data."""

from weightspace.stats.batchnorm import by_batch, has_batchnorm, reset_batchnorm
from weightspace.stats.cross import CrossMoments
from weightspace.stats.moments import ChannelMoments

__all__ = ["ChannelMoments", "CrossMoments", "by_batch", "has_batchnorm", "reset_batchnorm"]
