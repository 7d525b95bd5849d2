"""Several networks of one architecture, as the alignment of many sees them: blocks of equal say, in float32."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from weightspace.align.balance import block_weights
from weightspace.align.contraction import inner_product
from weightspace.align.problem import Problem
from weightspace.align.term import moving_blocks
from weightspace.symmetry import Element, Spec
from weightspace.symmetry.block import Block

State = dict[str, Tensor]


class Family:
    """The networks to be aligned, and their objective: the sum of inner products over all pairs, moved.

    Blocks are weighed as for two networks (`weightspace.align.balance`), with the geometric mean of their norms; the
    weights are multiplied into the values here, by their square root, so that everything after it is a plain sum. All
    networks are held in float32.

    Attributes:
        spec: The symmetry.
        device: Where the values are.
        blocks: Blocks of the parameters that some group moves.
        states: Weighed values of the parameters that have such blocks, a mapping per network.
    """

    def __init__(self, states: Sequence[Mapping[str, Tensor]], spec: Spec, device: torch.device) -> None:
        self.spec, self.device = spec, device
        self.blocks = moving_blocks(spec)
        names = dict.fromkeys(block.tensor for block in self.blocks)
        self.states: list[State] = [
            {name: state[name].detach().to(device, torch.float32, copy=True) for name in names} for state in states
        ]
        norms = [self._typical_norm(block) for block in self.blocks]
        weights = block_weights(self.blocks, [(norm, norm) for norm in norms])
        for block, weight in zip(self.blocks, weights, strict=True):
            for state in self.states:
                block.write(state[block.tensor], block.read(state[block.tensor]) * math.sqrt(weight))

    def __len__(self) -> int:
        return len(self.states)

    def moved(self, elements: Sequence[Element]) -> list[State]:
        """Every network under its element."""
        return [self.spec.apply(element, state) for element, state in zip(elements, self.states, strict=True)]

    def objective(self, moved: Sequence[State]) -> float:
        """Sum over blocks and pairs of networks of their inner products, in float64.

        Args:
            moved: The networks where they have been moved to.
        """
        values = []
        for block in self.blocks:
            parts = [block.read(state[block.tensor]) for state in moved]
            before = torch.zeros_like(parts[0], dtype=torch.float64)
            for part in parts:
                values.append(inner_product(before, part))
                before += part
        return math.fsum(values)

    def toward_others(self, moved: Sequence[State], index: int) -> Problem:
        """The problem of aligning one network with the sum of the others, from where it is."""
        others = {
            name: torch.stack([state[name] for at, state in enumerate(moved) if at != index]).sum(0)
            for name in moved[index]
        }
        return self.pair(others, moved[index])

    def pair(self, a: State, b: State) -> Problem:
        """The problem of aligning one set of weighed values with another."""
        return Problem(a, b, self.spec, self.device)

    def _typical_norm(self, block: Block) -> float:
        """Geometric mean over the networks of the norm of a block; 0 where one of them is zero."""
        norms = [block.read(state[block.tensor]).double().norm() for state in self.states]
        return float(torch.stack(norms).log().mean().exp())
