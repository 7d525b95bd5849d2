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

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.symmetry.action import act
from weightspace.symmetry.block import axis_pieces
from weightspace.symmetry.context import Context
from weightspace.symmetry.derive import named_spec
from weightspace.symmetry.element import Element
from weightspace.symmetry.group import Group
from weightspace.symmetry.label import Atom, Fixed, Label, Product, Sum, resolve
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.transposition import (
    BLOCKS,
    Move,
    Pieces,
    Place,
    axis_move,
    group_move,
    permute,
    transposition,
)

Draw = Callable[[Random], Move]
MOST_PARTS = 16  # a class that the network tells apart into so many at most is tried in each of its subsets


@dataclass(frozen=True)
class Conjecture:
    """A family of transpositions that the spec does not have.

    Attributes:
        kind: What is moved (see the module).
        size: Number of indices of the class, or of the larger one of two.
        reason: Why the derivation does not move them.
        draw: Draws one transposition.
    """

    kind: str
    size: int
    reason: str
    draw: Draw


@dataclass(frozen=True)
class Conjectures:
    """What to try on a network.

    Attributes:
        spec: A spec in which every class is a group.
        close: For every class.
        wide: For sets and parts of classes.
    """

    spec: Spec
    close: tuple[Conjecture, ...]
    wide: tuple[Conjecture, ...]


def conjectures(context: Context) -> Conjectures:
    """The transpositions to try after a finished derivation.

    Args:
        context: As `weightspace.symmetry.propagate.propagate` returns it.
    """
    spec, names = named_spec(_with_identities(context), lambda atom: True)
    frozen = {names[atom]: atom.frozen for atom in names if atom.frozen is not None}
    classes = [group for group in spec.groups if group.size > 1]
    close = [
        *(_within(spec, group, frozen[group.name]) for group in classes if group.name in frozen),
        *_across(spec, frozen),
        *(each for group in classes if group.name not in frozen for each in _per_outer(spec, group, frozen)),
    ]
    wide = [
        *(_joint(spec, together, frozen) for together in _companions(spec, frozen)),
        *(
            _untied(spec, group, frozen.get(group.name, "tied"))
            for group in classes
            if any(len(_parts(spec, group, place)) > 1 for place in spec.occurrences(group.name))
            or len(spec.occurrences(group.name)) > 1
        ),
    ]
    return Conjectures(spec, tuple(close), tuple(wide))


def _with_identities(context: Context) -> Context:
    """The context with ordered stretches of the tensors of the state dict as frozen atoms, the same one everywhere."""
    atoms: dict[int, tuple[Fixed, Atom]] = {}  # the stretch is kept, so that its id stays its own

    def identified(label: Label) -> Label:
        match label:
            case Fixed():
                return atoms.setdefault(id(label), (label, Atom(label.size, frozen=label.reason or "ordered")))[1]
            case Product():
                return Product([identified(factor) for factor in label.factors])
            case Sum():
                return Sum([identified(part) for part in label.parts], label.runs, label.case)
            case _:
                return label

    labels = dict(context.labels)
    for ref in context.trace.tensors.values():
        labels[ref.key] = [identified(resolve(label)) for label in context.algebra.plain(labels[ref.key])]
    return replace(context, labels=labels)


# -------------------------------------------------------------------------------------- one class, or several at once


def _within(spec: Spec, group: Group, reason: str) -> Conjecture:
    return Conjecture("within", group.size, reason, _moving(spec, {group.name}, spec.occurrences(group.name)))


def _joint(spec: Spec, names: frozenset[str], frozen: Mapping[str, str]) -> Conjecture:
    places = sorted({place for name in names for place in spec.occurrences(name)})
    reasons = sorted({frozen[name] for name in names})
    size = next(group.size for group in spec.groups if group.name in names)
    return Conjecture("joint", size, "; ".join(reasons), _moving(spec, names, places))


