"""On a plain multilayer perceptron the layer spans that of NFN-NP and that of DWSNets, each written from its paper.

Both are lists of linear maps on the weights and biases of one perceptron, as functions of them, for one channel. Sizes
are those of the layers: ``W[i]`` is (n[i + 1], n[i]), ``b[i]`` is (n[i + 1],).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from weightspace.nn.blocks import Blocks
from weightspace.nn.unf.layer import UNFLayer
from weightspace.nn.unf.layout import Layout
from weightspace.symmetry import derive

SIZES = [(2, 3, 2), (3, 4, 3, 2), (2, 3, 2, 3, 2), (3, 3, 3, 3)]
Weights = tuple[list[Tensor], list[Tensor]]
Map = Callable[[list[Tensor], list[Tensor]], Weights]


def zeros(n: tuple[int, ...]) -> Weights:
    pairs = list(itertools.pairwise(n))
    return (
        [torch.zeros(out, into, dtype=torch.float64) for into, out in pairs],
        [torch.zeros(out, dtype=torch.float64) for _, out in pairs],
    )


def matrix_of(n: tuple[int, ...], function: Map) -> Tensor:
    """The map as a matrix, flat, on weights in the order W[0], b[0], W[1], ... of a state dict."""
    columns = []
    weights, biases = zeros(n)
    for tensor in (tensor for pair in zip(weights, biases, strict=True) for tensor in pair):
        for place in range(tensor.numel()):
            tensor.reshape(-1)[place] = 1
            out = function(weights, biases)
            columns.append(torch.cat([part.reshape(-1) for pair in zip(*out, strict=True) for part in pair]))
            tensor.reshape(-1)[place] = 0
    return torch.stack(columns, 1).reshape(-1)


def one_block(n: tuple[int, ...], kind: int, place: int, values: Callable[[list[Tensor], list[Tensor]], Tensor]) -> Map:
    """A map that writes one weight (kind 0) or bias (kind 1), broadcast to its shape, and nothing else."""

    def function(weights: list[Tensor], biases: list[Tensor]) -> Weights:
        out = zeros(n)
        out[kind][place][...] = values(weights, biases)
        return out

    return function


def nfn_np(n: tuple[int, ...]) -> Iterator[Map]:
    """The terms of the NP layer (Zhou et al. 2023, Permutation equivariant neural functionals, section 2 and appendix).

    Rows and columns are exchangeable everywhere, the network's inputs and outputs too.
    """
    layers = range(len(n) - 1)
    for i in layers:
        for s in layers:  # whole means of every layer
            yield one_block(n, 0, i, lambda W, b, s=s: W[s].sum())
            yield one_block(n, 0, i, lambda W, b, s=s: b[s].sum())
            yield one_block(n, 1, i, lambda W, b, s=s: W[s].sum())
            yield one_block(n, 1, i, lambda W, b, s=s: b[s].sum())
        # The weight from itself: its entry, its row, its column; from its bias and from the bias that it multiplies.
        yield one_block(n, 0, i, lambda W, b, i=i: W[i])
        yield one_block(n, 0, i, lambda W, b, i=i: W[i].sum(1)[:, None])
        yield one_block(n, 0, i, lambda W, b, i=i: W[i].sum(0)[None])
        yield one_block(n, 0, i, lambda W, b, i=i: b[i][:, None])
        yield one_block(n, 1, i, lambda W, b, i=i: W[i].sum(1))
        yield one_block(n, 1, i, lambda W, b, i=i: b[i])
        if i > 0:  # the layer before, on the columns
            yield one_block(n, 0, i, lambda W, b, i=i: W[i - 1].sum(1)[None])
            yield one_block(n, 0, i, lambda W, b, i=i: b[i - 1][None])
        if i + 1 in layers:  # the layer behind, on the rows
            yield one_block(n, 0, i, lambda W, b, i=i: W[i + 1].sum(0)[:, None])
            yield one_block(n, 1, i, lambda W, b, i=i: W[i + 1].sum(0))


def dws(n: tuple[int, ...]) -> Iterator[Map]:
    """The blocks of the layer of DWSNets (Navon et al. 2023, Equivariant architectures for learning in weight spaces).

    One for every pair of parameters, as in its tables of layers: LIN mixes what stays in place (inputs of the first
    weight, outputs of the last weight and bias), POOL sums over a hidden dimension, BC repeats along one, and DS, the
    deep-sets layer of a shared hidden dimension, is both the identity and POOL with BC.
    """
    last = len(n) - 1

    def entries(kind: int, i: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Dimensions as (hidden ones, fixed ones), each by its place in the list of sizes."""
        dims = (i + 1, i) if kind == 0 else (i + 1,)
        return [(tuple(d for d in dims if 0 < d < last), tuple(d for d in dims if d in (0, last)))]

    for (out, i), (into, j) in itertools.product(itertools.product((0, 1), range(last)), repeat=2):
        ((hidden, fixed),) = entries(out, i)
        ((other_hidden, other_fixed),) = entries(into, j)
        shared = [d for d in hidden if d in other_hidden]
        for count in range(len(shared) + 1):
            for kept in itertools.combinations(shared, count):
                for row in itertools.product(*(range(n[d]) for d in fixed)):
                    for column in itertools.product(*(range(n[d]) for d in other_fixed)):
                        yield lin(n, (out, i), (into, j), kept, dict(zip(fixed, row, strict=True)),
                                  dict(zip(other_fixed, column, strict=True)))  # fmt: skip


