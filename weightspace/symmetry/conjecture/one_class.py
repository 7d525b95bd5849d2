"""Two indices of one class change places, or of several at once, on all or on some of the axes that carry it."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from random import Random

from weightspace.symmetry.axis import all_reasons
from weightspace.symmetry.block import axis_pieces
from weightspace.symmetry.conjecture.family import Conjecture, Draw, some
from weightspace.symmetry.group import Group
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.transposition import Move, Place, axis_move, group_move, permute, transposition


def within(spec: Spec, group: Group, reason: str) -> Conjecture:
    """Two indices, or two blocks of equal length, of one class."""
    return Conjecture("within", group.size, reason, _moving(spec, {group.name}, spec.occurrences(group.name)))


def joint(spec: Spec, names: frozenset[str], frozen: Mapping[str, str]) -> Conjecture:
    """The same indices in several frozen classes of one size at once."""
    places = sorted({place for name in names for place in spec.occurrences(name)})
    reasons = sorted({frozen[name] for name in names})
    size = next(group.size for group in spec.groups if group.name in names)
    return Conjecture("joint", size, all_reasons(*reasons), _moving(spec, names, places))


def untied(spec: Spec, group: Group, reason: str) -> Conjecture:
    """Two indices of a class on a part only of the axes that carry it, or in some of its parts of them."""
    places: list[Place] = []
    for tensor in dict.fromkeys(tensor for tensor, _ in spec.occurrences(group.name)):
        # What a weight (out, in) reads comes before what it writes.
        places += reversed([place for place in spec.occurrences(group.name) if place[0] == tensor])

    parts = max(len(parts_of(spec, group, place)) for place in places)

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


def parts_of(spec: Spec, group: Group, place: Place) -> list[int]:
    """Numbers of the pieces of an axis that carry a class."""
    tensor, axis = place
    pieces = axis_pieces(spec.tensors[tensor].axes[axis])
    return [number for number, piece in enumerate(pieces) if group.name in piece.groups]


def _some_parts(spec: Spec, group: Group, places: Sequence[Place], count: int, random: Random) -> Move:
    """Moves a class in some of its parts of every axis that has so many, and on all or none of the other axes."""
    perm = transposition(group.size, random)
    chosen = set(random.sample(range(count), random.randrange(1, count)))
    elsewhere = [place for place in places if len(parts_of(spec, group, place)) != count]
    too = some(elsewhere, random)

    def move(chosen: set[int], left_out: Collection[Place]) -> Move:
        moves = []
        for place in places:
            parts = parts_of(spec, group, place)
            if place not in left_out:
                moves.append((place, set(parts) if place in elsewhere else {parts[number] for number in chosen}))
        return axis_move(
            spec,
            [place for place, _ in moves],
            lambda pieces, index, place: permute(pieces, index, {group.name}, perm, dict(moves)[place]),
        )

    rest = move(set(range(count)) - chosen, too)
    return replace(move(chosen, [place for place in elsewhere if place not in too]), rest=rest.apply)


def companions(spec: Spec, frozen: Mapping[str, str]) -> list[frozenset[str]]:
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
