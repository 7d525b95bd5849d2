"""Coordinate descent over permutations and freedoms: B comes as near to A as the whole symmetry of the network allows.

Rotations of a residual stream by Procrustes' problem, maps inside of heads by singular values and descent, factors and
angles in closed form, signs together with permutations, heads paired by what no map inside can
change, and between them weight matching of all permutations (generalised linear mode connectivity of transformers:
Theus et al. 2025; heads first, then what is inside: Rinaldi et al. 2025). A step that would not bring B nearer is not
taken, but for factors: those make units of B as large as their counterparts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from weightspace.align.freedoms.distance import Distance
from weightspace.align.freedoms.gram import grams, turn_grams
from weightspace.align.freedoms.heads import outer_groups, paired_heads
from weightspace.align.freedoms.nearest import matching_factor, nearest_map, nearest_rotation, nearest_turn
from weightspace.align.freedoms.signed import settle_signed, settle_signs
from weightspace.align.problem import Problem
from weightspace.align.settle import settle
from weightspace.symmetry import Element, Transformation
from weightspace.symmetry.freedom import Freedom
from weightspace.symmetry.freedom.values import fold

MOST_ROUNDS, MOST_REFINEMENTS = 20, 10
SETTLED, REFINED = 1e-4, 1e-2  # of the distance: what a round must gain for another one


def settle_freedoms(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    start: Transformation,
    kinds: Collection[str],
    *,
    device: torch.device,
    restarts: int = 1,
    seed: int = 0,
    memory: int | None = None,
    permuting: bool = True,
    progress: Callable[[float, float, str], None] | None = None,
) -> Transformation:
    """Brings B nearer to A by freedoms and permutations in turn, until a round gains next to nothing.

    Args:
        a: Weights of the reference, floating ones in one type, on the device.
        b: Weights of the other network.
        start: Where to begin, such as permutations that some method found.
        kinds: Kinds of freedoms to use beside permutations.
        device: Where to compute.
        restarts: Starts of the first search over signs and permutations, where signs are used.
        seed: Seed of visiting orders.
        memory: Bytes of blocks and costs that may be held.
        permuting: Match permutations by the weights in between; else they stay, but for the order of heads.
        progress: Called with (rounds done, most rounds, what is going on).

    Returns:
        The transformation, which acts on B. Where it rotates, the scales and shifts that it folds are put back as A has
        them, so that points between A and B mean the same as with all folded.
    """
    descent = _Descent(a, b, start, kinds, device)
    first = descent.distance(descent.b)
    if descent.signed and permuting:
        descent.permute(seed, memory, restarts)
    elif descent.signed:
        descent.sign(memory)
    distance = descent.distance(descent.b)
    for done in range(MOST_ROUNDS):
        before = distance
        descent.free()
        if permuting:
            descent.permute(seed + done, memory)
        elif descent.signed:
            descent.sign(memory)
        distance = descent.distance(descent.b)
        if progress is not None:
            progress(done + 1, MOST_ROUNDS, f"distance {distance / first if first else 0.0:.4f} of what it was")
        if not distance < (1.0 - SETTLED) * before:
            break
    for _ in range(MOST_REFINEMENTS):
        before = distance
        descent.refine()
        distance = descent.distance(descent.b)
        if not distance < (1.0 - REFINED) * before:
            break
    return descent.result(a)


class _Descent:
    def __init__(
        self,
        a: Mapping[str, Tensor],
        b: Mapping[str, Tensor],
        start: Transformation,
        kinds: Collection[str],
        device: torch.device,
    ) -> None:
        self.spec, self.device, self.total = start.spec, device, start
        freedoms = self.spec.freedoms
        rotations = freedoms.only(*({"rotation"} & set(kinds))).all
        self.folds = [one for freedom in rotations for one in freedom.folds]
        folded = {one.scale for one in self.folds} | {one.shift for one in self.folds}
        self.chosen: list[Freedom] = [
            freedom
            for kind in ("rotation", "linear", "rotary", "scale")
            if kind in kinds
            for freedom in freedoms.only(kind).all
            if kind == "rotation" or not any(place.tensor in folded for place in freedom.places)
        ]
        self.signed = "sign" in kinds and bool(freedoms.only("sign").all)
        self.outer = outer_groups(self.spec) if "linear" in kinds else {}
        self.a, self.b = self._folded(a), self._folded(start.apply(b))
        blocks = {
            name: freedoms.blocks.get(name, self.spec.blocks[name])
            for name, tensor in self.spec.tensors.items()
            if tensor.kind == "parameter"
        }
        self.distance = Distance(blocks, self.a, self.b)
        self.weights = self.distance.weights

    def free(self) -> None:
        """One value for every freedom, in turn."""
        for freedom in self.chosen:
            if freedom.kind == "rotation":
                self._move(freedom)
        for name, inside in self.outer.items():
            pairing = paired_heads(self.spec, name, inside, self.a, self.b, self.weights)
            if pairing is not None and pairing.moved(name):
                self._pair(pairing, inside)
        for freedom in self.chosen:
            if freedom.kind != "rotation":
                self._move(freedom)

    def refine(self) -> None:
        """One value for every freedom again, where maps inside of heads may stretch."""
        for freedom in self.chosen:
            self._move(freedom, stretching=True)

    def permute(self, seed: int, memory: int | None, restarts: int = 1) -> None:
        """Weight matching from where B stands, with signs where these are used."""
        if self.signed:
            found = settle_signed(
                self.a, self.b, self.spec, device=self.device, seed=seed, memory=memory, restarts=restarts
            )
            self._take(found)
            return
        problem = Problem(self.a, self.b, self.spec, self.device, balance=True, memory=memory)
        settle(problem, seed=seed)
        if not problem.element.is_identity():
            self._take(Transformation(self.spec, problem.element))

    def sign(self, memory: int | None) -> None:
        """The best signs of all units where they are."""
        self._take(settle_signs(self.a, self.b, self.spec, device=self.device, memory=memory))

    def result(self, a: Mapping[str, Tensor]) -> Transformation:
        """All steps, with what was folded put back as A has it."""
        names = [name for one in self.folds for name in (one.scale, one.shift) if name is not None]
        return Transformation(
            self.spec, self.total.element, self.total.values, {name: a[name].double() for name in names}
        )

    def _pair(self, pairing: Element, inside: list[Freedom]) -> None:
        """Heads in a new order, with the maps that belong to it, together: either alone would not help."""
        there = self.spec.apply(pairing, self.b)
        back = pairing.inverse()
        values = {}
        for freedom in inside:
            found = grams(self.spec.freedoms, freedom, self.a, there, self.weights)
            if found:
                (outer,) = self.spec.freedoms.group(freedom.group).depends_on
                values[freedom.name] = nearest_rotation(found, centred=False)[back.perm(outer)].cpu()
        self._take(Transformation(self.spec, pairing, values))

    def _move(self, freedom: Freedom, *, stretching: bool = False) -> None:
        """The best value of one freedom; factors are taken in any case."""
        value = self._nearest(freedom, stretching=stretching)
        if value is not None:
            self._take(
                Transformation(self.spec, self.spec.identity(), {freedom.name: value}), always=not freedom.matrix
            )

    def _nearest(self, freedom: Freedom, *, stretching: bool) -> Tensor | None:
        if freedom.kind == "rotary":
            found = turn_grams(freedom, self.a, self.b, self.weights)
        else:
            found = grams(self.spec.freedoms, freedom, self.a, self.b, self.weights)
        if not found:
            return None
        if freedom.kind == "linear" and stretching:
            return nearest_map(found).cpu()
        if freedom.matrix:
            return nearest_rotation(found, centred=freedom.centred).cpu()
        if freedom.kind == "rotary":
            value = nearest_turn(found).cpu()
            return value.reshape(self.spec.freedoms.shape(freedom))
        return matching_factor(found, self._smallest(freedom)).cpu()

    def _smallest(self, freedom: Freedom) -> Tensor | None:
        """Factors under which variances that are used with an offset stay positive."""
        lowest: Tensor | None = None
        for place in freedom.places:
            if place.offset and place.exponent > 0:
                block = self.spec.freedoms.blocks[place.tensor][place.block]
                variance = block.read(self.b[place.tensor]).double()
                if len(block.dims) == 1:
                    bound = 1.01 * (place.offset / (variance + place.offset)) ** (1 / place.exponent)
                    lowest = bound if lowest is None else torch.maximum(lowest, bound)
        return lowest

    def _take(self, step: Transformation, *, always: bool = False) -> None:
        """Takes a step, unless it leads away from A; one that makes units as large as those of A in any case."""
        moved = step.apply(self.b)
        touched = [name for name, tensor in moved.items() if tensor is not self.b[name]]
        if always or self.distance(moved, touched) <= self.distance(self.b, touched):
            self.b = moved
            self.total = self.total.then(step)

    def _folded(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        current = dict(state)
        for one in self.folds:
            current |= fold(self.spec.freedoms, one, current)
        return current
