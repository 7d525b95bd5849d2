"""The equivalent of one network that lies nearest to another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from weightspace.align import Alignment, align
from weightspace.canonical import SUPPORTED, canonicalize
from weightspace.errors import SpecError
from weightspace.evaluate.tensors import cosine_of, widened
from weightspace.symmetry import Spec

SMALLEST = 1e-3  # of the usual size of weights: a tensor whose own are smaller is measured by this, not by its own
MATRICES = ("linear", "rotation", "rotary")

Progress = Callable[[float, float, str], None]
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Nearest:
    """B in the coordinates of A.

    Attributes:
        tensors: Its weights and statistics there, floating ones in float64.
        alignment: What was found to move units, from balanced scales to balanced scales where there are any; None where
            canonical forms led further.
        kinds: The kinds of symmetry that were used.
        distance: The largest distance of a tensor from that of A, see `largest_distance`.
        as_it_is: Whether nothing brought B nearer than it was, so that it stayed.
    """

    tensors: dict[str, Tensor]
    alignment: Alignment | None
    kinds: tuple[str, ...]
    distance: float
    as_it_is: bool = False


def nearest(
    a: State,
    b: State,
    spec: Spec,
    *,
    kinds: Sequence[str],
    enough: float = 0.0,
    restarts: int = 1,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Nearest:
    """Finds the weights equivalent to B that lie nearest to A.

    Scales are balanced in both first (`weightspace.canonical`), which is exact, where matching factors step by step is
    not; then `align` decides on permutations, signs, maps and rotations; then the scales of A are put back. Where the
    network has maps or rotations and that leaves a distance, the canonical forms are tried as well, of B as it is and
    as it was aligned: of two equivalent networks they are the same. B stays as it is where nothing brings it nearer.

    Args:
        a: Weights of the reference, by the names of the spec.
        b: Weights of the other network.
        spec: The symmetry.
        kinds: Kinds of symmetry to use; those that the network has not are passed over.
        enough: A distance below which no more is tried.
        restarts: As of `align`.
        seed: As of `align`.
        device: As of `align`.
        progress: As of `align`.

    Raises:
        AlignmentError: The weights hold NaN or infinity.
        CheckpointMismatchError: A tensor of the spec is missing or has another shape.
    """
    has = {freedom.kind for freedom in spec.freedoms.all}
    used = tuple(kind for kind in dict.fromkeys(kinds) if kind == "permutation" or kind in has)
    wide_a, wide_b = widened(a), widened(b)
    scaled = "scale" in used
    even_a = canonicalize(wide_a, spec, ("scale",)) if scaled else None
    even_b = canonicalize(wide_b, spec, ("scale",)).tensors if scaled else wide_b
    alignment = align(
        wide_a if even_a is None else even_a.tensors, even_b, spec,
        kinds=tuple(kind for kind in used if kind != "scale"),
        restarts=restarts, seed=seed, device=device, progress=progress,
    )  # fmt: skip
    moved = alignment.apply(even_b)
    tensors = moved if even_a is None else even_a.transformation.inverse().apply(moved)
    found = Nearest(tensors, alignment, used, largest_distance(spec, wide_a, tensors))
    for start in (wide_b, found.tensors) if set(used) & set(MATRICES) else ():
        if found.distance > enough:
            through = _through_canonical(wide_a, start, spec, used)
            if through is not None and through.distance < found.distance:
                found = replace(through, alignment=found.alignment if start is found.tensors else None)
    before = largest_distance(spec, wide_a, wide_b)
    cosines = [mean_cosine(spec, wide_a, state) or 0.0 for state in (wide_b, found.tensors)]
    if found.distance > enough and before <= found.distance and cosines[0] >= cosines[1]:
        return Nearest(wide_b, None, used, before, as_it_is=True)
    return found


def largest_distance(spec: Spec, a: State, b: State) -> float:
    """The largest |B - A| / |A| of any floating tensor of the network (Frobenius norms).

    A tensor of next to nothing but zeros is measured by `SMALLEST` of the root mean square of all parameters instead.
    """
    parameters = [a[name].double() for name in _parameters(spec)]
    entries = sum(tensor.numel() for tensor in parameters)
    usual = math.sqrt(sum(float(tensor.square().sum()) for tensor in parameters) / max(1, entries))
    largest = 0.0
    for name in spec.tensors:
        if name in a and name in b and a[name].is_floating_point():
            x, y = a[name].double(), b[name].double()
            size = max(float(x.norm()), SMALLEST * usual * math.sqrt(x.numel()))
            largest = max(largest, float((y - x).norm()) / (size or 1.0))
    return largest


def mean_cosine(spec: Spec, a: State, b: State) -> float | None:
    """The mean cosine of all matrices of parameters, each by the number of its entries; None where all are zero."""
    total, entries = 0.0, 0
    for name in _parameters(spec):
        cosine = cosine_of(a[name], b[name]) if a[name].dim() > 1 else None
        if cosine is not None:
            total, entries = total + cosine * a[name].numel(), entries + a[name].numel()
    return total / entries if entries else None


def _through_canonical(a: State, b: State, spec: Spec, kinds: Sequence[str]) -> Nearest | None:
    """From B to its canonical form, and from there to A; None where a rotation leaves no exact way back."""
    known = tuple(kind for kind in kinds if kind in SUPPORTED and kind != "rotation")
    try:
        forms = [canonicalize(state, spec, known) for state in (a, b)]
        tensors = forms[0].transformation.inverse().apply(forms[1].tensors)
    except SpecError:
        return None
    return Nearest(tensors, None, known, largest_distance(spec, a, tensors))


def _parameters(spec: Spec) -> list[str]:
    return [name for name, tensor in spec.tensors.items() if tensor.kind == "parameter"]
