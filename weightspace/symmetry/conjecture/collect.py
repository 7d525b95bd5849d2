"""What to try on a network: transpositions in the classes of indices of its finished derivation."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weightspace.symmetry.conjecture.across import across
from weightspace.symmetry.conjecture.family import Conjecture
from weightspace.symmetry.conjecture.one_class import companions, joint, parts_of, untied, within
from weightspace.symmetry.conjecture.per_outer import per_outer
from weightspace.symmetry.context import Context
from weightspace.symmetry.derive import named_spec
from weightspace.symmetry.label import Atom, Fixed, Label, Product, Sum, resolve
from weightspace.symmetry.spec import Spec


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
        *(within(spec, group, frozen[group.name]) for group in classes if group.name in frozen),
        *across(spec, frozen),
        *(each for group in classes if group.name not in frozen for each in per_outer(spec, group, frozen)),
    ]
    wide = [
        *(joint(spec, together, frozen) for together in companions(spec, frozen)),
        *(
            untied(spec, group, frozen.get(group.name, "tied"))
            for group in classes
            if any(len(parts_of(spec, group, place)) > 1 for place in spec.occurrences(group.name))
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
