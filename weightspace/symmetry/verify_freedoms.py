"""Numerical verification of the freedoms beside permutations: random values must preserve the function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from weightspace.symmetry.freedom import KINDS
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.transformation import Transformation
from weightspace.symmetry.verify import (
    NOISE_FACTOR,
    TOLERANCE,
    Forward,
    GroupCheck,
    Verification,
    control_error,
    is_sensitive,
    perturbed,
    relative_error,
    sample,
)


def verify_freedoms(
    spec: Spec,
    forward: Forward,
    state: Mapping[str, Tensor],
    *,
    kinds: Iterable[str] = KINDS,
    seed: int = 0,
    freedoms: int | None = None,
    tolerance: float = TOLERANCE,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Checks the freedoms of a spec on a network with concrete weights, as `verify` checks its permutations.

    One random transformation by all kinds together (permutations included), then every freedom on its own, with a
    control: with one of its tensors left out it must change the function.

    Args:
        spec: The claimed symmetry.
        forward: The network as a function of its state dict, on fixed inputs; deterministic.
        state: Weights in float64 (see `randomized`).
        kinds: Kinds of freedoms to check.
        seed: Seed of the values.
        freedoms: Check at most this many one by one, chosen at random; None for all.
        tolerance: Largest relative output error that passes, unless the noise floor is higher.
        progress: Called with (checks done, checks in all).

    Returns:
        The findings, with freedoms in the place of groups.
    """
    kinds = set(kinds)
    generator = torch.Generator().manual_seed(seed)
    state = {name: tensor for name, tensor in state.items() if name not in spec.aliases}
    expected = forward(state)
    noise = relative_error(forward(perturbed(state, generator)), expected)
    bound = max(tolerance, NOISE_FACTOR * noise)
    names = [freedom.name for freedom in spec.freedoms.all if freedom.kind in kinds]
    chosen = set(sample(names, freedoms, torch.Generator().manual_seed(seed)))
    names = [name for name in names if name in chosen]
    total = 1 + len(names)
    everything = Transformation.random(spec, generator, (*kinds, "permutation"))
    max_error = relative_error(forward(everything.apply(state)), expected)
    if progress is not None:
        progress(1, total)
    checks, wrong, insensitive = [], [], []
    for done, name in enumerate(names, start=2):
        check = _check(spec, forward, state, expected, name, generator)
        checks.append(check)
        max_error = max(max_error, check.error)
        if not check.error <= bound:
            wrong.append(name)
        elif not is_sensitive(check, noise):
            insensitive.append(name)
        if progress is not None:
            progress(done, total)
    return Verification(
        verified=max_error <= bound and not wrong and not insensitive,
        max_error=max_error,
        noise=noise,
        tolerance=bound,
        groups=tuple(checks),
        wrong=tuple(wrong),
        insensitive=tuple(insensitive),
    )


def _check(
    spec: Spec,
    forward: Forward,
    state: Mapping[str, Tensor],
    expected: Sequence[Tensor],
    name: str,
    generator: torch.Generator,
) -> GroupCheck:
    """One freedom alone, with its control."""
    freedom = spec.freedoms.by_name[name]
    transformation = Transformation.random(spec, generator, (freedom.kind,)).restrict([name])
    while freedom.kind == "sign" and bool((transformation.values[name] > 0).all()):
        transformation = Transformation.random(spec, generator, (freedom.kind,)).restrict([name])
    moved = transformation.apply(state)
    error = relative_error(forward(moved), expected)
    tensors = {place.tensor for place in (*freedom.places, *freedom.turns)}
    return GroupCheck(name, error, control_error(forward, state, expected, moved, tensors))
