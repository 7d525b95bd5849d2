"""The ways to align, a file each; importing this package fills `weightspace.align.method.METHODS`."""

from weightspace.align.methods import activations, ste, weights

__all__ = ["activations", "ste", "weights"]
