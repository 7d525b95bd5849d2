"""How much symmetry a derivation misses, measured: transpositions that it does not claim should change the function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, cycle
from random import Random
from typing import Any

import torch
from torch import Tensor

from weightspace.symmetry.conjecture import Conjecture, conjectures
from weightspace.symmetry.context import Context
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.transposition import Move, Place
from weightspace.symmetry.verify import NOISE_FACTOR, Forward, perturbed, randomized, relative_error

TOLERANCE = 1e-9
WEIGHTS = 3  # random weights for which a missed transposition must preserve the function
INFLUENCE = 1e3  # weights matter if changing them changes the output by so many times what passes as preserved
REDRAWS = 2  # further draws where the indices drawn do not matter: rows of a table that no token reads


@dataclass(frozen=True, slots=True)
class Missed:
    """Transpositions that preserve the function although the spec does not have them.

    Attributes:
        kind: What they move (see `weightspace.symmetry.conjecture`).
        places: (tensor, axis) pairs on which the first one that was found acts.
        size: Number of indices of the class that they belong to.
        reason: Why the derivation does not move them.
        found: How many were found.
        tried: Out of how many of this family.
    """

    kind: str
    places: tuple[Place, ...]
    size: int
    reason: str
    found: int
    tried: int


@dataclass(frozen=True, slots=True)
class Idle:
    """Indices whose transpositions tell nothing, because the weights there do not reach the output."""

    kind: str
    places: tuple[Place, ...]
    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class Tightness:
    """The result of `missed_transpositions`.

    Attributes:
        tried: Number of transpositions of weights that matter.
        families: Number of families that they come from.
        missed: What preserves the function although it is not claimed.
        idle: Families of which no transposition moved weights that matter.
        noise: Relative output error under a perturbation of the weights by one rounding step.
    """

    tried: int
    families: int
    missed: tuple[Missed, ...]
    idle: tuple[Idle, ...]
    noise: float

    def to_json(self) -> dict[str, Any]:
        """Returns the result as JSON-ready values."""

        def row(entry: Missed | Idle) -> dict[str, Any]:
            places = [list(place) for place in entry.places]
            return {"kind": entry.kind, "places": places, "size": entry.size, "reason": entry.reason}

        return {
            "tried": self.tried,
            "families": self.families,
            "missed": [{**row(entry), "found": entry.found, "tried": entry.tried} for entry in self.missed],
            "idle": [row(entry) for entry in self.idle],
            "noise": self.noise,
        }


@dataclass(frozen=True)
class _Trial:
    family: Conjecture
    move: Move


def missed_transpositions(
    context: Context,
    forwards: Sequence[Forward],
    state: Mapping[str, Tensor],
    *,
    tries: int = 64,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    progress: Callable[[int, int], None] | None = None,
) -> Tightness:
    """Tries transpositions that the derived spec does not have.

    One is missed if it preserves the outputs for several random weights and all inputs while weights that it moves
    matter. Each class of indices that stay in place is tried at least twice; sets and parts of classes as `tries`
    allow.

    Args:
        context: The finished derivation, ``propagate(trace(module, args, kwargs))``, of which `spec_of` makes the spec.
        forwards: The network as a function of its state dict, on one or more batches of random inputs; deterministic.
        state: Weights; they only give the scale of the random ones that are used.
        tries: Number of transpositions; more where there are more than half as many classes.
        seed: Seed of weights and transpositions.
        tolerance: Relative output error that passes as preserved, unless the noise floor is higher.
        progress: Called with (tries done, tries in all).

    Returns:
        The findings; without tries where the outputs are not finite or too noisy to tell.
    """
    found = conjectures(context)
    random = Random(seed)
    probe = _Probe(found.spec, forwards, state, seed, tolerance)
    noise = probe.noise
    if not probe.bound * INFLUENCE < 1:
        return Tightness(0, 0, (), (), noise)
    total = max(tries, 2 * len(found.close)) if found.close or found.wide else 0
    rounds = chain(found.close, found.close, found.wide, cycle((*found.close, *found.wide)))
    tried: dict[int, int] = {}
    idle: dict[int, Idle] = {}
    suspects: list[_Trial] = []
    for number, family in zip(range(total), rounds, strict=False):
        given_up = id(family) in idle and id(family) not in tried
        for move in _draws(family, random, 0 if given_up else 1 + REDRAWS):
            outcome = probe.outcome(move)
            if outcome == "idle":
                idle.setdefault(id(family), Idle(family.kind, move.places, family.size, family.reason))
                continue
            tried[id(family)] = tried.get(id(family), 0) + 1
            if outcome == "preserved":
                suspects.append(_Trial(family, move))
            break
        if progress is not None:
            progress(number + 1, total)
    for again in range(1, WEIGHTS) if suspects else ():
        probe = _Probe(found.spec, forwards, state, seed + again, tolerance)
        suspects = [trial for trial in suspects if probe.outcome(trial.move) == "preserved"]
    return Tightness(
        sum(tried.values()),
        len(tried),
        tuple(_missed(suspects, tried)),
        tuple(entry for family, entry in idle.items() if family not in tried),
        noise,
    )


def _draws(family: Conjecture, random: Random, count: int) -> Iterator[Move]:
    for _ in range(count):
        yield family.draw(random)


def _missed(trials: Sequence[_Trial], tried: Mapping[int, int]) -> Iterator[Missed]:
    families: dict[int, list[_Trial]] = {}
    for trial in trials:
        families.setdefault(id(trial.family), []).append(trial)
    known: list[set[Place]] = []
    for number, found in sorted(families.items(), key=lambda item: len(item[1][0].move.places)):
        family, places = found[0].family, set(found[0].move.places)
        if family.kind == "joint" and any(fewer <= places for fewer in known):
            continue  # some of the classes alone are missed already
        known.append(places)
        yield Missed(family.kind, found[0].move.places, family.size, family.reason, len(found), tried[number])


class _Probe:
    """The network with one set of random weights."""

    def __init__(
        self, spec: Spec, forwards: Sequence[Forward], state: Mapping[str, Tensor], seed: int, tolerance: float
    ) -> None:
        self._kinds = {name: tensor.kind for name, tensor in spec.tensors.items()}
        self._forwards = forwards
        self._state = randomized(state, spec, seed)
        self._expected = [forward(self._state) for forward in forwards]
        self._generator = torch.Generator().manual_seed(seed)
        self.noise = self._error(perturbed(self._state, self._generator))
        self.bound = max(tolerance, NOISE_FACTOR * self.noise)

    def outcome(self, move: Move) -> str:
        """``changed`` or ``preserved``, or ``idle`` where weights that do not matter are moved."""
        moved = move.apply(self._state)
        others = self._with_other_values(moved)
        if not others:
            return "idle"
        if self._error(moved) > self.bound:
            return "changed"
        matters = self._error(others) > INFLUENCE * self.bound
        if matters and move.rest is not None:
            matters = self._error(self._with_other_values(move.rest(self._state))) > INFLUENCE * self.bound
        return "preserved" if matters else "idle"

    def _with_other_values(self, moved: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors that the weights move in, with other values there; statistics stay positive."""
        changed = {}
        for name, tensor in moved.items():
            value = self._state[name]
            if self._kinds[name] != "buffer" and value.is_floating_point() and not torch.equal(tensor, value):
                factor = torch.rand(value.shape, generator=self._generator, dtype=value.dtype).to(value.device) + 0.5
                changed[name] = torch.where(tensor != value, value * factor, value)
        return changed

    def _error(self, changes: Mapping[str, Tensor]) -> float:
        state = {**self._state, **changes}
        return max(
            relative_error(forward(state), expected)
            for forward, expected in zip(self._forwards, self._expected, strict=True)
        )
