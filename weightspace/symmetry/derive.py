"""Deriving the symmetry specification of a network from one trace of its forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis, SumAxis
from weightspace.symmetry.context import Context
from weightspace.symmetry.freedom import freedoms_of
from weightspace.symmetry.group import Group
from weightspace.symmetry.label import Atom, Fixed, Label, Product, Sum, Uniform, leaf_labels, resolve
from weightspace.symmetry.naming import extend_names
from weightspace.symmetry.propagate import propagate
from weightspace.symmetry.spec import Spec, TensorKind, TensorSpec
from weightspace.symmetry.trace import Trace, trace
from weightspace.symmetry.wreath import dependencies


def derive(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> Spec:
    """Derives which permutations of hidden units, channels and heads leave the function of a network unchanged.

    Every parameter axis starts with a free label; the rule of each ATen operator of the forward pass ties, splits,
    merges or freezes labels. What no rule covers is frozen, with the operator's name as the reason, so the result
    claims no symmetry that the rules do not vouch for. `weightspace.symmetry.verify.verify` checks it numerically.

    Args:
        module: A network in eval mode, on any device (``meta`` costs nothing).
        args: Example inputs of the forward pass.
        kwargs: Further example inputs by name.

    Returns:
        The specification, with tensors named as in the state dict.

    Raises:
        TraceError: If the forward pass cannot be recorded.
    """
    return spec_of(propagate(trace(module, args, kwargs)))


def spec_of(context: Context) -> Spec:
    """Turns the labels of a finished pass into a specification."""
    spec, names = named_spec(context, is_free)
    return replace(spec, freedoms=freedoms_of(context, names))


def named_spec(context: Context, movable: Callable[[Atom], bool]) -> tuple[Spec, dict[Atom, str]]:
    """A specification in which the given atoms are groups, and the name of the group of each.

    Args:
        context: A finished pass.
        movable: Which atoms become movable groups: the free ones for what is derived, others for a conjecture.
    """
    recorded = context.trace
    labels = {
        name: [resolve(label) for label in context.algebra.plain(context.labels[ref.key])]
        for name, ref in recorded.tensors.items()
    }
    occurrences: dict[Atom, str] = {}
    for name, axes in labels.items():
        for label in axes:
            for leaf in leaf_labels(label):
                if isinstance(leaf, Atom):
                    occurrences.setdefault(leaf, name)
    outers = dependencies(context, occurrences)
    needed = {outer for group in outers.values() for outer in group}
    carried = [atom for atom in occurrences if movable(atom) or atom in needed]
    names = extend_names({}, {atom: occurrences[atom] for atom in carried})
    groups = [
        Group(
            names[atom],
            atom.size,
            tuple(names[outer] for outer in outers.get(atom, ())),
            ("permutation",) if movable(atom) else (),
        )
        for atom in carried
    ]
    groups.sort(key=lambda group: not group.movable)
    tensors = {name: TensorSpec(axes_of(axes, names), _kind(context, name)) for name, axes in labels.items()}
    uncovered = tuple(context.uncovered.values())
    return Spec(tuple(groups), tensors, recorded.aliases, uncovered, looks=recorded.looks), names


def axes_of(labels: Iterable[Label], names: Mapping[Atom, str]) -> tuple[Axis, ...]:
    """The axes of a tensor from its labels, none of them varying, and the names of the groups."""
    return tuple(_axis(resolve(_fix(label, names)), names) for label in labels)


def is_free(atom: Atom) -> bool:
    """Whether the indices of an atom may be permuted."""
    return atom.frozen is None


def _kind(context: Context, name: str) -> TensorKind:
    recorded: Trace = context.trace
    if name in recorded.parameters:
        return "parameter"
    return "statistic" if recorded.tensors[name].key in context.statistics else "buffer"


def _fix(label: Label, carried: Iterable[Atom]) -> Label:
    """The label with frozen atoms that nobody depends on turned into plain fixed stretches, which then merge."""
    match label:
        case Atom() if label not in carried:
            return Fixed(label.size, label.frozen or "unused")
        case Uniform():
            return Fixed(label.size, "single")
        case Product():
            return Product([_fix(factor, carried) for factor in label.factors])
        case Sum():
            return Sum([_fix(part, carried) for part in label.parts], label.runs)
        case _:
            return label


def _axis(label: Label, names: Mapping[Atom, str]) -> Axis:
    match label:
        case Atom():
            return GroupAxis(names[label], label.size)
        case Product():
            return ProductAxis(tuple(_axis(factor, names) for factor in label.factors))
        case Sum():
            return SumAxis(tuple(_axis(part, names) for part in label.parts), label.runs)
        case Fixed():
            return FixedAxis(label.size, label.reason)
        case _:
            return FixedAxis(label.size, "single")
