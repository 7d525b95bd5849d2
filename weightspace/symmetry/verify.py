"""Numerical verification of a spec: random group elements must preserve the function, wrong ones must change it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from weightspace.symmetry.element import Element
from weightspace.symmetry.spec import Spec

Forward = Callable[[Mapping[str, Tensor]], list[Tensor]]
TOLERANCE = 1e-6
ATTEMPTS = 4  # random weights on which a wrong element may show its effect
NOISE_FACTOR = 100.0  # an error within this multiple of the noise floor is rounding, a control above it is not


@dataclass(frozen=True, slots=True)
class GroupCheck:
    """What verification found for one group.

    Attributes:
        name: The group.
        error: Relative output error under a random element of this group alone.
        control: Relative output error when one tensor that carries the group is left out, which must not be small; None
            where a single tensor carries the group, so that there is nothing to leave out.
    """

    name: str
    error: float
    control: float | None


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of `verify`.

    Attributes:
        verified: Whether no element changed the function and every control did.
        max_error: Largest relative output error of a random element of the whole group.
        noise: Relative output error under a perturbation of the weights by one rounding step: the floor.
        tolerance: What `max_error` was held against.
        groups: The groups that were checked one by one.
        wrong: Names of groups that change the function.
        insensitive: Names of groups whose control did not change the output.
        idle: Names of groups of which nothing can be seen: other random values of all tensors that carry them leave the
            output as it is. These are no failures; the weights do not matter on these inputs.
    """

    verified: bool
    max_error: float
    noise: float
    tolerance: float
    groups: tuple[GroupCheck, ...]
    wrong: tuple[str, ...]
    insensitive: tuple[str, ...]
    idle: tuple[str, ...] = ()

    def joined(self, other: Verification) -> Verification:
        """The findings of two verifications of one network as one, with the looser tolerance."""
        return Verification(
            self.verified and other.verified,
            max(self.max_error, other.max_error),
            max(self.noise, other.noise),
            max(self.tolerance, other.tolerance),
            (*self.groups, *other.groups),
            (*self.wrong, *other.wrong),
            (*self.insensitive, *other.insensitive),
            (*self.idle, *other.idle),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the result as JSON-ready values."""
        return {
            "verified": self.verified,
            "max_error": self.max_error,
            "noise": self.noise,
            "tolerance": self.tolerance,
            "groups": [{"name": g.name, "error": g.error, "control": g.control} for g in self.groups],
            "wrong": list(self.wrong),
            "insensitive": list(self.insensitive),
            "idle": list(self.idle),
        }


def verify(
    spec: Spec,
    forward: Forward,
    state: Mapping[str, Tensor],
    *,
    seed: int = 0,
    elements: int = 2,
    groups: int | None = None,
    tolerance: float = TOLERANCE,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Checks a spec on a network with concrete weights.

    Args:
        spec: The claimed symmetry.
        forward: The network as a function of its state dict (tied tensors under one name), on fixed inputs;
            deterministic.
        state: Weights in float64 (see `randomized`: zeros and tiny layer scales would hide errors).
        seed: Seed of the group elements.
        elements: Number of random elements of the whole group.
        groups: Check at most this many groups one by one, chosen at random; None for all.
        tolerance: Largest relative output error that passes, unless the noise floor is higher.
        progress: Called with (checks done, checks in all).

    Returns:
        The findings. A failing spec has its wrong groups named, found by bisection.
    """
    generator = torch.Generator().manual_seed(seed)
    state = {name: tensor for name, tensor in state.items() if name not in spec.aliases}
    expected = forward(state)
    noise = relative_error(forward(perturbed(state, generator)), expected)
    bound = max(tolerance, NOISE_FACTOR * noise)
    # A single index has nothing to permute.
    names = sample([g.name for g in spec.groups if g.size > 1], groups, torch.Generator().manual_seed(seed))
    total = elements + len(names)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    max_error, wrong = 0.0, set[str]()
    for _ in range(elements):
        element = spec.random_element(generator)
        error = relative_error(forward(spec.apply(element, state)), expected)
        max_error = max(max_error, error)
        if not error <= bound:
            wrong |= set(_bisect(spec, forward, state, expected, element, bound))
        step()
    checks = []
    insensitive, idle = [], []
    for name in names:
        check = _check_group(spec, forward, state, expected, name, generator)
        for attempt in range(1, ATTEMPTS):
            if is_sensitive(check, noise):
                break
            # Units that no input reaches (a dead ReLU) prove nothing with these weights, and may with others.
            others = randomized(state, spec, seed + attempt)
            again = _check_group(spec, forward, others, forward(others), name, generator)
            check = GroupCheck(name, max(check.error, again.error), again.control)
        checks.append(check)
        if not check.error <= bound:
            wrong.add(name)
        elif not is_sensitive(check, noise):
            matters = _matters(spec, forward, state, expected, name, NOISE_FACTOR * noise)
            (insensitive if matters else idle).append(name)
        step()
    return Verification(
        verified=max_error <= bound and not wrong and not insensitive,
        max_error=max_error,
        noise=noise,
        tolerance=bound,
        groups=tuple(checks),
        wrong=tuple(sorted(wrong)),
        insensitive=tuple(insensitive),
        idle=tuple(idle),
    )


def relative_error(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Largest difference over the largest value, the worst over all outputs; NaN counts as infinite."""
    worst = 0.0
    for y, reference in zip(found, expected, strict=True):
        if reference.numel():
            error = float((y - reference).abs().max() / reference.abs().max().clamp_min(1e-30))
            worst = max(worst, math.inf if math.isnan(error) else error)
    return worst


def randomized(state: Mapping[str, Tensor], spec: Spec, seed: int = 0) -> dict[str, Tensor]:
    """A float64 state dict with every parameter and statistic random, of sizes at which a network behaves well.

    Matrices are drawn with variance 1 / fan-in; vectors keep their values and get noise of deviation 0.2, so that
    scales stay near 1; positive statistics (variances) are multiplied by factors between 0.7 and 1.3.

    Args:
        state: The state dict.
        spec: Says which tensors are statistics and which are tied.
        seed: Seed of the values.
    """
    generator = torch.Generator().manual_seed(seed)
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name in spec.aliases:  # the tied tensor has its value under one name
            continue
        if not tensor.is_floating_point():
            result[name] = tensor.clone()
            continue
        noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        kind = spec.tensors[name].kind if name in spec.tensors else "parameter"
        value = tensor.double()
        if kind == "statistic" and value.numel() and bool((value > 0).all()):
            result[name] = value * (
                1 + 0.3 * torch.rand(tensor.shape, generator=generator, dtype=torch.float64).sub(0.5)
            )
        elif kind == "buffer":
            result[name] = value
        elif tensor.dim() >= 2:
            result[name] = noise / math.sqrt(max(1, math.prod(tensor.shape[1:])))
        else:
            result[name] = value + 0.2 * noise
    return result


def is_sensitive(check: GroupCheck, noise: float) -> bool:
    """Whether a wrong element changed the output by more than rounding can."""
    return check.control is None or check.control > NOISE_FACTOR * max(noise, check.error)


def _matters(
    spec: Spec, forward: Forward, state: Mapping[str, Tensor], expected: Sequence[Tensor], name: str, bound: float
) -> bool:
    """Whether the output depends on the tensors that carry a group at all."""
    others = randomized(state, spec, seed=ATTEMPTS)
    carriers = {tensor for tensor, _ in spec.occurrences(name)}
    replaced = forward({**state, **{tensor: others[tensor] for tensor in carriers}})
    return not relative_error(replaced, expected) <= bound < math.inf


def _check_group(
    spec: Spec,
    forward: Forward,
    state: Mapping[str, Tensor],
    expected: Sequence[Tensor],
    name: str,
    generator: torch.Generator,
) -> GroupCheck:
    element = spec.random_element(generator).restrict([name])
    while element.is_identity():
        element = spec.random_element(generator).restrict([name])
    moved = spec.apply(element, state)
    error = relative_error(forward(moved), expected)
    carriers = {tensor for tensor, _ in spec.occurrences(name)}
    control = control_error(forward, state, expected, moved, carriers)
    return GroupCheck(name, error, control)


def control_error(
    forward: Forward,
    state: Mapping[str, Tensor],
    expected: Sequence[Tensor],
    moved: Mapping[str, Tensor],
    carriers: Iterable[str],
) -> float | None:
    """Relative output error when one of the tensors that were moved together is left where it was.

    Zero tensors, or ones that the data never reaches, prove nothing: the largest that matters does.

    Returns:
        The largest error found, None where a single tensor was moved.
    """
    ordered = sorted(carriers, key=lambda tensor: -state[tensor].numel())
    control = None
    for left_out in ordered if len(ordered) > 1 else ():
        control = max(control or 0.0, relative_error(forward({**moved, left_out: state[left_out]}), expected))
        if control > TOLERANCE:  # such a mistake would have been seen
            break
    return control


def _bisect(
    spec: Spec,
    forward: Forward,
    state: Mapping[str, Tensor],
    expected: Sequence[Tensor],
    element: Element,
    bound: float,
) -> list[str]:
    """Names of the groups that alone change the function, by halving."""

    def changes(names: list[str]) -> bool:
        return not relative_error(forward(spec.apply(element.restrict(names), state)), expected) <= bound

    def search(names: list[str]) -> list[str]:
        if not names or not changes(names):
            return []
        if len(names) == 1:
            return names
        half = len(names) // 2
        found = search(names[:half]) + search(names[half:])
        return found or names  # only together do they change it

    return search([group.name for group in spec.groups])


def perturbed(state: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Weights moved by about one rounding step."""
    return {
        name: t * (1 + torch.finfo(t.dtype).eps * torch.randn(t.shape, generator=generator, dtype=t.dtype).to(t.device))
        if t.is_floating_point()
        else t
        for name, t in state.items()
    }


def sample(names: list[str], count: int | None, generator: torch.Generator) -> list[str]:
    """At most so many names, drawn at random; None for all."""
    if count is None or count >= len(names):
        return names
    return [names[i] for i in torch.randperm(len(names), generator=generator)[:count].tolist()]
