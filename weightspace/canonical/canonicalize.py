"""One representative of every orbit: weights in canonical form, without a reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from weightspace.canonical.balance import balanced, terms_of
from weightspace.canonical.measures import Exact, Measure, Rounded
from weightspace.canonical.order import Order, Ties, order_of
from weightspace.canonical.signs import leaning
from weightspace.canonical.unknowns import posed
from weightspace.errors import SpecError
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.transformation import Transformation

SUPPORTED = ("permutation", "scale", "sign", "linear")
DEFAULT_KINDS = ("permutation", "scale", "sign")
ROUNDING_STEPS = 64.0  # keys that differ by fewer, relatively, count as equal
FINEST = 1e-11  # what the scales are found to, with a margin


@dataclass(frozen=True, slots=True)
class Gauge:
    """What became of one freedom.

    Attributes:
        name: The freedom.
        kind: Its kind.
        units: Number of its units (of outer indices, for matrices).
        changed: How many of them were changed.
        unresolved: How many have no canonical value, and were left as they are.
        one_sided: Of a scale, how many units have only zeros on one side, so that no scale makes them smallest.
    """

    name: str
    kind: str
    units: int
    changed: int
    unresolved: int = 0
    one_sided: int = 0


@dataclass(frozen=True, slots=True)
class Sorted:
    """What became of one group.

    Attributes:
        name: The group.
        size: Its number of units.
        copies: Number of outer indices, each of which has units of its own.
        moved: Number of units that changed their place, over all copies.
        ties: What the weights left open.
    """

    name: str
    size: int
    copies: int
    moved: int
    ties: Ties


@dataclass(frozen=True, eq=False)
class Canonical:
    """Weights in canonical form.

    Attributes:
        tensors: The weights, in the order, of the types and on the device of the given ones.
        transformation: What brought them there.
        gauges: What became of scales, signs and matrices.
        groups: What became of the order of units.
    """

    tensors: dict[str, Tensor]
    transformation: Transformation
    gauges: tuple[Gauge, ...]
    groups: tuple[Sorted, ...]

    @property
    def unresolved(self) -> int:
        """Number of units for which the result may depend on the weights that were given, not on their orbit alone."""
        return sum(gauge.unresolved for gauge in self.gauges) + sum(
            group.ties.tied + group.ties.close for group in self.groups
        )

    def report(self) -> dict[str, Any]:
        """What was done, as JSON values."""
        return {
            "freedoms": [
                {
                    "name": gauge.name,
                    "kind": gauge.kind,
                    "units": gauge.units,
                    "changed": gauge.changed,
                    "one_sided": gauge.one_sided,
                    "unresolved": gauge.unresolved,
                }
                for gauge in self.gauges
            ],
            "groups": [
                {
                    "name": group.name,
                    "size": group.size,
                    "copies": group.copies,
                    "moved": group.moved,
                    "interchangeable": group.ties.interchangeable,
                    "tied": group.ties.tied,
                    "close": group.ties.close,
                }
                for group in self.groups
            ],
            "unresolved": self.unresolved,
        }


def canonicalize(tensors: Mapping[str, Tensor], spec: Spec, kinds: Iterable[str] = DEFAULT_KINDS) -> Canonical:
    """Brings weights to one representative of their orbit, without a reference.

    Scales come first: every variance of a batch norm becomes 1 (less its offset), and all other weights together as
    small as scales can make them, so that what makes a unit is as large as what reads it. Signs come second: the
    largest entries of a unit become positive. Units are sorted last: by the length of their weights, longest first, and
    by their connections where that leaves ties. Each step is the same for all that the later steps can do.

    Weights that a permutation leads to one another become the same bit for bit if only permutations (and signs) are
    asked for, else up to rounding. Calculations run in float64.

    Args:
        tensors: Weights and statistics by name; aliases of tied tensors may be among them. Names that the spec does not
            know pass through.
        spec: The symmetry.
        kinds: Kinds of symmetry to use: permutation, scale, sign, linear (invertible maps inside of attention heads).

    Returns:
        The weights in canonical form, how they got there, and what remained open.

    Raises:
        SpecError: If a kind is unknown or not supported, a tensor is missing, has another shape, or is not finite.
    """
    chosen = _checked_kinds(kinds)
    with torch.no_grad():
        state = _checked_state(tensors, spec)
        exact = not set(chosen) & {"scale", "linear"}
        tolerance = 0.0 if exact else _tolerance(tensors)
        fixed, gauges = _gauge(state, spec, chosen, tolerance)
        measure: Measure = Exact(signed_zeros="sign" not in chosen) if exact else Rounded(tolerance)
        current = fixed.apply(state) if fixed.values else state
        order = Order(spec.identity(), {})
        if "permutation" in chosen:
            order = order_of(spec, current, measure)
        transformation = Transformation(spec, order.element, fixed.values)
        return Canonical(_result(tensors, transformation), transformation, gauges, _sorted(spec, order, chosen))


def _checked_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(kinds))
    for kind in chosen:
        if kind not in SUPPORTED:
            raise SpecError(
                f"kind '{kind}': expected one of {', '.join(SUPPORTED)}, for which there is a canonical form; leave it "
                "out"
            )
    return chosen


def _checked_state(tensors: Mapping[str, Tensor], spec: Spec) -> dict[str, Tensor]:
    """The tensors of the spec under its names."""
    given = {spec.aliases.get(name, name): tensor.detach() for name, tensor in tensors.items()}
    state = {}
    for name, known in spec.tensors.items():
        if name not in given:
            raise SpecError(f"tensor '{name}': expected it as in the spec, found none; give all weights")
        tensor = given[name]
        if tuple(tensor.shape) != known.shape:
            raise SpecError(f"tensor '{name}': the spec expects shape {known.shape}, found {tuple(tensor.shape)}")
        if (tensor.is_floating_point() or tensor.is_complex()) and not bool(tensor.isfinite().all()):
            raise SpecError(
                f"tensor '{name}': expected finite numbers, found NaN or infinity; there is no order of them"
            )
        state[name] = tensor
    return state


def _tolerance(tensors: Mapping[str, Tensor]) -> float:
    coarsest = max((torch.finfo(t.dtype).eps for t in tensors.values() if t.is_floating_point()), default=0.0)
    return max(ROUNDING_STEPS * coarsest, FINEST)


def _gauge(
    state: Mapping[str, Tensor], spec: Spec, kinds: tuple[str, ...], tolerance: float
) -> tuple[Transformation, tuple[Gauge, ...]]:
    """Scales and signs."""
    freedoms = spec.freedoms
    total = Transformation.identity(spec)
    current = _widened(state)
    gauges = []
    if "scale" in kinds and freedoms.only("scale").all:
        problem = posed(freedoms, current)
        start = {name: value.exp() for name, value in problem.start.items()}
        started = Transformation(spec, spec.identity(), start).apply(current)
        balance = balanced(problem.unknowns, terms_of(freedoms, problem.unknowns, started))
        values = {name: value.exp() for name, value in problem.logarithms(balance.values).items()}
        one_sided = dict(zip((u.name for u in problem.unknowns), balance.one_sided, strict=True))
        total = Transformation(spec, spec.identity(), values)
        current = total.apply(current)
        for name, value in values.items():
            changed = int(((value - 1).abs() > tolerance).sum())
            left = 0 if balance.converged else value.numel()
            gauges.append(Gauge(name, "scale", value.numel(), changed, left, one_sided.get(name, 0)))
    signs = freedoms.only("sign").all
    if "sign" in kinds and signs:
        found = leaning(freedoms, signs, current, tolerance=tolerance)
        total = total.then(Transformation(spec, spec.identity(), found.values))
        for name, value in found.values.items():
            gauges.append(Gauge(name, "sign", value.numel(), int((value < 0).sum()), int(found.undecided[name].sum())))
    return total, tuple(gauges)


def _widened(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _result(tensors: Mapping[str, Tensor], transformation: Transformation) -> dict[str, Tensor]:
    """The weights after the transformation, calculated in float64; tensors that only move are only moved."""
    aliases, acting = transformation.spec.aliases, transformation.spec.freedoms.by_tensor
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        known = aliases.get(name, name)
        if known not in result:
            touched = any(freedom.name in transformation.values for freedom, _ in acting.get(known, ()))
            values = tensor.detach().double() if touched else tensor.detach()
            result[known] = transformation.apply({known: values})[known].to(tensor.dtype)
    return {name: result[aliases.get(name, name)] for name in tensors}


def _sorted(spec: Spec, order: Order, kinds: tuple[str, ...]) -> tuple[Sorted, ...]:
    if "permutation" not in kinds:
        return ()
    return tuple(
        Sorted(
            group.name,
            group.size,
            order.element.perm(group.name).numel() // group.size,
            order.element.moved(group.name),
            order.ties.get(group.name, Ties()),
        )
        for group in spec.groups
    )