def _untied(spec: Spec, group: Group, reason: str) -> Conjecture:
    places: list[Place] = []
    for tensor in dict.fromkeys(tensor for tensor, _ in spec.occurrences(group.name)):
        # What a weight (out, in) reads comes before what it writes.
        places += reversed([place for place in spec.occurrences(group.name) if place[0] == tensor])

    parts = max(len(_parts(spec, group, place)) for place in places)

    def draw(random: Random) -> Move:
        if parts > 1 and (len(places) == 1 or random.random() < 0.5):
            return _some_parts(spec, group, places, parts, random)
        length = random.randrange(1, len(places))
        start = random.randrange(len(places) - length + 1)
        perm = transposition(group.size, random)
        chosen, rest = places[start : start + length], places[:start] + places[start + length :]
        move = group_move(spec, {group.name}, chosen, perm)
        return replace(move, rest=group_move(spec, {group.name}, rest, perm).apply)

    return Conjecture("untied", group.size, reason, draw)


def _parts(spec: Spec, group: Group, place: Place) -> list[int]:
    """Numbers of the pieces of an axis that carry a class."""
    tensor, axis = place
    pieces = axis_pieces(spec.tensors[tensor].axes[axis])
    return [number for number, piece in enumerate(pieces) if group.name in piece.groups]


def _some_parts(spec: Spec, group: Group, places: Sequence[Place], count: int, random: Random) -> Move:
    """Moves a class in some of its parts of every axis that has so many, and on all or none of the other axes."""
    perm = transposition(group.size, random)
    chosen = set(random.sample(range(count), random.randrange(1, count)))
    elsewhere = [place for place in places if len(_parts(spec, group, place)) != count]
    too = _some(elsewhere, random)

    def move(chosen: set[int], left_out: Collection[Place]) -> Move:
        moves = []
        for place in places:
            parts = _parts(spec, group, place)
            if place not in left_out:
                moves.append((place, set(parts) if place in elsewhere else {parts[number] for number in chosen}))
        return axis_move(
            spec,
            [place for place, _ in moves],
            lambda pieces, index, place: permute(pieces, index, {group.name}, perm, dict(moves)[place]),
        )

    rest = move(set(range(count)) - chosen, too)
    return replace(move(chosen, [place for place in elsewhere if place not in too]), rest=rest.apply)


def _some(places: Sequence[Place], random: Random) -> list[Place]:
    """All, none or any of some axes."""
    share = random.choice([0.0, 0.5, 1.0])
    return [place for place in places if random.random() < share]


def _companions(spec: Spec, frozen: Mapping[str, str]) -> list[frozenset[str]]:
    """Sets of frozen classes of one size: those with one reason, those inside of one module, and neighbours."""
    sizes = {group.name: group.size for group in spec.groups if group.name in frozen and group.size > 1}
    found: dict[tuple[object, ...], list[str]] = {}
    for name, size in sizes.items():
        found.setdefault(("reason", frozen[name], size), []).append(name)
        modules = [tensor.split(".")[:-1] for tensor, _ in spec.occurrences(name)]
        common = [words[0] for words in itertools.takewhile(lambda w: len(set(w)) == 1, zip(*modules, strict=False))]
        for depth in range(len(common) + 1):
            found.setdefault(("module", *common[:depth], size), []).append(name)
    by_size: dict[int, list[str]] = {}
    for name, size in sizes.items():
        by_size.setdefault(size, []).append(name)
    sets = [*found.values(), *(list(pair) for names in by_size.values() for pair in itertools.pairwise(names))]
    return list(dict.fromkeys(frozenset(names) for names in sets if len(names) > 1))


def _moving(spec: Spec, names: set[str] | frozenset[str], places: Sequence[Place]) -> Draw:
    """Draws a transposition in some classes of one size, on some axes."""
    size = next(group.size for group in spec.groups if group.name in names)
    return lambda random: group_move(spec, names, places, transposition(size, random))


# -------------------------------------------------------------------------------------- two classes side by side


def _across(spec: Spec, frozen: Mapping[str, str]) -> Iterator[Conjecture]:
    alike: dict[object, list[Group]] = {}
    for group in spec.groups:
        alike.setdefault(_surroundings(spec, group.name), []).append(group)
    for groups in alike.values():
        for x, y in itertools.combinations(groups, 2):
            reasons = dict.fromkeys(frozen.get(group.name, "split") for group in (x, y))
            yield Conjecture("across", max(x.size, y.size), "; ".join(reasons), _exchanging(spec, x, y))


