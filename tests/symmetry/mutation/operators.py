"""Wrong rules, made mechanically from right ones.

Each operator turns a rule into one with a fault that a person might write: a freeze forgotten, a merged label not used,
two dimensions mistaken for each other. The fault is in the context that the rule works in, or in what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import torch

from tests.symmetry.mutation.in_context import (
    FreshForFixed,
    NeverFreezes,
    NoChoices,
    NoSpace,
    NothingInPlace,
    NoTie,
    StaleLabel,
    WrongFactor,
    WrongOperandAxis,
    WrongPart,
    ignoring,
)
from tests.symmetry.mutation.in_result import fresh, repeated, returning, tied
from tests.symmetry.mutation.mistaken import exchanged
from weightspace.symmetry import propagate
from weightspace.symmetry.context import Context
from weightspace.symmetry.rules import Rule, find_rule

Operator = Callable[[Rule], Rule]

OPERATORS: dict[str, Operator] = {
    "never freezes": NeverFreezes.around,
    "fresh label for fixed": FreshForFixed.around,
    "nothing in place": NothingInPlace.around,
    "tie instead": tied,
    "stale label": StaleLabel.around,
    "no tie": NoTie.around,
    "iteration space not noted": NoSpace.around,
    "choices not carried": NoChoices.around,
    "fresh outputs": returning(fresh),
    "output axes exchanged": returning(exchanged),
    "output axis repeated": returning(repeated),
    "operand axes exchanged": WrongOperandAxis.around,
    "wrong part": WrongPart.around,
    "wrong factor": WrongFactor.around,
    **{f"operand {number + 1} ignored": ignoring(number).around for number in range(5)},
}


@contextmanager
def injected(overload: torch._ops.OpOverload, fault: str) -> Iterator[None]:
    """Derivations take the faulty rule for an overload while this is open; one without a rule has a faulty default."""
    wrong = OPERATORS[fault](find_rule(overload) or Context.unknown)
    with mock.patch.object(propagate, "find_rule", lambda op: wrong if op is overload else find_rule(op)):
        yield
