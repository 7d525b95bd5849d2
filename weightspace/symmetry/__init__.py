"""Symmetry of networks: derived from a trace, written as a spec, applied to weights, verified numerically."""
