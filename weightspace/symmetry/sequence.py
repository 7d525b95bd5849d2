"""The operators of a trace by number, as they can be told again when the network runs on real tensors."""

from __future__ import annotations

from weightspace.symmetry.call import Call
from weightspace.symmetry.trace import Trace

# Operators that change no value. Which of them run depends on where the tensors are, not on the network.
_SILENT = frozenset({"_to_copy", "alias", "as_strided_", "clone", "detach", "lift_fresh", "_local_scalar_dense"})


def is_silent(name: str) -> bool:
    """Whether an operator, by its full name, changes no value."""
    return name.split(".")[1] in _SILENT


def plain_name(name: str) -> str:
    """The full name of an operator, the same for views and for copies where the layout in memory allows no view."""
    return name.replace("._unsafe_view.", ".view.")


def numbered(recorded: Trace) -> tuple[tuple[str, ...], list[tuple[int | None, Call]]]:
    """Names of all operators that ran but silent ones, and the calls that reach an output.

    Returns:
        The sequence of plain names; and every call with its number in it, None for a silent one.
    """
    loud = [number for number, name in enumerate(recorded.sequence) if not is_silent(name)]
    place = {number: at for at, number in enumerate(loud)}
    calls = zip(recorded.numbers, recorded.calls, strict=True)
    return (
        tuple(plain_name(recorded.sequence[number]) for number in loud),
        [(place.get(number), call) for number, call in calls],
    )
