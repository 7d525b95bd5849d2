"""Faults of what all rules work with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from tests.symmetry.mutation.in_context import FreshForFixed, NoSpace
from weightspace.symmetry import wreath
from weightspace.symmetry.algebra import Algebra
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Atom, Fixed, Label, Varying, resolve


def _binds_without_freezing(right: Callable[[Algebra, Atom, Label], Label]) -> Any:
    def bind(self: Algebra, atom: Atom, label: Label) -> Label:
        frozen, atom.frozen = atom.frozen, None
        try:
            return right(self, atom, label)
        finally:
            atom.frozen = frozen

    return bind


def _joins_without_freezing(right: Callable[[Algebra, Label, Label], Label]) -> Any:
    def join(self: Algebra, x: Label, y: Label) -> Label:
        x, y = resolve(x), resolve(y)
        return x if isinstance(x, Fixed) and x.size == y.size else right(self, x, y)

    return join


def _collapses_to_the_first(right: Callable[[Algebra, Sequence[Label]], list[Label]]) -> Any:
    def plain(self: Algebra, labels: Sequence[Label]) -> list[Label]:
        return right(self, [label.choices[0] if isinstance(label, Varying) else label for label in labels])

    return plain


def _depends_on_anything(right: Callable[..., dict[Atom, tuple[Atom, ...]]]) -> Any:
    def restrict(labels: list[Label], known: Any, allowed: dict[Atom, set[Atom]]) -> None:
        before = {atom: set(outers) for atom, outers in allowed.items()}
        right(labels, known, allowed)
        for atom, outers in before.items():
            allowed[atom] |= outers

    return restrict


SHARED: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "freeze does nothing": (Algebra, "freeze", lambda right: lambda self, label, reason=None: resolve(label)),
    "ordered stretches are free": (Context, "fixed", lambda right: FreshForFixed.fixed),
    "binding forgets that an atom is frozen": (Algebra, "bind", _binds_without_freezing),
    "meeting ordered indices freezes nothing": (Algebra, "join", _joins_without_freezing),
    "varying labels collapse to the first": (Algebra, "plain", _collapses_to_the_first),
    "iteration spaces are not noted": (Context, "contract", lambda right: NoSpace.contract),
    "an inner group depends on all outer ones of any tensor": (wreath, "_restrict", _depends_on_anything),
}


@contextmanager
def shared(fault: str) -> Iterator[None]:
    """All derivations have a fault in what the rules work with while this is open."""
    owner, name, wrong = SHARED[fault]
    with mock.patch.object(owner, name, wrong(getattr(owner, name))):
        yield
