"""One representative of every orbit: weights in canonical form, without a reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from weightspace.canonical.canonical import Canonical, Sorted
from weightspace.canonical.gauge import gauged
from weightspace.canonical.measures import Exact, Measure, Rounded
from weightspace.canonical.order import Order, Ties, order_of
from weightspace.errors import SpecError
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.transformation import Transformation

SUPPORTED = ("permutation", "scale", "sign", "linear")
DEFAULT_KINDS = ("permutation", "scale", "sign")
ROUNDING_STEPS = 64.0  # keys that differ by fewer, relatively, count as equal
FINEST = 1e-11  # what the scales are found to, with a margin


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
    chosen = check_kinds(kinds)
    with torch.no_grad():
        state = _checked_state(tensors, spec)
        exact = not set(chosen) & {"scale", "linear"}
        tolerance = 0.0 if exact else _tolerance(tensors)
        fixed, gauges = gauged(state, spec, chosen, tolerance=tolerance)
        measure: Measure = Exact(signed_zeros="sign" not in chosen) if exact else Rounded(tolerance)
        current = fixed.apply(state) if fixed.values else state
        order = Order(spec.identity(), {})
        if "permutation" in chosen:
            maps = [gauge for gauge in gauges if gauge.kind == "linear" and not gauge.unresolved]
            by_singular_values = {spec.freedoms.by_name[gauge.name].group for gauge in maps}
            order = order_of(
                spec,
                current,
                measure,
                untouched=_untouched(spec, fixed),
                sorted_already=[group.name for group in spec.groups if group.name in by_singular_values],
            )
        transformation = Transformation(spec, order.element, fixed.values)
        return Canonical(_result(tensors, transformation), transformation, gauges, _sorted(spec, order, chosen))


def check_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """The kinds, each once.

    Raises:
        SpecError: If there is no canonical form for one.
    """
    chosen = tuple(dict.fromkeys(kinds))
    for kind in chosen:
        if kind not in SUPPORTED:
            raise SpecError(
                f"kind '{kind}': expected some of {', '.join(SUPPORTED)}, for which there is a canonical form; leave "
                "it out"
            )
    return chosen


def _checked_state(tensors: Mapping[str, Tensor], spec: Spec) -> dict[str, Tensor]:
    """The tensors of the spec under its names; those that nothing acts on may be missing."""
    given = {spec.aliases.get(name, name): tensor.detach() for name, tensor in tensors.items()}
    state = {}
    for name, known in spec.tensors.items():
        if name not in given:
            if name not in spec.freedoms.axes and not any(block.groups for block in spec.blocks[name]):
                continue
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


def _untouched(spec: Spec, transformation: Transformation) -> list[str]:
    """Names of the tensors that no value of a transformation changes."""
    acting = spec.freedoms.by_tensor
    return [
        name
        for name in spec.tensors
        if not any(freedom.name in transformation.values for freedom, _ in acting.get(name, ()))
    ]


def _result(tensors: Mapping[str, Tensor], transformation: Transformation) -> dict[str, Tensor]:
    """The weights after the transformation, calculated in float64; tensors that only move are only moved."""
    aliases = transformation.spec.aliases
    untouched = set(_untouched(transformation.spec, transformation))
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        known = aliases.get(name, name)
        if known not in result:
            touched = known in transformation.spec.tensors and known not in untouched
            values = tensor.detach().double() if touched else tensor.detach()
            result[known] = transformation.apply({known: values})[known].to(tensor.dtype)
            if touched and not bool(result[known].isfinite().all()):
                raise SpecError(
                    f"tensor '{name}': expected its canonical form to fit into {tensor.dtype}, found that it "
                    "overflows; convert the weights to float32 first"
                )
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
