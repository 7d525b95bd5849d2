"""Samples of look-ups by index."""

import torch
import torch.nn.functional as F

from tests.symmetry.samples import sample

aten = torch.ops.aten
INDEX = aten.index.Tensor
ROWS = torch.tensor([2, 0, 1, 2])
GRID = torch.tensor([[0, 1], [2, 2], [1, 0]])

SAMPLES = [
    sample(aten.embedding.default, ". d -> . d", lambda w: F.embedding(ROWS, w), (3, 4)),
    sample(aten.embedding.default, ". d -> . . d", lambda w: F.embedding(GRID, w), (3, 4), case="in batches"),
    sample(
        aten.embedding.default, ". d -> _ d", lambda w: F.embedding(torch.ones(5).long(), w), (3, 4), case="of one row"
    ),
    sample(
        aten.embedding.default,
        ". h*d, o h*d -> . o h; d|h o|h",
        lambda w, v: torch.einsum("nhd,ohd->noh", F.embedding(ROWS, w).view(4, 2, 3), v.view(5, 2, 3)),
        (3, 6),
        (5, 6),
        case="in heads",
    ),
    sample(aten.index_select.default, "a . b -> a . b; b|a", lambda x: x.index_select(1, ROWS), (2, 3, 4)),
    sample(aten.index_select.default, "a . -> a .", lambda x: x.index_select(-1, ROWS), (2, 3), case="negative"),
    sample(
        aten.index_select.default, "a . -> a 1", lambda x: x.index_select(1, torch.tensor([2])), (2, 3), case="of one"
    ),
    sample(
        aten.gather.default,
        "a . -> a .",
        lambda x: x.gather(1, torch.tensor([[0, 2, 1, 1]]).expand(3, 4)),
        (3, 3),
        case="alike everywhere",
    ),
    sample(aten.gather.default, ". . -> . .", lambda x: x.gather(-1, GRID), (3, 3), case="differently"),
    sample(aten.gather.default, ". . -> . .", lambda x: x.gather(0, GRID), (3, 3), case="fewer indices"),
    sample(INDEX, ". a -> . a", lambda x: x[ROWS], (3, 4), case="first dimension"),
    sample(INDEX, "a . b -> a . . b; b|a", lambda x: x[:, GRID], (2, 3, 4), case="by a matrix"),
    sample(INDEX, "a . . b -> a . . b; b|a", lambda x: x[:, GRID, GRID.flip(0)], (2, 3, 3, 4), case="two together"),
    sample(INDEX, ". a . b -> . . a b; b|a", lambda x: x[GRID, :, GRID.flip(0)], (3, 2, 3, 4), case="two apart"),
    sample(
        INDEX,
        "a b . -> a b .",
        lambda x: x[:, torch.arange(2)[:, None], torch.tensor([2, 0, 1, 1])],
        (3, 2, 3),
        case="broadcast",
    ),
    sample(
        INDEX,
        "a . . -> a _ .",
        lambda x: x[:, torch.ones(2, 1).long(), torch.tensor([2, 0, 1, 1])],
        (3, 2, 3),
        case="constant along one",
    ),
    sample(INDEX, ". a . b -> . a b; b|a", lambda x: x[ROWS, :, 1], (3, 2, 3, 4), case="beside a number"),
    sample(INDEX, "a . -> a .", lambda x: x[:, torch.tensor([True, False, True])], (2, 3), case="by a mask"),
    sample(
        INDEX,
        "a . . b -> a . b; b|a",
        lambda x: x[:, torch.ones(3, 3, dtype=torch.bool, device=x.device).tril()],
        (2, 3, 3, 4),
        case="by a mask of two dimensions",
    ),
    sample(
        aten._unsafe_index.Tensor,
        "a . b -> a . b; b|a",
        lambda x: aten._unsafe_index.Tensor(x, [None, ROWS]),
        (2, 3, 4),
    ),
    sample(
        INDEX,
        ". h, n h . . -> n h . .; n|h",
        lambda table, scores: scores + table[GRID.view(-1)].view(2, 3, 2).permute(2, 0, 1),
        (3, 2),
        (4, 2, 2, 3),
        case="relative position bias",
    ),
    sample(aten.nonzero.default, ". a -> . a", lambda x: x[(ROWS[:3] > 0).nonzero().squeeze(1)], (3, 4)),
]
