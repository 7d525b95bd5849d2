"""The order of units: cells are split until every unit is apart, as far as the weights tell units apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.canonical.cells import Cells
from weightspace.canonical.measures import Exact, Keys, Measure, Rounded
from weightspace.canonical.relations import Relation, relations_of
from weightspace.symmetry.action import act_on_block
from weightspace.symmetry.block import Block
from weightspace.symmetry.element import Element
from weightspace.symmetry.group import Group
from weightspace.symmetry.spec import Spec

MOST_CANDIDATES = 32  # units of a cell that are tried in turn as its first


@dataclass(frozen=True, slots=True)
class Ties:
    """What the weights left open.

    Attributes:
        interchangeable: Units with an equal one beside them: their order changes nothing.
        tied: Units that no key told apart although they differ: they stay in the order in which they came.
        close: Decisions by keys so close together that rounding can turn them.
    """

    interchangeable: int = 0
    tied: int = 0
    close: int = 0


@dataclass(frozen=True, eq=False)
class Order:
    """A canonical order of all units.

    Attributes:
        element: The permutation that brings them into this order.
        ties: By group, where there are any.
    """

    element: Element
    ties: Mapping[str, Ties]


def order_of(
    spec: Spec,
    tensors: Mapping[str, Tensor],
    measure: Measure,
    *,
    untouched: Collection[str] = (),
    sorted_already: Collection[str] = (),
) -> Order:
    """The order of the units of all groups that does not depend on how they are numbered.

    Units are sorted by the length of their weights, longest first; where that leaves ties, by what connects them to
    units that are apart already (colour refinement, after Weisfeiler and Leman 1968); and where that leaves ties, by
    setting one of the tied units apart and going on. With rounding, tensors without it come first, sums of weights come
    in the place of lengths, and keys that are too close are ties.

    Args:
        spec: The symmetry.
        tensors: Weights and statistics by the names of the spec.
        measure: How units are told apart.
        untouched: Tensors that nothing but permutations changes, so that they can be measured exactly before rounding
            comes in.
        sorted_already: Groups whose units are in a canonical order, which they keep.
    """
    cells = Cells(spec.all_groups)
    for name in sorted_already:
        cells.keep(name)
    if isinstance(measure, Rounded) and untouched:
        exact = _Search(
            spec, relations_of(spec, {name: tensors[name] for name in untouched if name in tensors}), Exact()
        )
        exact.sort_by_length(cells)
        exact.refine(cells)
    search = _Search(spec, relations_of(spec, tensors), measure)
    search.sort_by_length(cells)
    search.refine(cells)
    while open_groups := cells.unsettled():
        cells = search.settled(cells, open_groups[0])
    names = search.interchangeable | search.tied | search.close
    ties = {
        name: Ties(search.interchangeable[name], search.tied[name], search.close[name])
        for name in names
        if any((search.interchangeable[name], search.tied[name], search.close[name]))
    }
    return Order(cells.element(), ties)


class _Search:
    """The relations of a network, by the groups whose units they tell apart."""

    def __init__(self, spec: Spec, relations: list[Relation], measure: Measure) -> None:
        self.groups = sorted(spec.groups, key=lambda group: len(group.depends_on))
        self.spec = spec
        self.measure = measure
        self.relations = relations
        self.around: dict[str, list[tuple[Relation, int]]] = {group.name: [] for group in self.groups}
        for relation in relations:
            for place, dim in enumerate(relation.dims):
                if dim.group in self.around:
                    self.around[dim.group].append((relation, place))
        self.interchangeable: Counter[str] = Counter()
        self.tied: Counter[str] = Counter()
        self.close: Counter[str] = Counter()

    def sort_by_length(self, cells: Cells) -> None:
        """Splits cells by the lengths of what lies around their units.

        Lengths of many units lie close together, so that rounding could turn their order. Where there is rounding,
        they decide for heads and the like only.
        """
        outer = {name for group in self.groups for name in group.depends_on}
        for group in self.groups:
            if isinstance(self.measure, Rounded) and group.name not in outer:
                continue
            keys = [self.measure.norms(relation, place) for relation, place in self.around[group.name]]
            self._split(cells, group, keys)

    def refine(self, cells: Cells) -> None:
        """Splits cells by what connects their units to others, until that splits none any more."""
        seed, idle = 0, 0
        while idle < self.measure.kinds:
            split = False
            for group in self.groups:
                split |= cells.inherit(group)
                if bool(cells.open(group.name).any()):
                    split |= self._split(cells, group, self._keys(cells, group, seed))
            idle = 0 if split else idle + 1
            seed += 1
            if all(not bool(cells.open(group.name).any()) for group in self.groups):
                return

    def settled(self, cells: Cells, group: Group) -> Cells:
        """Cells in which the first open cell of a group is settled: one of its units is set apart, or all if equal."""
        cell = _first_open(cells, group)
        units = (cells.ranks[group.name] == cell).nonzero()
        # Only units of one copy can change places; the first copy that has several.
        same = (units[:, None, :-1] == units[None, :, :-1]).all(-1)
        units = units[same[int((same.sum(0) > 1).to(torch.int8).argmax())]]
        equal = [unit for unit in units[1:] if self._are_equal(group, units[0], unit)]
        if len(equal) == len(units) - 1:
            self.interchangeable[group.name] += len(units)
            return self._apart(cells, group, units)
        if len(units) > MOST_CANDIDATES:
            self.tied[group.name] += len(units)
            return self._apart(cells, group, units[:1])
        trials = [self._apart(cells, group, unit[None]) for unit in units]
        best = self._best(trials)
        if len(best) == len(trials):  # a symmetry of the weights themselves, such as heads that are equal inside
            self.interchangeable[group.name] += len(units)
        return best[0]

    def _apart(self, cells: Cells, group: Group, units: Tensor) -> Cells:
        """Cells in which the given units stand before the others of their cell, in the order given."""
        result = cells.copy()
        keys = torch.zeros_like(cells.ranks[group.name])
        keys[tuple(units.T)] = torch.arange(len(units), 0, -1)
        result.split(group.name, keys)
        self.refine(result)
        return result

    def _keys(self, cells: Cells, group: Group, seed: int) -> list[Keys]:
        """A key per relation for the units of a group that are not apart; 0 for the others."""
        tied = cells.open(group.name).nonzero()[:, 0]
        found: list[Keys] = []
        for number, (relation, place) in enumerate(self.around[group.name]):
            seed_here = seed * 4096 + number
            if group.depends_on or any(place in dim.outer for dim in relation.dims):
                found.append(self.measure.keys(relation, place, cells, seed_here))
                continue
            some = Relation(relation.entries.index_select(place, tied), relation.dims)
            keys, slack = self.measure.keys(some, place, cells, seed_here)
            found.append((_spread(keys, tied, group.size), None if slack is None else _spread(slack, tied, group.size)))
        return found

    def _best(self, trials: list[Cells]) -> list[Cells]:
        """The trials that make the network look largest, in the first thing in which they differ."""
        for number, relation in enumerate(self.relations):
            looks = [self.measure.fingerprint(relation, trial, number) for trial in trials]
            highest = max(value for value, _ in looks)
            trials = [
                trial
                for trial, (value, slack) in zip(trials, looks, strict=True)
                if bool(value >= highest - (0 if slack is None else slack))
            ]
        return trials

    def _split(self, cells: Cells, group: Group, keys: list[Keys]) -> bool:
        if not keys:
            return False
        total = keys[0]
        for each in keys[1:]:
            total = self.measure.add(total, each)
        doubt = self.measure.doubt if isinstance(self.measure, Rounded) else 0.0
        split, close = cells.split(group.name, *total, doubt=doubt)
        self.close[group.name] += close
        return split

    def _are_equal(self, group: Group, first: Tensor, second: Tensor) -> bool:
        """Whether two units of one copy can change places and nothing changes."""
        sizes = [each.size for name in group.depends_on for each in self.groups if each.name == name]
        swap = torch.arange(group.size).repeat(*sizes, 1) if sizes else torch.arange(group.size)
        swap[tuple(first)], swap[tuple(second)] = second[-1], first[-1]
        element = Element(self.spec.all_groups, {group.name: swap})
        for relation, place in self.around[group.name]:
            if sum(dim.group == group.name for dim in relation.dims) > 1:
                moved = act_on_block(Block("", (), relation.dims), element, relation.entries)
                same = self.measure.alike(relation.entries, moved)
            else:
                slices = relation.entries
                for dim, index in zip(relation.units(place)[:-1], first[:-1].tolist(), strict=True):
                    slices = slices.narrow(dim, index, 1)
                same = self.measure.alike(slices.select(place, int(first[-1])), slices.select(place, int(second[-1])))
            if not same:
                return False
        return True


def _first_open(cells: Cells, group: Group) -> int:
    """The lowest rank that two units of one copy share."""
    ordered = cells.ranks[group.name].sort(dim=-1).values
    return int(ordered[..., 1:][ordered[..., 1:] == ordered[..., :-1]].min())


def _spread(values: Tensor, units: Tensor, size: int) -> Tensor:
    """Values at some of the units, 0 at the others."""
    return values.new_zeros(size).index_copy(0, units, values)
