"""Whether the verifier catches a wrong rule, and whether there was anything to catch."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from tests.symmetry.mutation.exercises import Exercise, permutations
from tests.symmetry.mutation.operators import injected
from tests.symmetry.mutation.shared import shared
from tests.symmetry.samples import Sample, check_values, derived, signature
from weightspace.symmetry import Element, Group, Spec, verify
from weightspace.symmetry.verify import relative_error

UNSOUND = 1e-9  # relative output error of a generator of the group, in float64
MOST_EXERCISES = 12  # per mutant: those made for its operator first
Status = Literal["caught", "error", "escaped", "restricting", "harmless", "equivalent"]


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        rule: The operator whose rule is wrong.
        fault: What is wrong with it.
        status: ``caught``: the verifier found a group wrong on at least one network; ``error``: the derivation failed
            or its result was no valid spec; ``escaped``: some result is unsound and nothing of this happened;
            ``restricting``: all results are sound, and the samples of the operator show that symmetry is lost;
            ``harmless``: all results are sound and differ in how they are written only, or the samples have none to
            lose; ``equivalent``: no result differs.
        refused: Exercises on which the result is unsound and the verifier says so.
        passed: Exercises on which the result is unsound and the verifier does not say so.
        exercises: Number of exercises that were run.
    """

    rule: str
    fault: str
    status: Status
    refused: tuple[str, ...]
    passed: tuple[str, ...]
    exercises: int


def judged(
    overload: torch._ops.OpOverload, fault: str, exercises: Iterable[Exercise], samples: Sequence[Sample]
) -> Verdict:
    """Injects a fault into the rule of an overload and runs derivation and verification on networks that use it.

    Args:
        overload: The operator.
        fault: A name in `OPERATORS`.
        exercises: Networks to choose from.
        samples: Samples to choose from, for faults that cost symmetry.
    """
    own = [entry for entry in samples if entry.op is overload]
    return _judged(str(overload), fault, partial(injected, overload, fault), relevant(overload, exercises), own)


def judged_shared(fault: str, exercises: Sequence[Exercise], samples: Sequence[Sample]) -> Verdict:
    """As `judged`, for a fault in what all rules work with: a name in `SHARED`."""
    return _judged("all rules", fault, partial(shared, fault), exercises, samples)


def _judged(
    rule: str,
    fault: str,
    injection: Callable[[], AbstractContextManager[None]],
    exercises: Sequence[Exercise],
    samples: Sequence[Sample],
) -> Verdict:
    refused, passed, errors, changed = [], [], 0, False
    for exercise in exercises:
        with injection():
            try:
                spec = permutations(exercise.recorded)
            except Exception:  # any failure shows the fault
                errors += 1
                continue
        if spec.hash == exercise.spec.hash:
            continue
        changed = True
        if verify(spec, exercise.forward, exercise.state(0)).wrong:
            refused.append(exercise.name)
        elif not sound(spec, exercise):
            passed.append(exercise.name)
    status: Status
    if refused:
        status = "caught"
    elif errors:
        status = "error"
    else:
        shown = set(_shown_by_samples(injection, samples))
        if passed or "unsound" in shown:
            status = "escaped"
        elif shown:
            status = "restricting"
        else:
            status = "harmless" if changed else "equivalent"
    return Verdict(rule, fault, status, tuple(refused), tuple(passed), len(exercises))


def share_caught(verdicts: Iterable[Verdict]) -> float:
    """Share caught of the mutants that make some result unsound, or fail."""
    counts = Counter(verdict.status for verdict in verdicts)
    caught = counts["caught"] + counts["error"]
    return caught / (caught + counts["escaped"])


def relevant(overload: torch._ops.OpOverload, exercises: Iterable[Exercise]) -> list[Exercise]:
    """The exercises that run an overload: those made for it, then real networks, then others."""
    using = [exercise for exercise in exercises if overload in exercise.operators]
    own = [e for e in using if e.sample is not None and e.sample.op is overload]
    real = [e for e in using if e.sample is None]
    others = [e for e in using if e not in own and e not in real]
    return [*own, *[*real, *others][: max(0, MOST_EXERCISES - len(own))]]


def _shown_by_samples(
    injection: Callable[[], AbstractContextManager[None]], samples: Sequence[Sample]
) -> Iterator[str]:
    """For each sample whose signature the fault changes: whether its values still have it."""
    for entry in samples:
        right = signature(derived(entry))
        with injection():
            found = derived(entry)
            if signature(found) != right:
                try:
                    check_values(entry, found)
                except AssertionError:
                    yield "unsound"
                else:
                    yield "restricted"


def sound(spec: Spec, exercise: Exercise) -> bool:
    """Whether every generator of the group preserves the function, for several random weights: slow and obvious."""
    for seed in range(2):
        state = exercise.state(seed)
        expected = exercise.forward(state)
        for element in generators(spec):
            if relative_error(exercise.forward(spec.apply(element, state)), expected) > UNSOUND:
                return False
    return True


def generators(spec: Spec) -> Iterator[Element]:
    """Transpositions of neighbours, for every index of the outer groups by itself: they generate the whole group."""
    sizes = {group.name: group.size for group in spec.all_groups}
    for group in spec.groups:
        outer = [sizes[name] for name in group.depends_on]
        for where in itertools.product(*map(range, outer)):
            for i in range(group.size - 1):
                yield Element(spec.all_groups, {group.name: _neighbours(group, outer, where, i)})


def _neighbours(group: Group, outer: list[int], where: tuple[int, ...], i: int) -> torch.Tensor:
    perm = torch.arange(group.size).repeat(*outer, 1) if outer else torch.arange(group.size)
    perm[(*where, i)], perm[(*where, i + 1)] = i + 1, i
    return perm
