"""Spreading what nodes say over rows of edges, and gathering it: against an index for every edge."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.symmetry import networks
from weightspace.graph import graph_layout
from weightspace.nn.gmn.wiring import Side, Wiring
from weightspace.symmetry import derive


@pytest.fixture(params=[networks.mlp, networks.grouped_convolutions, networks.attention, networks.llama])
def wiring(request) -> Wiring:
    module, args, kwargs = request.param()
    return Wiring(graph_layout(derive(module.eval(), args, kwargs)), 2, torch.device("cpu"))


def ends(wiring: Wiring, networks: int) -> tuple[Tensor, Tensor]:
    """Nodes (rows, 2) of the rows of several networks, the nodes of one after those of another."""
    rows = []
    for grid, parallel in zip(wiring.layout.grids, wiring.parallel, strict=True):
        sources, targets = grid.sources[:, None, :].expand(grid.shape), grid.targets[:, :, None].expand(grid.shape)
        pairs = torch.stack([sources.reshape(-1), targets.reshape(-1)]).repeat_interleave(parallel, 1)
        rows += [pairs + number * wiring.layout.nodes for number in range(networks)]
    source, target = torch.cat(rows, 1)
    return source, target


def test_rows_hear_their_nodes_and_nodes_their_rows(wiring: Wiring) -> None:
    count, draw = 3, torch.Generator().manual_seed(0)
    nodes, other = (torch.randn(count, wiring.layout.nodes, 2, generator=draw, dtype=torch.float64) for _ in range(2))
    source, target = ends(wiring, count)
    flat, flat_other = nodes.reshape(-1, 2), other.reshape(-1, 2)
    rows = wiring.spread(nodes[:, wiring.sources], other[:, wiring.targets])
    assert torch.equal(rows, flat[source] + flat_other[target])
    heard = {
        "target": (wiring.heard(rows, nodes[:, wiring.sources], "target"), wiring.targets, source, target),
        "source": (wiring.heard(rows, nodes[:, wiring.targets], "source"), wiring.sources, target, source),
    }
    for side, (sums, places, speaker, hearer) in heard.items():
        found = torch.zeros_like(nodes).index_add(1, places, sums).reshape(-1, 2)
        messages = torch.relu(rows + flat[speaker])
        assert torch.allclose(found, torch.zeros_like(flat).index_add(0, hearer, messages), rtol=0, atol=1e-12)
        degrees = torch.bincount(hearer, minlength=len(flat))[: wiring.layout.nodes].clamp(min=1)
        assert torch.equal(wiring.degrees(side)[:, 0], degrees.float())


def test_places_are_copied_to_rows_and_rows_gathered_at_places(wiring: Wiring) -> None:
    count, draw = 3, torch.Generator().manual_seed(0)
    nodes = torch.randn(count, wiring.layout.nodes, 2, generator=draw, dtype=torch.float64)
    rows = torch.randn(count * wiring.edges, 2, generator=draw, dtype=torch.float64)
    flat = nodes.reshape(-1, 2)
    sides: list[tuple[Side, Tensor, Tensor]] = [
        ("source", wiring.sources, ends(wiring, count)[0]),
        ("target", wiring.targets, ends(wiring, count)[1]),
    ]
    for side, places, index in sides:
        assert torch.equal(wiring.beside(nodes[:, places], side), flat[index])
        found = torch.zeros_like(nodes).index_add(1, places, wiring.sums(rows, side)).reshape(-1, 2)
        assert torch.allclose(found, torch.zeros_like(flat).index_add(0, index, rows), rtol=0, atol=1e-12)
        none = torch.full_like(flat, -torch.inf)
        largest = none.scatter_reduce(0, index[:, None].expand_as(rows), rows, "amax")
        assert torch.equal(wiring.peaks(rows, side).reshape(-1, 2), largest)


def test_gradients(wiring: Wiring) -> None:
    if wiring.edges > 500:
        pytest.skip("differences of thousands of rows take long")
    draw = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64, requires_grad=True)

    sources, targets = (drawn(2, len(places), 1) for places in (wiring.sources, wiring.targets))
    rows = drawn(2 * wiring.edges, 1)
    assert torch.autograd.gradcheck(wiring.spread, (sources, targets))
    assert torch.autograd.gradcheck(lambda rows, said: wiring.heard(rows, said, "target"), (rows, sources))
    assert torch.autograd.gradcheck(lambda rows, said: wiring.heard(rows, said, "source"), (rows, targets))
    assert torch.autograd.gradcheck(lambda given: wiring.beside(given, "source"), (sources,))
    assert torch.autograd.gradcheck(lambda given: wiring.beside(given, "target"), (targets,))
    assert torch.autograd.gradcheck(lambda given: wiring.sums(given, "source"), (rows,))
    assert torch.autograd.gradcheck(lambda given: wiring.sums(given, "target"), (rows,))
