"""The ways to align, a file each; importing this package fills `weightspace.align.method.METHODS`."""

from weightspace.align.methods import activations, sinkhorn, ste, weights

__all__ = ["activations", "sinkhorn", "ste", "weights"]
