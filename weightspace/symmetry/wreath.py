"""Which groups may be permuted independently for every index of another: the wreath products of a derivation.

The inner atom d may have its own permutation for each index of h if and only if, in every tensor and every iteration
space that contains d, h occurs either once in the same product or exactly once as a direct factor of another dimension.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any

from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Atom, Label, Product, Sum, Uniform, Varying, cases, structure

MOST_BLOCKS = 4096  # of one tensor, products of the pieces of its dimensions


def dependencies(
    context: Context, atoms: Iterable[Atom], *, of: Callable[[Atom], bool] = lambda atom: atom.frozen is None
) -> dict[Atom, tuple[Atom, ...]]:
    """For every movable atom the outer atoms that its permutation may depend on, outermost first.

    Args:
        context: A finished context.
        atoms: Atoms that occur in parameters; frozen ones may serve as outer index.
        of: Which atoms to answer for; by default the movable ones.
    """
    known = {atom: number for number, atom in enumerate(atoms)}  # their order decides where nothing else does
    allowed: dict[Atom, set[Atom]] = {}
    order: Counter[tuple[Atom, Atom]] = Counter()
    for labels in _distinct(context.extended()):
        _restrict(labels, known.keys(), allowed)
        for label in labels:
            for outer, inner in _nested(label):
                order[outer, inner] += 1

    def precedes(outer: Atom, inner: Atom) -> bool:
        """Where each could depend on the other: the inner factor of products does, else what gives more freedom."""
        if order[outer, inner] != order[inner, outer]:
            return order[outer, inner] > order[inner, outer]
        freedom, other = _freedom(outer, inner), _freedom(inner, outer)
        return freedom > other if freedom != other else known[outer] < known[inner]

    chosen: dict[Atom, set[Atom]] = {}
    for atom in known:
        if of(atom):
            chosen[atom] = {
                outer
                for outer in allowed.get(atom, set())
                if atom not in allowed.get(outer, set()) or outer.frozen is not None or precedes(outer, atom)
            }
    _close(chosen, known)
    return {
        atom: tuple(sorted(outers, key=lambda outer: (len(chosen.get(outer, ())), known[outer])))
        for atom, outers in chosen.items()
    }


def _freedom(outer: Atom, inner: Atom) -> float:
    """Logarithm of the number of permutations, with one of the inner indices for every outer index."""
    return math.lgamma(outer.size + 1) + outer.size * math.lgamma(inner.size + 1)


def _close(chosen: dict[Atom, set[Atom]], known: Mapping[Atom, int]) -> None:
    """Drops dependencies until they are transitive: what depends on h depends on all that h depends on."""
    changed = True
    while changed:
        changed = False
        for outers in chosen.values():
            for outer in sorted(outers, key=known.__getitem__):
                extra = chosen.get(outer, set()) - outers
                if extra:
                    chosen[outer] -= extra
                    changed = True


def _restrict(labels: list[Label], known: Set[Atom], allowed: dict[Atom, set[Atom]]) -> None:
    """Intersects what each atom may depend on with what one tensor permits, in each of its blocks."""
    pieces = [list(dict.fromkeys(_pieces(label))) for label in labels]
    if math.prod(map(len, pieces)) <= MOST_BLOCKS:
        blocks = itertools.product(*pieces)
    else:  # too many to go through: each dimension by itself permits less
        blocks = ((piece,) for dim in pieces for piece in dim)
    for block in blocks:
        count = Counter(factor for piece in block for factor in piece)
        for dim, piece in enumerate(block):
            beside = Counter(piece)
            # Beside a uniform index the outer one may be the uniform one, once it has met other values.
            alone = not any(isinstance(factor, Uniform) for factor in piece)
            elsewhere = [factor for other, factors in enumerate(block) if other != dim for factor in factors if alone]
            for atom in piece:
                if not isinstance(atom, Atom):
                    continue
                permitted = {outer for outer in beside if outer is not atom and beside[outer] == 1}
                permitted |= {outer for outer in elsewhere if count[outer] == 1}
                permitted = {outer for outer in permitted if isinstance(outer, Atom)} & known
                permitted.discard(atom)
                allowed[atom] = allowed[atom] & permitted if atom in allowed else permitted


def _pieces(label: Label) -> list[tuple[Label, ...]]:
    """The products of leaves that a label consists of, side by side."""
    match label:
        case Product():
            return [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*map(_pieces, label.factors))]
        case Sum():
            return [piece for part in label.parts for piece in _pieces(part)]
        case Varying():
            return [piece for choice in label.choices for piece in _pieces(choice)]
        case _:
            return [(label,)]


def _nested(label: Label) -> Iterator[tuple[Atom, Atom]]:
    """(outer, inner) pairs of atoms in one product."""
    for piece in dict.fromkeys(_pieces(label)):
        atoms = [factor for factor in piece if isinstance(factor, Atom)]
        yield from itertools.combinations(atoms, 2)


def _distinct(tensors: Iterable[list[Label]]) -> Iterator[list[Label]]:
    """Label lists, varying ones expanded, each structure once."""
    seen: set[Any] = set()
    for labels in tensors:
        for expanded in cases(labels):
            key = tuple(structure(label) for label in expanded)
            if key not in seen:
                seen.add(key)
                yield expanded
