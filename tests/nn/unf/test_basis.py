"""The basis maps are all there are: against the null space of the equivariance constraints, on small sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nn.unf import specs
from tests.nn.unf.oracle import commutant_dimension, dense, joint, joint_partitions
from tests.symmetry import test_hand_written
from weightspace.nn.unf.layer import UNFLayer
from weightspace.nn.unf.layout import Layout
from weightspace.nn.unf.mixing import mixings_of
from weightspace.symmetry import Spec

BELL = [1, 1, 2, 5, 15]

NAMED: dict[str, Callable[[], Spec]] = {
    "mlp": lambda: test_hand_written.mlp()[2],
    "grouped convolution": lambda: test_hand_written.cnn()[2],
    "group norm": lambda: test_hand_written.group_norm()[2],
    "heads": specs.heads,
    "grouped queries": specs.grouped_queries,
    "three floors": specs.nested,
    "ordered heads": specs.slopes,
    "recurrent": specs.recurrent,
    "recurrent of three": lambda: specs.recurrent(3),
    "recurrent of two": lambda: specs.recurrent(2),
}


def counts(layout: Layout) -> dict[tuple[int, int], int]:
    """Basis maps by (output block, input block), with the matrices of folded channels."""
    found: dict[tuple[int, int], int] = {}
    for mixing in mixings_of([shape.dims for shape in layout.all]):
        for write in mixing.writes:
            for read in mixing.reads:
                pair = write.block, read.block
                size = layout.all[write.block].channels * layout.all[read.block].channels
                found[pair] = found.get(pair, 0) + size
    return found


def check_dimensions(layout: Layout) -> None:
    found = counts(layout)
    for out in range(len(layout.all)):
        for into in range(len(layout.all)):
            assert found.get((out, into), 0) == commutant_dimension(layout, out, into), (out, into)


@pytest.mark.parametrize("fold", [1, 16])
@pytest.mark.parametrize("name", NAMED)
def test_the_dimension_is_that_of_the_commutant(name: str, fold: int) -> None:
    check_dimensions(specs.layout_of(NAMED[name](), fold))


@settings(max_examples=100)
@given(specs.random_specs(36), st.sampled_from([1, 4]))
def test_the_dimension_is_that_of_the_commutant_of_random_specs(spec: Spec, fold: int) -> None:
    check_dimensions(specs.layout_of(spec, fold))


@settings(max_examples=60)
@given(specs.random_specs())
def test_maps_are_the_valid_partitions_of_both_blocks(spec: Spec) -> None:
    layout = specs.layout_of(spec)
    layer = UNFLayer(layout, 1, 1, "own")
    found: dict[tuple[int, int], list[frozenset[frozenset[int]]]] = {}
    for write, read, _ in layer.maps():
        found.setdefault((write.block, read.block), []).append(joint(write, read))
    for out, rows in enumerate(layout.all):
        for into, columns in enumerate(layout.all):
            partitions = found.get((out, into), [])
            assert len(set(partitions)) == len(partitions)
            assert set(partitions) == joint_partitions(rows.dims, columns.dims)


@pytest.mark.parametrize("name", ["heads", "grouped queries", "three floors", "recurrent", "recurrent of two"])
def test_maps_are_linearly_independent(name: str) -> None:
    layout = specs.layout_of(NAMED[name]())
    sizes = [shape.sizes for shape in layout.all]
    found: dict[tuple[int, int], list[torch.Tensor]] = {}
    for write, read, _ in UNFLayer(layout, 1, 1, "own").maps():
        matrix = dense(write, read, sizes[write.block], sizes[read.block])
        found.setdefault((write.block, read.block), []).append(matrix.reshape(-1))
    for rows in found.values():
        assert torch.linalg.matrix_rank(torch.stack(rows)) == len(rows)


def test_numbers_of_independent_groups_are_products_of_bell_numbers() -> None:
    found = counts(specs.layout_of(specs.recurrent()))
    assert [[found[out, into] for into in range(3)] for out in range(3)] == [
        [BELL[4], BELL[3], 2 * BELL[3]],
        [BELL[3], BELL[2], 2 * BELL[2]],
        [2 * BELL[3], 2 * BELL[2], 4 * BELL[2]],
    ]


def test_indices_of_different_heads_share_no_part() -> None:
    layout = specs.layout_of(specs.heads())
    names = [block.tensor for block in layout.blocks.all]
    assert counts(layout)[names.index("q_bias"), names.index("q_bias")] == 3
