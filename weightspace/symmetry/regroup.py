"""Labels of a whole tensor when its dimensions are merged, reshaped or cut."""

from __future__ import annotations

import math
from collections.abc import Sequence

from weightspace.symmetry.algebra import Algebra, MisfitError, Ranges
from weightspace.symmetry.axis import Run
from weightspace.symmetry.label import Atom, Fixed, Label, Product, Site, Sum, Uniform, Varying, resolve, window


def merge(algebra: Algebra, labels: Sequence[Label]) -> Label:
    """The label of consecutive dimensions flattened into one."""
    labels = [label for label in map(resolve, labels) if label.size != 1]
    cases = {label.case for label in labels if isinstance(label, Varying)}
    if not cases:
        return resolve(Product(algebra.plain(labels)))
    if len(cases) == 1:
        (case,) = cases
        at = next((i for i, label in enumerate(labels) if isinstance(label, Sum) and label.case == case), None)
        first = next(i for i, label in enumerate(labels) if isinstance(label, Varying))
        if at is not None and at < first:
            return _merge_varying(labels, at)
    return resolve(Product(algebra.plain(labels)))


def _merge_varying(labels: list[Label], at: int) -> Label:
    whole = labels[at]
    assert isinstance(whole, Sum)
    inner = math.prod(label.size for label in labels[at + 1 :])
    parts = [
        Product([part, *(label.choices[number] if isinstance(label, Varying) else label for label in labels[at + 1 :])])
        for number, part in enumerate(whole.parts)
    ]
    runs = [Run(run.part, run.start * inner, run.length * inner) for run in whole.runs]
    return resolve(Product([*labels[:at], Sum(parts, runs)]))


def reshape(
    algebra: Algebra, labels: Sequence[Label], old: Sequence[int], new: Sequence[int], site: int
) -> list[Label]:
    """Labels after a row-major reshape.

    Args:
        algebra: What to do it with.
        labels: One label per dimension of the old shape.
        old: The old shape.
        new: The new shape, of as many entries.
        site: Number of the operation, to recognise its atoms in a later pass.
    """
    if math.prod(old) == 0:
        return [Uniform(n) for n in new]
    result: list[Label] = []
    for before, after in _blocks_of_equal_size(old, new):
        group = [resolve(labels[i]) for i in before]
        sizes = [new[i] for i in after]
        if len(group) == 1 and len(sizes) == 1:
            result.append(group[0])
            continue
        rest = merge(algebra, group) if len(group) > 1 else (group[0] if group else Uniform(1))
        try:
            pieces: list[Label] = []
            for size in sizes[:-1]:
                outer, rest = algebra.split(rest, size, site)
                pieces.append(outer)
            result.extend([*pieces, rest] if sizes else [])
        except MisfitError as misfit:
            for label in group:
                algebra.freeze(label, f"{algebra.reason} {list(old)} -> {list(new)}: {misfit}")
            result.extend(Fixed(size, algebra.reason) if size > 1 else Uniform(1) for size in sizes)
    live = {label.case for label in result if isinstance(label, Sum)}
    return [
        algebra.plain([label])[0] if isinstance(label, Varying) and label.case not in live else label
        for label in result
    ]


def slice_dim(algebra: Algebra, labels: Sequence[Label], dim: int, start: int, length: int) -> list[Label]:
    """Labels after taking ``length`` consecutive indices of one dimension, from ``start``."""
    result = [resolve(label) for label in labels]
    whole = result[dim]
    if start == 0 and length == whole.size:
        return result
    algebra.new_hints.update(site for end in (start, start + length) if (site := _site(whole, end)) is not None)
    if isinstance(whole, Sum) and whole.case is not None:
        chosen = _choose(algebra, result, dim, start, length)
        if chosen is not None:
            return chosen
    if isinstance(whole, Varying) or (isinstance(whole, Sum) and whole.case is not None):
        result = algebra.plain(result)
        whole = result[dim]
    cuts: list[Ranges] = [[(0, start)], [(start, length)], [(start + length, whole.size - start - length)]]
    try:
        pieces = algebra.carve(whole, [ranges for ranges in cuts if ranges[0][1]])
        result[dim] = pieces[1 if start else 0]
    except MisfitError as misfit:
        algebra.freeze(whole, f"{algebra.reason}: {misfit}")
        result[dim] = Fixed(length, algebra.reason)
    return result


def _site(whole: Label, end: int) -> Site | None:
    """Where a reshape should have cut a factor that it made, for this to be an end of it: None where it is one."""
    if isinstance(whole, Sum):
        for run in whole.runs:
            if end < run.length:
                return _site(whole.parts[run.part], run.start + end)
            end -= run.length
    if not isinstance(whole, Atom) or whole.site is None or not 0 < end < whole.size:
        return None
    return whole.site._replace(start=whole.site.start + end)


def _choose(algebra: Algebra, labels: list[Label], dim: int, start: int, length: int) -> list[Label] | None:
    """A slice of the sum of a case, when it takes whole parts: the varying labels follow it."""
    whole = labels[dim]
    assert isinstance(whole, Sum)
    taken = list(window(whole.runs, start, length))
    parts = list(dict.fromkeys(run.part for run in taken))
    if sum(whole.parts[part].size for part in parts) != length:
        return None
    case = algebra.new_case() if len(parts) > 1 else None
    result: list[Label] = []
    for number, label in enumerate(labels):
        if number == dim and case is None:
            result.append(resolve(Sum([whole.parts[parts[0]]], [Run(0, r.start, r.length) for r in taken])))
        elif number == dim:
            runs = [Run(parts.index(run.part), run.start, run.length) for run in taken]
            result.append(Sum([whole.parts[part] for part in parts], runs, case))
        elif isinstance(label, Varying) and label.case == whole.case:
            choices = [label.choices[part] for part in parts]
            result.append(resolve(choices[0]) if case is None else Varying(choices, case))
        else:
            result.append(label)
    return result


def _blocks_of_equal_size(old: Sequence[int], new: Sequence[int]) -> list[tuple[range, range]]:
    """Smallest runs of old and of new dimensions with equally many entries."""
    blocks = []
    i = j = 0
    while i < len(old) or j < len(new):
        i0, j0 = i, j
        a = b = 1
        if i < len(old):
            a, i = old[i], i + 1
        if j < len(new):
            b, j = new[j], j + 1
        while a != b:
            if a < b:
                a, i = a * old[i], i + 1
            else:
                b, j = b * new[j], j + 1
        blocks.append((range(i0, i), range(j0, j)))
    return blocks
