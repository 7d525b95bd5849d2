"""Transpositions that a derivation does not claim, drawn to see whether it misses any.

A finished context still knows every set of indices that stays in place by identity: a frozen atom, or a stretch that
was ordered from the start. All of them, with the free atoms, are the *classes* here. A conjecture moves indices of
classes on every axis that carries them, as a group of a spec would:

* ``within``: two indices, or two blocks of equal length, of one frozen class;
* ``across``: an index of one class and an index of another that lies beside it wherever it occurs, or the two wholes;
* ``per outer``: two indices of a free class for some indices only of a class that it shares a product with;
* ``joint``: as ``within``, in several frozen classes of one size at once, as where an operator without a rule froze
  both of its sides;
* ``untied``: as ``within``, on a part only of the axes that carry a class, a stretch in the order of the network, or
  on some only of the parts of the axes that carry it several times.
"""

from weightspace.symmetry.conjecture.collect import Conjectures, conjectures
from weightspace.symmetry.conjecture.family import Conjecture

__all__ = ["Conjecture", "Conjectures", "conjectures"]
