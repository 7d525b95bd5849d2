"""Git Re-Basin's weight matching as its paper and every port of it have it (Ainsworth et al. 2022, section 3.2).

The cost of a group is formed anew at every visit, in float64, as the sum over all parameters that carry it of
unfold(A) unfold(B)^T, the other permutations applied to B; scipy solves the assignment. Groups within groups, which no
port knows, are matched one after the other, each outer index by itself.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from weightspace.symmetry import Element, Spec
from weightspace.symmetry.action import act_on_block
from weightspace.symmetry.block import Block

State = dict[str, Tensor]


@dataclass
class PlainRecipe:
    """A run of the recipe.

    Attributes:
        forming: Seconds that forming costs took.
        assigning: Seconds that assignments took.
        visits: For every group, how often it was visited.
    """

    a: State
    b: State
    spec: Spec
    forming: float = 0.0
    assigning: float = 0.0
    visits: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.element = self.spec.identity()
        self._carried: dict[str, list[tuple[Block, int]]] = {group.name: [] for group in self.spec.groups}
        for name, tensor in self.spec.tensors.items():
            for block in self.spec.blocks[name] if tensor.kind == "parameter" else ():
                for place, dim in enumerate(block.dims):
                    if dim.group in self._carried:
                        self._carried[dim.group].append((block, place))

    def run(self, seed: int) -> int:
        """Visits all groups in random order until a sweep gains nothing; returns the number of sweeps."""
        random = torch.Generator().manual_seed(seed)
        names = list(self._carried)
        sweeps, progress = 0, True
        while progress:
            sweeps += 1
            order = torch.randperm(len(names), generator=random).tolist()
            moved = [self.visit(names[place]) for place in order]
            progress = any(moved)
        return sweeps

    def visit(self, name: str) -> bool:
        """Matches one group with all others held; says whether anything moved."""
        self.visits[name] = self.visits.get(name, 0) + 1
        began = time.perf_counter()
        costs = self._costs(name)
        formed = time.perf_counter()
        flat = costs.reshape(-1, *costs.shape[-2:]).numpy()
        columns = torch.stack([torch.from_numpy(linear_sum_assignment(cost, maximize=True)[1]) for cost in flat])
        self.forming += formed - began
        self.assigning += time.perf_counter() - formed
        columns = columns.reshape(costs.shape[:-1])
        gain = costs.gather(-1, columns.unsqueeze(-1)).sum() - costs.diagonal(dim1=-2, dim2=-1).sum()
        if not float(gain) > 1e-12 * float(costs.abs().max()):
            return False
        self.element = self.element.then(Element(self.spec.all_groups, {name: columns}))
        return True

    def _costs(self, name: str) -> Tensor:
        total: Tensor | None = None
        for block, place in self._carried[name]:
            a = block.read(self.a[block.tensor]).double()
            b = act_on_block(block, self.element, block.read(self.b[block.tensor]).double())
            outer = block.dims[place].outer
            rest = [dim for dim in range(a.dim()) if dim != place and dim not in outer]
            sizes = [a.shape[dim] for dim in outer]
            x, y = (t.permute(*outer, place, *rest).reshape(math.prod(sizes), a.shape[place], -1) for t in (a, b))
            part = torch.bmm(x, y.transpose(1, 2)).reshape(*sizes, a.shape[place], a.shape[place])
            total = part if total is None else total + part
        assert total is not None
        return total
