"""Deep weight spaces of real checkpoints.

`weightspace` derives the symmetries of a network from the network itself (which axis of which tensor may be permuted
together with which), and uses that one specification to align, merge and compare trained checkpoints.

The parts, each a subpackage that is imported on its own:

* `weightspace.checkpoint`: open any checkpoint lazily, write it again atomically, with provenance;
* `weightspace.source`: where a model comes from, and the network as a function of its weights;
* `weightspace.symmetry`: the symmetry specification, its action on weights, its verification;
* `weightspace.align`, `weightspace.merge`, `weightspace.evaluate`: what is done with it;
* `weightspace.errors`: the one exception tree.

Importing this package imports no torch.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