def _surroundings(spec: Spec, name: str) -> tuple[object, ...]:
    """For every axis that carries a class: what it shares its products with."""
    found = []
    for tensor, axis in spec.occurrences(name):
        for piece in axis_pieces(spec.tensors[tensor].axes[axis]):
            if name in piece.groups:
                others = [
                    "here" if group == name else (group, size)
                    for group, size in zip(piece.groups, piece.index.shape, strict=True)
                ]
                found.append((tensor, axis, tuple(others)))
    return tuple(found)


def _exchanging(spec: Spec, x: Group, y: Group) -> Draw:
    def draw(random: Random) -> Move:
        whole = x.size == y.size > 1 and random.random() < BLOCKS
        i, j = random.randrange(x.size), random.randrange(y.size)

        def exchange(pieces: Pieces, index: Tensor, _place: Place) -> None:
            mine = [(positions, groups.index(x.name)) for groups, positions in pieces if x.name in groups]
            theirs = [(positions, groups.index(y.name)) for groups, positions in pieces if y.name in groups]
            for (a, dim), (b, _) in zip(mine, theirs, strict=True):
                if not whole:
                    a, b = a.select(dim, i), b.select(dim, j)
                index[a], index[b] = b, a

        return axis_move(spec, spec.occurrences(x.name), exchange)

    return draw


# -------------------------------------------------------------------------------------- one outer index only


def _per_outer(spec: Spec, inner: Group, frozen: Mapping[str, str]) -> Iterator[Conjecture]:
    """Free indices that share a product with others, permuted for some indices of these only."""
    places = spec.occurrences(inner.name)
    beside = {
        group
        for tensor, axis in places
        for piece in axis_pieces(spec.tensors[tensor].axes[axis])
        if inner.name in piece.groups
        for group in piece.groups
    }
    for outer in spec.groups:
        if outer.name not in beside or outer == inner or outer.name in inner.depends_on or outer.size == 1:
            continue
        depending = [
            each
            for tensor in dict.fromkeys(tensor for tensor, _ in places)
            if (each := _depending(spec, inner, outer, tensor)) is not None
        ]
        everywhere = {tensor for each in depending for tensor in each.tensors} == {tensor for tensor, _ in places}
        # Parts that the network tells apart (queries and values) may go where no index of them is left.
        if depending and (everywhere or (outer.name in frozen and outer.size <= MOST_PARTS)):
            draw = _for_some(spec, inner, outer, depending, places)
            yield Conjecture("per outer", inner.size, f"tied across {outer.name}", draw)


def _depending(spec: Spec, inner: Group, outer: Group, tensor: str) -> Spec | None:
    """One tensor with the inner permutation depending on the outer index, if that index is there exactly once."""
    groups = tuple(Group(group.name, group.size, (outer.name,) if group == inner else ()) for group in spec.all_groups)
    try:
        return Spec(groups, {tensor: spec.tensors[tensor]}, {})
    except SpecError:
        return None


def _for_some(spec: Spec, inner: Group, outer: Group, depending: Sequence[Spec], places: Sequence[Place]) -> Draw:
    with_outer = {tensor for each in depending for tensor in each.tensors}
    elsewhere = [place for place in places if place[0] not in with_outer]

    def move(perm: Tensor, indices: Sequence[int], too: Sequence[Place]) -> Move:
        perms = torch.arange(inner.size).repeat(outer.size, 1)
        perms[list(indices)] = perm
        plain = group_move(spec, {inner.name}, too, perm)

        def apply(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
            moved = plain.apply(state)
            for each in depending:
                element = Element(each.all_groups, {inner.name: perms})
                moved |= {name: act(each.blocks[name], element, state[name]) for name in each.tensors}
            return moved

        return Move(tuple(place for place in places if place not in elsewhere or place in too), apply)

    def draw(random: Random) -> Move:
        perm = transposition(inner.size, random)
        indices = random.sample(range(outer.size), random.randrange(1, outer.size) if elsewhere else 1)
        too = _some(elsewhere, random)
        others = [index for index in range(outer.size) if index not in indices]
        left = [place for place in elsewhere if place not in too]
        return replace(move(perm, indices, too), rest=move(perm, others, left).apply)

    return draw