def lin(
    n: tuple[int, ...], out: tuple[int, int], into: tuple[int, int], kept: tuple[int, ...], row: dict[int, int],
    column: dict[int, int],
) -> Map:  # fmt: skip
    """One entry of one LIN: takes an index of what stays in place, pools what is not kept, and repeats it."""

    def function(weights: list[Tensor], biases: list[Tensor]) -> Weights:
        source = (weights, biases)[into[0]][into[1]]
        dims = [into[1] + 1, into[1]][: source.dim()]
        for d in list(dims):
            if d in column:
                source = source.select(dims.index(d), column[d])
                dims.remove(d)
            elif d not in kept:
                source = source.sum(dims.index(d))
                dims.remove(d)
        result = zeros(n)
        target = result[out[0]][out[1]]
        places = [out[1] + 1, out[1]][: target.dim()]
        where = tuple(row[d] if d in row else slice(None) for d in places)
        left = [d for d in places if d not in row]
        shape = [n[d] if d in kept else 1 for d in left]
        target[where] = source.reshape(shape) if dims == [d for d in left if d in kept] else source.T.reshape(shape)
        return result

    return function


def ours(n: tuple[int, ...], fold: int) -> Tensor:
    """What the layer does with one entry of its matrices one and all others zero, for every one of them."""
    parts = [layer for i, o in itertools.pairwise(n) for layer in (nn.Linear(i, o), nn.Tanh())]
    model = nn.Sequential(*parts[:-1]).eval()
    layout = Layout(Blocks(derive(model, (torch.randn(2, n[0]),), {})), fold)
    channels = [shape.channels for shape in layout.all]
    layer = UNFLayer(layout, channels, channels, "own").double()
    total = sum(parameter.numel() for parameter in model.parameters())
    flat = torch.eye(total, dtype=torch.float64)
    sizes = [block.shape for block in layout.blocks.all]
    split = flat.split([torch.Size(size).numel() for size in sizes], 1)
    features = layout.fold([part.reshape(total, *size, 1) for part, size in zip(split, sizes, strict=True)])
    rows = []
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        for name, weight in layer.named_parameters():
            for place in range(weight.numel() if name.endswith("weight") else 0):
                weight.view(-1)[place] = 1
                written = torch.cat([part.reshape(total, -1) for part in layout.unfold(layer(features))], 1)
                rows.append(written.T.reshape(-1))
                weight.view(-1)[place] = 0
    return torch.stack(rows)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("published", "fold"), [(nfn_np, 1), (dws, 100)])
def test_the_spans_are_equal(
    published: Callable[[tuple[int, ...]], Iterator[Map]], fold: int, n: tuple[int, ...]
) -> None:
    theirs = torch.stack([matrix_of(n, function) for function in published(n)])
    own = ours(n, fold)
    assert len(own) == len(theirs) == torch.linalg.matrix_rank(theirs)
    for span, maps in ((own, theirs), (theirs, own)):
        basis = torch.linalg.qr(span.T).Q
        torch.testing.assert_close(basis @ (basis.T @ maps.T), maps.T)
