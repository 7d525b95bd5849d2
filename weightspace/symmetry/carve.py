"""Taking a label apart into pieces, each of which gathers some stretches of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from weightspace.symmetry.axis import Run
from weightspace.symmetry.label import (
    Atom,
    Fixed,
    Label,
    Product,
    Site,
    Sum,
    Uniform,
    Varying,
    resolve,
    side_by_side,
    sizes,
    window,
)

Ranges = list[tuple[int, int]]  # (start, length) stretches, in the order of the result


class MisfitError(Exception):
    """Two structures cannot be brought together."""


def carve(label: Label, groups: Sequence[Ranges]) -> list[Label]:
    """Takes a label apart into several, each of which gathers some stretches of it.

    Args:
        label: The label of n indices.
        groups: For each result the (start, length) stretches that it consists of, in order. Together they must
            cover all n indices exactly once.

    Raises:
        MisfitError: If the label varies.
    """
    label = resolve(label)
    groups = [_joined(ranges) for ranges in groups]
    if len(groups) == 1 and groups[0] == [(0, label.size)]:
        return [label]
    lengths = [sum(length for _, length in ranges) for ranges in groups]
    match label:
        case Uniform():
            return [Uniform(length) for length in lengths]
        case Fixed():
            return [Fixed(length, label.reason) for length in lengths]
        case Atom():
            return _atom(label, groups, lengths)
        case Product():
            outer, inner = label.factors[0], math.prod(factor.size for factor in label.factors[1:])
            if any(start % inner or length % inner for ranges in groups for start, length in ranges):
                return _unevenly(label, groups)
            scaled = [[(start // inner, length // inner) for start, length in ranges] for ranges in groups]
            return [resolve(Product((piece, *label.factors[1:]))) for piece in carve(outer, scaled)]
        case Sum():
            return _sum(label, groups)
        case Varying():
            raise MisfitError(f"{sizes(label)} is cut")


def _atom(atom: Atom, groups: Sequence[Ranges], lengths: list[int]) -> list[Label]:
    # A single index moves with nobody: it is an index of its own.
    pieces: list[Label] = [
        Atom(length, _site(atom, ranges), atom.frozen) if length > 1 else Fixed(length, atom.frozen or "single")
        for length, ranges in zip(lengths, groups, strict=True)
    ]
    runs = []
    for number, ranges in enumerate(groups):
        done = 0
        for start, length in ranges:
            runs.append((start, Run(number, done, length)))
            done += length
    atom.bound = Sum(pieces, [run for _, run in sorted(runs, key=lambda item: item[0])])
    return pieces


def _site(atom: Atom, ranges: Ranges) -> Site | None:
    """Where a piece of an atom begins, if it is one stretch."""
    return None if atom.site is None or len(ranges) > 1 else atom.site._replace(start=atom.site.start + ranges[0][0])


def _unevenly(label: Product, groups: Sequence[Ranges]) -> list[Label]:
    """Cuts through the inner index: rows that are cut become rows of their own, and all rows are cut as they are."""
    outer, inner = label.factors[0], resolve(Product(label.factors[1:]))
    ends = {end for ranges in groups for start, length in ranges for end in (start, start + length)}
    rows = sorted({0, outer.size} | {row for end in ends for row in (end // inner.size, -(-end // inner.size))})
    columns = sorted({0, inner.size} | {end % inner.size for end in ends})
    outers = carve(outer, [[(low, high - low)] for low, high in pairwise(rows)])
    inners = carve(inner, [[(low, high - low)] for low, high in pairwise(columns)])
    results = []
    for ranges in groups:
        parts: list[Label] = []
        for start, length in ranges:
            while length:
                row, column = divmod(start, inner.size)
                if column == 0 and length >= inner.size:
                    number = rows.index(row)
                    parts.append(Product((outers[number], side_by_side(inners))))
                else:
                    parts.append(inners[columns.index(column)])
                start += parts[-1].size
                length -= parts[-1].size
        results.append(resolve(side_by_side(parts)))
    return results


def _sum(label: Sum, groups: Sequence[Ranges]) -> list[Label]:
    wanted: list[dict[int, Ranges]] = [{} for _ in label.parts]  # part -> group -> stretches of the part
    layout: list[list[tuple[int, int, int]]] = []  # per group: (part, offset in the carved piece, length)
    for number, ranges in enumerate(groups):
        layout.append([])
        for start, length in ranges:
            for run in window(label.runs, start, length):
                stretches = wanted[run.part].setdefault(number, [])
                layout[-1].append((run.part, sum(n for _, n in stretches), run.length))
                stretches.append((run.start, run.length))
    pieces = [
        dict(zip(by_group, carve(part, list(by_group.values())), strict=True)) if by_group else {}
        for part, by_group in zip(label.parts, wanted, strict=True)
    ]
    results = []
    for number, placed in enumerate(layout):
        order = list(dict.fromkeys(part for part, _, _ in placed))
        runs = [Run(order.index(part), offset, length) for part, offset, length in placed]
        results.append(resolve(Sum([pieces[part][number] for part in order], runs)))
    return results


def _joined(ranges: Ranges) -> Ranges:
    """Stretches with neighbours joined and empty ones dropped."""
    joined: Ranges = []
    for start, length in ranges:
        if joined and joined[-1][0] + joined[-1][1] == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        elif length:
            joined.append((start, length))
    return joined
