"""From the demands on exponents to the freedoms of a network."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from weightspace.symmetry.context import Context
from weightspace.symmetry.freedom.context import ExponentContext, Occurrence
from weightspace.symmetry.freedom.equations import Mark
from weightspace.symmetry.freedom.freedom import Fold, Freedom, Freedoms, Kind, Place
from weightspace.symmetry.freedom.layout import Layout, named_axis
from weightspace.symmetry.freedom.propagate import exponents
from weightspace.symmetry.freedom.rotary import Pairs, rotary_pairs
from weightspace.symmetry.freedom.system import Number
from weightspace.symmetry.freedom.turn import Turn
from weightspace.symmetry.group import Group
from weightspace.symmetry.label import Atom, resolve
from weightspace.symmetry.naming import extend_names
from weightspace.symmetry.wreath import dependencies


@dataclass(frozen=True, eq=False)
class Solution:
    """A free unknown of the equations of one kind: the exponent of every occurrence of its group."""

    kind: Kind
    free: int
    members: tuple[tuple[Occurrence, Number], ...]

    @property
    def unit(self) -> Atom:
        """The atom whose units it changes."""
        return self.members[0][0].unit


def freedoms_of(context: Context, names: Mapping[Atom, str]) -> Freedoms:
    """The freedoms of a network.

    Args:
        context: The finished permutation pass.
        names: Names of the groups of the permutations.
    """
    found = exponents(context)
    pairs = list(rotary_pairs(context))
    outers = dependencies(context, {occurrence.unit for occurrence in found.occurrences}, of=lambda atom: True)
    layout = Layout(context, found)

    def settle(solution: Solution, *kinds: Kind) -> None:
        """Leaves out of further kinds, and of outer groups, what a solution says already."""
        algebra = found.algebra
        first = solution.members[0][0]
        algebra.rule_out(first.exponent, kinds=kinds)
        for outer in outers[solution.unit]:
            for beside in layout.beside(first, outer):
                algebra.rule_out(beside.exponent, kinds=("scale", "sign"))

    for one in pairs:
        where = {(name, axis) for name, axis, _, _ in one.tensors}
        for occurrence in found.occurrences:
            # A complex number per frequency says more than a scale and a sign per head or frequency.
            ordered = occurrence.unit.frozen is not None or occurrence.unit is one.heads
            if ordered and (occurrence.tensor, occurrence.axis) in where:
                found.algebra.rule_out(occurrence.exponent, kinds=("scale", "sign"))
    solutions: list[Solution] = []
    for solution in _solve(found, "linear", found.occurrences):
        if len(solution.members) > 1 and all(abs(exponent) == 1 for _, exponent in solution.members):
            solutions.append(solution)
            settle(solution, "scale", "sign", "rotation")
    solutions += [s for s in _solve(found, "rotation", found.occurrences) if len(s.members) > 1]
    _untie(found)
    by_unit: dict[Atom, list[Occurrence]] = defaultdict(list)
    for occurrence in found.occurrences:
        by_unit[occurrence.unit].append(occurrence)
    # Inner groups first: a factor per head is a case of a factor per head and dimension.
    for unit in sorted(by_unit, key=lambda unit: -len(outers[unit])):
        kinds: tuple[Kind, ...] = ("scale", "sign")
        for one in [solution for kind in kinds for solution in _solve(found, kind, by_unit[unit])]:
            solutions.append(one)
            settle(one)
    return _assembled(layout, solutions, pairs, outers, names)


def _solve(found: ExponentContext, kind: Kind, occurrences: Iterable[Occurrence]) -> list[Solution]:
    """The free unknowns of a system that occur in parameters, each on one group."""
    members: dict[int, list[tuple[Occurrence, Number]]] = {}
    for occurrence in occurrences:
        number = found.algebra.number(occurrence.exponent)
        for free, exponent in found.algebra.systems[kind].solution(number).items():
            members.setdefault(free, []).append((occurrence, exponent))
    return [
        Solution(kind, free, tuple(each))
        for free, each in members.items()
        if len({occurrence.unit for occurrence, _ in each}) == 1
    ]


def _untie(found: ExponentContext) -> None:
    """Sets to 0 what would change the units of several groups together, for which there is no freedom."""
    kinds: tuple[Kind, ...] = ("scale", "sign")
    for kind in kinds:
        system = found.algebra.systems[kind]
        units: dict[int, set[Atom]] = defaultdict(set)
        for occurrence in found.occurrences:
            for free in system.solution(found.algebra.number(occurrence.exponent)):
                units[free].add(occurrence.unit)
        for free, together in units.items():
            if len(together) > 1:
                system.equate([(free, 1)])


def _assembled(
    layout: Layout,
    solutions: list[Solution],
    pairs: list[Pairs],
    outers: Mapping[Atom, tuple[Atom, ...]],
    names: Mapping[Atom, str],
) -> Freedoms:
    """The freedoms under the names of groups and tensors."""
    found = layout.found
    units = dict.fromkeys(atom for s in solutions for atom in (*outers[s.unit], s.unit))
    units |= dict.fromkeys(one.heads for one in pairs if one.heads is not None)
    first: dict[Atom, str] = {}
    for occurrence in found.occurrences:
        if occurrence.unit in units:
            first.setdefault(occurrence.unit, occurrence.tensor)
    known = {atom: name for atom, name in extend_names(names, first).items() if atom in units}
    groups = tuple(
        Group(
            known[atom],
            atom.size,
            tuple(known[outer] for outer in outers[atom]),
            ("permutation",) if atom.frozen is None else (),
        )
        for atom in sorted(units, key=lambda atom: len(outers[atom]))
    )
    tensors = dict.fromkeys(occurrence.tensor for s in solutions for occurrence, _ in s.members)
    axes = {name: tuple(named_axis(label, known) for label in layout.labels(name)) for name in tensors}
    keys = {name: ref.key for name, ref in found.trace.tensors.items()}

    def places(occurrence: Occurrence, exponent: int) -> list[Place]:
        offset = found.offsets.get(keys[occurrence.tensor], 0.0)
        return [Place(occurrence.tensor, block, dim, exponent, offset) for block, dim in layout.places(occurrence)]

    freedoms = []
    turning = []
    for one in pairs:
        last = one.tensors[-1][0].removesuffix(".weight").removesuffix(".bias")
        outer = () if one.heads is None else (known[one.heads],)
        turning.append(Group(f"{last}:frequencies", one.count, outer, ()))
        turns = tuple(Turn(*each) for each in one.tensors)
        freedoms.append(Freedom(f"{last}:rotary", "rotary", turning[-1].name, (), turns=turns))
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for solution in solutions:
        common = math.lcm(*(exponent.denominator for _, exponent in solution.members))
        exponent_of = {o: int(e * common) for o, e in solution.members}
        group, kind = known[solution.unit], solution.kind
        counts[group, kind] += 1
        number = counts[group, kind]
        rotates = kind == "rotation"
        freedoms.append(
            Freedom(
                f"{group}:{kind}" if number == 1 else f"{group}:{kind}#{number}",
                kind,
                group,
                tuple(place for o, e in exponent_of.items() for place in places(o, e)),
                centred=rotates and any(_contains(found, solution, atom) for atom in found.centred),
                folds=tuple(_folds(layout, solution)) if rotates else (),
            )
        )
    return Freedoms((*groups, *turning), axes, tuple(freedoms))


def _contains(found: ExponentContext, solution: Solution, atom: Atom) -> bool:
    return solution.free in found.algebra.systems[solution.kind].solution(found.algebra.number(atom))


def _folds(layout: Layout, solution: Solution) -> Iterable[Fold]:
    """What is folded away before a rotation."""
    found = layout.found
    readers: dict[Mark, list[tuple[Place, str | None]]] = {}
    by_atom = {id(resolve(o.exponent)): o for o, _ in solution.members}
    for reading in found.readings:
        if _contains(found, solution, reading.axis):
            occurrence = by_atom[id(resolve(reading.axis))]
            shift = reading.mark.shift
            bias = None if shift is None or shift in found.turning else found.owned[reading.bias or 0]
            for block, dim in layout.places(occurrence):
                readers.setdefault(reading.mark, []).append((Place(occurrence.tensor, block, dim), bias))
    for mark, each in readers.items():
        assert mark.scale is not None
        shift = None if mark.shift is None else found.owned[mark.shift]
        yield Fold(found.owned[mark.scale], shift, tuple(each))
