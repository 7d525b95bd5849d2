"""What a way to align is given, what it gives back, and the table of all of them.

A new method is one file in `weightspace.align.methods` that registers a function from a `Request` to a `Found`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor

from weightspace.align.problem import Problem
from weightspace.errors import AlignmentError
from weightspace.source import Inputs, Program
from weightspace.symmetry import Element, Spec, Transformation

Kind = TypeVar("Kind")
Progress = Callable[[float, float, str], None]
"""Called with (steps done, steps in all, what is going on)."""
Loss = Callable[[list[Tensor], Inputs], Tensor]
"""Given the outputs of a network on a call and that call, how bad they are: a number with gradients."""


@dataclass(frozen=True)
class Request:
    """Two checkpoints to be aligned, and what else a method may need.

    Attributes:
        a: Weights of the reference by the names of the spec.
        b: Weights of the model to be aligned. Both may be read from files anew at every access.
        spec: The symmetry of their network.
        device: Where to compute.
        restarts: How many starts a search may take.
        seed: Seed of everything random.
        progress: Told how far the work is.
        program: The network, where it is at hand.
        batches: Starts a fresh pass over calls of the network, where there is data.
        loss: What methods that learn minimise; by default what `weightspace.align.loss` says.
        kinds: Kinds of freedoms that may be used beside permutations.
        memory: Bytes of blocks and costs that may be held; None for what the network asks for.
        journal: File in which a long search notes where it is, and from which it goes on.
    """

    a: Mapping[str, Tensor]
    b: Mapping[str, Tensor]
    spec: Spec
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    restarts: int = 1
    seed: int = 0
    progress: Progress | None = None
    program: Program | None = None
    batches: Callable[[], Iterable[Inputs]] | None = None
    memory: int | None = None
    journal: Path | None = None
    loss: Loss | None = None
    kinds: tuple[str, ...] = ()
    _problems: dict[bool, Problem] = field(default_factory=dict, repr=False)

    def problem(self, *, balance: bool) -> Problem:
        """The matching problem over the blocks of the weights, read once; it stays where its last user moved it."""
        if balance not in self._problems:
            self._problems[balance] = Problem(
                self.a, self.b, self.spec, self.device, balance=balance, memory=self.memory
            )
        return self._problems[balance]

    def held(self, which: Literal["a", "b"]) -> dict[str, Tensor]:
        """All weights of A or B on the device, floating ones in float32, tied ones once; for methods that run them."""
        state = self.a if which == "a" else self.b
        found = {}
        for name in state:
            if name not in self.spec.aliases:
                tensor = state[name].detach()
                found[name] = tensor.to(self.device, torch.float32 if tensor.is_floating_point() else tensor.dtype)
        return found


@dataclass(frozen=True)
class Found:
    """What a method found.

    Attributes:
        element: Acts on B.
        sweeps: Passes over all groups, or steps of whatever kind the method takes.
        figures: What else the method measured, for the report.
        by_weights: Whether weight matching may go on from the element once freedoms have changed B; what was matched on
            data stays as it is.
        freed: The element together with freedoms, from a method that finds these too; for others they come after it.
    """

    element: Element
    sweeps: int
    figures: Mapping[str, float] = field(default_factory=dict)
    by_weights: bool = True
    freed: Transformation | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """A way to align.

    Attributes:
        match: Finds the element.
        balanced: Whether the blocks of the objective in the report are weighed (see `weightspace.align.balance`).
        needs: Optional fields of `Request` that it cannot do without.
    """

    match: Callable[[Request], Found]
    balanced: bool
    needs: tuple[str, ...]


METHODS: dict[str, Method] = {}
_WHAT_TO_PASS = {"program": "the network (--arch)", "batches": "data (--data)"}


def method(
    name: str, *, balanced: bool, needs: tuple[str, ...] = ()
) -> Callable[[Callable[[Request], Found]], Callable[[Request], Found]]:
    """Registers a function as a method, see `Method`."""

    def register(match: Callable[[Request], Found]) -> Callable[[Request], Found]:
        METHODS[name] = Method(match, balanced, needs)
        return match

    return register


def known_method(name: str, methods: Mapping[str, Kind]) -> Kind:
    """What a table of methods has under a name.

    Raises:
        AlignmentError: Nothing; with the nearest name.
    """
    if name not in methods:
        nearest = difflib.get_close_matches(name, methods, n=1, cutoff=0.0)[0]
        raise AlignmentError(f"method '{name}': expected one of {', '.join(methods)}; did you mean '{nearest}'?")
    return methods[name]


def check_method(name: str) -> Method:
    """The method of a name, before any work.

    Raises:
        AlignmentError: There is none; with the nearest name.
    """
    return known_method(name, METHODS)


def check_needs(name: str, request: Request) -> None:
    """Checks that a request holds what a method needs.

    Raises:
        AlignmentError: Something is missing.
    """
    missing = [need for need in check_method(name).needs if getattr(request, need) is None]
    if missing:
        what = " and ".join(_WHAT_TO_PASS[need] for need in missing)
        raise AlignmentError(f"method '{name}': expected {what}, found none; pass it, or choose weights")
