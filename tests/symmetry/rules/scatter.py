"""Samples of writing by index."""

import torch

from tests.symmetry.samples import sample

aten = torch.ops.aten
ROWS = torch.tensor([2, 0, 1])
SOME = torch.tensor([2, 0])
PLACES = torch.tensor([[0, 1, 1, 2], [2, 2, 0, 1], [1, 0, 0, 0]])
ALIKE = ROWS[:, None].expand(3, 4)
MASK = torch.tensor([True, False, True])
GRID = torch.tensor([[True, False, True], [False, False, True]])


def one_hot(scores, w):
    """Weights of the two best, the others zero, as a vector over all; then a product with a matrix."""
    values, chosen = scores.topk(2)
    return torch.zeros_like(scores).scatter(1, chosen, values) @ w


def chosen(x):
    return x.topk(2, 0).indices


SAMPLES = [
    sample(
        aten.scatter.src, ". ., . . -> . .", lambda x, y: x.scatter(1, PLACES, y), (3, 4), (3, 4), case="differently"
    ),
    sample(
        aten.scatter.src,
        ". a, . a -> . a",
        lambda x, y: x.scatter(0, ALIKE, y),
        (3, 4),
        (3, 4),
        case="alike everywhere",
    ),
    sample(aten.scatter.src, "a b, b c -> a c", one_hot, (3, 4), (4, 5), case="where they come from"),
    sample(
        aten.scatter.src,
        ". ., . . -> . .",
        lambda x, y: x.scatter(0, ALIKE[:, :3], y),
        (3, 4),
        (3, 4),
        case="fewer than there are",
    ),
    sample(aten.scatter.value, ". a -> . a", lambda x: x.scatter(0, ALIKE, 2.0), (3, 4)),
    sample(
        aten.scatter.value, "a b -> a b; b|a", lambda x: x.scatter(1, x.topk(2).indices, 0.0), (3, 4), case="dropped"
    ),
    sample(aten.scatter_.src, ". a, . a -> . a", lambda x, y: x.clone().scatter_(0, ALIKE, y), (3, 4), (3, 4)),
    sample(
        aten.scatter_.value,
        "a b -> a b; b|a",
        lambda x: x * torch.zeros_like(x).scatter_(1, x.topk(2).indices, 1),
        (3, 4),
        case="a mask of the best",
    ),
    sample(aten.scatter_add.default, ". a, . a -> . a", lambda x, y: x.scatter_add(0, ALIKE, y), (3, 4), (3, 4)),
    sample(
        aten.scatter_add_.default,
        "a b, c b -> c b; a|b c|b",
        lambda x, y: y.clone().scatter_add_(0, y.argmin(0, True), x.sum(0, True)),
        (2, 4),
        (3, 4),
        case="where they come from",
    ),
    sample(
        aten.scatter_reduce.two, ". a, . a -> . a", lambda x, y: x.scatter_reduce(0, ALIKE, y, "amax"), (3, 4), (3, 4)
    ),
    sample(
        aten.scatter_reduce_.two,
        ". a, . a -> . a",
        lambda x, y: x.clone().scatter_reduce_(0, ALIKE, y, "mean", include_self=False),
        (3, 4),
        (3, 4),
    ),
    sample(aten.index_add.default, ". a, . a -> . a", lambda x, y: x.index_add(0, SOME, y), (3, 4), (2, 4)),
    sample(aten.index_add_.default, "a ., a . -> a .", lambda x, y: x.clone().index_add_(-1, SOME, y), (4, 3), (4, 2)),
    sample(
        aten.index_add.default,
        "a b, a c -> b c",
        lambda x, y: torch.zeros(4, 5, dtype=x.dtype, device=x.device).index_add(0, x.argmax(1), y),
        (3, 4),
        (3, 5),
        case="where they come from",
    ),
    sample(aten.index_copy.default, ". a, . a -> . a", lambda x, y: x.index_copy(0, SOME, y), (3, 4), (2, 4)),
    sample(aten.index_copy_.default, ". a, . a -> . a", lambda x, y: x.clone().index_copy_(0, SOME, y), (3, 4), (2, 4)),
    sample(aten.index_fill.int_Scalar, ". a -> . a", lambda x: x.index_fill(0, SOME, 1.0), (3, 4)),
    sample(
        aten.index_fill.int_Tensor, ". a, () -> . a", lambda x, y: x.index_fill(0, SOME.to(x.device), y), (3, 4), ()
    ),
    sample(aten.index_fill_.int_Scalar, "a . -> a .", lambda x: x.clone().index_fill_(1, SOME, 1.0), (4, 3)),
    sample(
        aten.index_fill_.int_Tensor,
        ". a, () -> . a",
        lambda x, y: x.clone().index_fill_(0, SOME.to(x.device), y),
        (3, 4),
        (),
    ),
    sample(aten.index_put.default, ". a, . a -> . a", lambda x, y: x.index_put((SOME,), y), (3, 4), (2, 4)),
    sample(
        aten.index_put.default,
        ". a, a -> . a",
        lambda x, y: x.index_put((SOME,), y, accumulate=True),
        (3, 4),
        (4,),
        case="added, one for all",
    ),
    sample(
        aten.index_put.default,
        "a . ., a . -> a . .",
        lambda x, y: aten.index_put.default(x, [None, SOME, SOME], y),
        (4, 3, 3),
        (4, 2),
        case="two together",
    ),
    sample(
        aten.index_put_.default,
        "[1+.] a, . a -> [1+.] a",
        lambda x, y: (z := x.clone(), z[1:].index_put_((SOME.clamp(max=1),), y))[0],
        (3, 4),
        (2, 4),
        case="through a view",
    ),
    sample(
        aten.index_put.default,
        ". a, () -> . a",
        lambda x, y: x.index_put((MASK,), y),
        (3, 4),
        (),
        case="one value by a mask",
    ),
    sample(
        aten.index_put.default,
        ". . a, . a -> . . a",
        lambda x, y: x.index_put((GRID,), y),
        (2, 3, 4),
        (3, 4),
        case="by a mask of two dimensions",
    ),
    sample(
        aten.index_put.default,
        "a b, () -> a b; b|a",
        lambda x, y: x.index_put((x > 0,), y),
        (3, 4),
        (),
        case="by a mask of its own",
    ),
    sample(
        aten._unsafe_index_put.default,
        ". a, . a -> . a",
        lambda x, y: aten._unsafe_index_put.default(x, [SOME], y),
        (3, 4),
        (2, 4),
    ),
    sample(
        aten.masked_scatter.default,
        ". . a, . a -> . . a",
        lambda x, y: x.masked_scatter(GRID[:, :, None].to(x.device), y),
        (2, 3, 4),
        (5, 4),
        case="slices of the source",
    ),
    sample(
        aten.masked_scatter.default,
        ". ., . . -> . .",
        lambda x, y: x.masked_scatter(GRID.to(x.device), y),
        (2, 3),
        (2, 3),
        case="entries of the source",
    ),
    sample(
        aten.masked_scatter_.default,
        ". . a, . a -> . . a",
        lambda x, y: x.clone().masked_scatter_(GRID[:, :, None].to(x.device), y),
        (2, 3, 4),
        (5, 4),
    ),
]
