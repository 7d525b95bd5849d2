"""Fold the rows of equal groups in many layers into one: `model.layers.{0..31}.mlp`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weightspace.symmetry.acting import Acting

Numbers = tuple[int, ...]

_LONGEST_FOLDER = 8

# Numbers of layers, not those that tell several groups of one tensor apart (`qkv#2`).
_NUMBER = re.compile(r"(?<![#\d])\d+")


@dataclass(frozen=True)
class Fold:
    """Groups that differ in nothing but the numbers of their layers.

    Attributes:
        name: Their name, with the numbers as sets.
        groups: They, in their order.
        axes: The tensors and axes that the first carries; with several groups the numbers are stars.
        depends_on: Likewise the groups that the first depends on.
    """

    name: str
    groups: tuple[Acting, ...]
    axes: tuple[str, ...]
    depends_on: tuple[str, ...]

    def without_folder(self, names: Sequence[str]) -> list[str]:
        """Names of tensors and groups, with the module in which both they and this group lie as an ellipsis."""
        first = self.groups[0].group.name
        folder = (first if len(self.groups) == 1 else _starred(first)).rpartition(".")[0] + "."
        short = len(folder) > _LONGEST_FOLDER
        return [f"…{name.removeprefix(folder)}" if short and name.startswith(folder) else name for name in names]


def fold(groups: Sequence[Acting], *, longest: int) -> list[Fold]:
    """The groups, folded where there are more of them than `longest`; in their order."""
    axes = {each.group.name: tuple(f"{tensor}[{axis}]" for tensor, axis in each.axes) for each in groups}
    if len(groups) <= longest:
        return [Fold(each.group.name, (each,), axes[each.group.name], each.group.depends_on) for each in groups]
    alike: dict[object, dict[Numbers, Acting]] = {}
    for each in groups:
        group = each.group
        outers = tuple(map(_starred, group.depends_on))
        pattern = (_starred(group.name), group.size, each.words, outers, tuple(map(_starred, axes[group.name])))
        alike.setdefault(pattern, {})[_numbers(group.name)] = each
    folds = []
    for members in alike.values():
        for sets in boxes(members):
            chosen = tuple(each for numbers, each in members.items() if _within(numbers, sets))
            first = chosen[0].group
            several = len(chosen) > 1
            folds.append(
                Fold(
                    _named(first.name, sets),
                    chosen,
                    tuple(map(_starred, axes[first.name])) if several else axes[first.name],
                    tuple(map(_starred, first.depends_on)) if several else first.depends_on,
                )
            )
    place = {each.group.name: number for number, each in enumerate(groups)}
    return sorted(folds, key=lambda each: place[each.groups[0].group.name])


def boxes(points: Iterable[Numbers]) -> list[list[tuple[int, ...]]]:
    """Points as few products of sets, one set per coordinate."""
    by_first: dict[int, list[Numbers]] = {}
    for point in points:
        if not point:
            return [[]]
        by_first.setdefault(point[0], []).append(point[1:])
    by_rest: dict[tuple[Numbers, ...], list[int]] = {}
    for first, rest in by_first.items():
        by_rest.setdefault(tuple(sorted(rest)), []).append(first)
    return [[tuple(sorted(firsts)), *box] for rest, firsts in by_rest.items() for box in boxes(rest)]


def number_set(numbers: Sequence[int]) -> str:
    """`3`, `{0,1}`, `{0..5,7}`: ascending numbers."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] + 1 == number:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [f"{run[0]}..{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs]
    return words[0] if len(numbers) == 1 else f"{{{','.join(words)}}}"


def _numbers(name: str) -> Numbers:
    return tuple(map(int, _NUMBER.findall(name)))


def _starred(text: str) -> str:
    """The text with its numbers as stars, but for the number of an axis."""
    name, bracket, axis = text.partition("[")
    return _NUMBER.sub("*", name) + bracket + axis


def _within(numbers: Numbers, sets: Sequence[tuple[int, ...]]) -> bool:
    return all(number in chosen for number, chosen in zip(numbers, sets, strict=True))


def _named(name: str, sets: Sequence[tuple[int, ...]]) -> str:
    left = iter(sets)
    return _NUMBER.sub(lambda _: number_set(next(left)), name)
