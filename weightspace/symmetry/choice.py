"""What a tensor may carry beside the labels of its dimensions: numbers of indices, and which index was chosen.

An integer tensor whose entries are indices of an axis stands for its one-hot tensor, which has that axis as one more
dimension. When the indices of the axis move, the numbers change with them, so looking something up by them ties the
axis that is looked into to the axis that the numbers come from, and neither needs to stay in place.

What was looked up no longer has that axis as a dimension, but each of its places belongs to one index of it: the expert
of a token. That is kept as a `Choice`, since the hidden units of every expert may have a permutation of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from weightspace.symmetry.label import Atom, Label, Labels, Sum, Uniform, factors, leaf_labels, resolve, structure


@dataclass(frozen=True)
class Values:
    """The entries of an integer tensor are indices of an axis.

    Attributes:
        label: The axis.
        origin: Identifies the numbers: tensors of one origin hold the same number at the same place.
        tied: Whether equal entries may have competed, of which an operator takes the first: whoever uses the numbers
            then depends on the order of the axis.
    """

    label: Label
    origin: int
    tied: bool = False


@dataclass(frozen=True)
class Choice:
    """Every place belongs to one index of an axis that is no dimension of the tensor.

    Attributes:
        origin: Identifies the numbers that chose, see `Values`.
        label: The axis.
        places: Labels of the dimensions of the numbers: an index along each of them says which index was chosen.
    """

    origin: int
    label: Label = field(compare=False)
    places: tuple[Label, ...] = field(compare=False)


@dataclass(frozen=True)
class Mark:
    """A choice that a tensor, or the iteration space of an operator, owes to some of its operands.

    Attributes:
        choice: The choice.
        others: Labels of the operands that it does not come from. It holds only if none has the axis as a dimension: a
            sum over that would mix what belongs to different indices.
    """

    choice: Choice
    others: tuple[Labels, ...] = ()


def within(labels: Labels, marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    """The marks of which all places are dimensions of a tensor."""
    if not marks:
        return marks
    atoms = {atom for label in labels for atom in _atoms(label)}
    return tuple(mark for mark in marks if all(set(_atoms(place)) <= atoms for place in mark.choice.places))


def with_choices(labels: Labels, marks: tuple[Mark, ...]) -> Labels:
    """Labels with one more dimension for every choice that holds there, as if the axis were still one."""
    if not marks:
        return labels
    atoms = Counter(atom for label in labels for atom in _atoms(label))
    known = Counter(structure(factor) for label in labels for factor in factors(resolve(label)))
    chosen = [set(_atoms(mark.choice.label)) for mark in marks]
    extra: Labels = []
    for number, (mark, axis) in enumerate(zip(marks, chosen, strict=True)):
        rivals = any(axis & other for at, other in enumerate(chosen) if at != number)
        foreign = any(atom in axis for other in mark.others for label in other for atom in _atoms(label))
        places = [factor for place in mark.choice.places for factor in factors(resolve(place))]
        placed = all(
            isinstance(place, Uniform)
            or (_is_known(place) and known[structure(place)] == 1 and all(atoms[atom] == 1 for atom in _atoms(place)))
            for place in places
        )
        if placed and not rivals and not foreign and not any(atom in axis for atom in atoms):
            extra.append(resolve(mark.choice.label))
    return [*labels, *extra]


def _atoms(label: Label) -> Iterator[Atom]:
    return (leaf for leaf in leaf_labels(resolve(label)) if isinstance(leaf, Atom))


def _is_known(place: Label) -> bool:
    """Whether an index can be recognised: of an atom, or of one that is cut into atoms and single indices."""
    if isinstance(place, Sum):
        return all(isinstance(part, Atom) or part.size == 1 for part in place.parts)
    return isinstance(place, Atom)
