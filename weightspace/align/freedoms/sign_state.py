"""The signs of B's units while they are being matched."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from weightspace.align.freedoms.sign_layout import SignLayout
from weightspace.align.problem import Problem
from weightspace.symmetry import Spec, Transformation
from weightspace.symmetry.block import Block
from weightspace.symmetry.freedom.values import along


class SignState:
    """Signs of units, in the order in which B came: like a `Transformation` they act before the permutation.

    Attributes:
        layouts: The sign freedoms by group.
        values: By freedom, float64 1 or -1 per unit.
    """

    def __init__(self, spec: Spec, layouts: Mapping[str, SignLayout], start: Mapping[str, Tensor]) -> None:
        """Signs to start from.

        Args:
            spec: The symmetry.
            layouts: The sign freedoms by group.
            start: Values of freedoms, some of which may be those signs; the others are 1.
        """
        self._spec = spec
        self.layouts = layouts
        sizes = {group.name: group.size for group in spec.groups}
        self.values = {
            name: start[name].double() if name in start else torch.ones(sizes[layout.group], dtype=torch.float64)
            for layout in layouts.values()
            for name in layout.freedoms
        }
        self._acting: dict[Block, list[tuple[str, int]]] = {}
        for layout in layouts.values():
            for name in layout.freedoms:
                for block, dims in layout.acting[name].items():
                    self._acting.setdefault(block, []).extend((name, dim) for dim in dims)

    def act(self, block: Block, values: Tensor) -> Tensor:
        """B's values in a block under the signs, before the permutation; the same object where all are 1."""
        for name, dim in self._acting.get(block, ()):
            signs = self.values[name]
            if bool((signs < 0).any()):
                values = values * along(signs.to(values), (dim,), values.dim())
        return values

    def flip(self, problem: Problem, group: str, flips: Mapping[str, Tensor]) -> None:
        """Changes the signs of units of one group.

        Args:
            problem: Moves.
            group: The group.
            flips: By freedom of the group 1 or -1 per slot, (n,): the unit that is there now changes its sign.
        """
        perm = problem.element.perm(group)
        changed = {name for name, flip in flips.items() if bool((flip < 0).any())}
        for name in changed:
            self.values[name] = self.values[name].clone()
            self.values[name][perm] *= flips[name].double()
        self._reread(problem, changed)

    def transformation(self, problem: Problem) -> Transformation:
        """What B has been transformed by."""
        return Transformation(self._spec, problem.element, dict(self.values))

    def put(self, problem: Problem, where: Transformation) -> None:
        """Moves B so that it is under a transformation that `transformation` gave, or the identity."""
        changed = set()
        for name, old in self.values.items():
            self.values[name] = where.values.get(name, torch.ones_like(old))
            if not torch.equal(self.values[name], old):
                changed.add(name)
        self._reread(problem, changed)
        problem.move_to(where.element)

    def _reread(self, problem: Problem, changed: set[str]) -> None:
        problem.reread(
            term for term in problem.terms if any(name in changed for name, _ in self._acting.get(term.block, ()))
        )
