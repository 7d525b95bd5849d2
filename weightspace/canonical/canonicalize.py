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

SUPPORTED = ("permutation", "scale", "sign", "linear", "rotation")
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
        kinds: Kinds of symmetry to use: permutation, scale, sign, linear (invertible maps inside of attention
            heads), rotation (of a residual stream).

    Returns:
        The weights in canonical form, how they got there, and what remained open.

    Raises:
        SpecError: If a kind is unknown or not supported, a tensor is missing, has another shape, or is not finite.
    """
    chosen = check_kinds(kinds)
    with torch.no_grad():
        state = _checked_state(tensors, spec)
        exact = not set(chosen) & {"scale", "linear", "rotation"}
        tolerance = 0.0 if exact else _tolerance(tensors)
        gauge = gauged(state, spec, chosen, tolerance=tolerance)
        fixed, gauges = gauge.transformation, gauge.gauges
        measure: Measure = Exact(signed_zeros="sign" not in chosen) if exact else Rounded(tolerance, 1 / gauge.gap)
        current = fixed.apply(state) if fixed.values else state
        order = Order(spec.identity(), {})
        if "permutation" in chosen:
            maps = [each for each in gauges if spec.freedoms.by_name[each.name].matrix and not each.unresolved]
            by_length = {spec.freedoms.by_name[each.name].group for each in maps}
            order = order_of(
                spec,
                current,
                measure,
                untouched=_untouched(spec, fixed),
                sorted_already=[group.name for group in spec.groups if group.name in by_length],
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
    touched: set[str] = set()
    for name in transformation.values:
        freedom = spec.freedoms.by_name[name]
        touched |= {place.tensor for place in freedom.places}
        touched |= {tensor for fold in freedom.folds for tensor in fold.touched}
    return [name for name in spec.tensors if name not in touched]


def _result(tensors: Mapping[str, Tensor], transformation: Transformation) -> dict[str, Tensor]:
    """The weights after the transformation, calculated in float64; tensors that only move are only moved."""
    spec = transformation.spec
    given = {spec.aliases.get(name, name): tensor.detach() for name, tensor in tensors.items()}
    touched = set(spec.tensors) - set(_untouched(spec, transformation))
    wide = {name: tensor.double() if name in touched else tensor for name, tensor in given.items()}
    result = {name: tensor.to(given[name].dtype) for name, tensor in transformation.apply(wide).items()}
    for name in touched & set(result):
        if not bool(result[name].isfinite().all()):
            raise SpecError(
                f"tensor '{name}': expected its canonical form to fit into {given[name].dtype}, found that it "
                "overflows; convert the weights to float32 first"
            )
    return {name: result[spec.aliases.get(name, name)] for name in tensors}


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
