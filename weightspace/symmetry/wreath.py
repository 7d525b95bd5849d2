"""Which groups may be permuted independently for every index of another: the wreath products of a derivation.

The inner atom d may have its own permutation for each index of h if and only if, in every tensor and every iteration
space that contains d, h occurs either once in the same product or exactly once as a direct factor of another dimension.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any

from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Atom, Label, Product, Sum, Uniform, Varying, cases, structure


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
    chosen: dict[Atom, set[Atom]] = {}
    for atom in known:
        if of(atom):
            chosen[atom] = {
                outer
                for outer in allowed.get(atom, set())
                # Where each could depend on the other, the inner factor of their products depends on the outer one.
                if atom not in allowed.get(outer, set())
                or outer.frozen is not None
                or order[outer, atom] > order[atom, outer]
            }
    _close(chosen, known)
    return {
        atom: tuple(sorted(outers, key=lambda outer: (len(chosen.get(outer, ())), known[outer])))
        for atom, outers in chosen.items()
    }


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
    """Intersects what each atom may depend on with what one tensor permits."""
    places = [(atom, path, dim) for dim, label in enumerate(labels) for atom, path in _paths(label, ())]
    count = Counter(atom for atom, _, _ in places)
    direct = [set(_direct(label)) for label in labels]
    for atom, path, dim in places:
        beside = Counter(path)
        permitted = {outer for outer in beside if isinstance(outer, Atom) and beside[outer] == 1}
        # Beside a uniform index the outer one may be the uniform one, once it has met other values.
        alone = not any(isinstance(factor, Uniform) for factor in path)
        for other, factors in enumerate(direct):
            if other != dim and alone:
                permitted |= {outer for outer in factors if count[outer] == 1}
        permitted &= known
        permitted.discard(atom)
        allowed[atom] = allowed[atom] & permitted if atom in allowed else permitted


def _paths(label: Label, path: tuple[Atom | Uniform, ...]) -> Iterator[tuple[Atom, tuple[Atom | Uniform, ...]]]:
    """Every atom of a label with the atoms and uniform indices that stand in the same products."""
    match label:
        case Atom():
            yield label, path
        case Product():
            for number, factor in enumerate(label.factors):
                beside = [f for i, f in enumerate(label.factors) if i != number and isinstance(f, (Atom, Uniform))]
                yield from _paths(factor, (*path, *beside))
        case Sum():
            for part in label.parts:
                yield from _paths(part, path)
        case Varying():
            for choice in label.choices:
                yield from _paths(choice, path)


def _direct(label: Label) -> Iterator[Atom]:
    for factor in label.factors if isinstance(label, Product) else (label,):
        if isinstance(factor, Atom):
            yield factor


def _nested(label: Label) -> Iterator[tuple[Atom, Atom]]:
    """(outer, inner) pairs of atoms in one product."""
    match label:
        case Product():
            atoms = [factor for factor in label.factors if isinstance(factor, Atom)]
            for number, outer in enumerate(atoms):
                for inner in atoms[number + 1 :]:
                    yield outer, inner
            for factor in label.factors:
                yield from _nested(factor)
        case Sum():
            for part in label.parts:
                yield from _nested(part)


def _distinct(tensors: Iterable[list[Label]]) -> Iterator[list[Label]]:
    """Label lists, varying ones expanded, each structure once."""
    seen: set[Any] = set()
    for labels in tensors:
        for expanded in cases(labels):
            key = tuple(structure(label) for label in expanded)
            if key not in seen:
                seen.add(key)
                yield expanded
