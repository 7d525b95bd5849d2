"""Samples of diagonals."""

import torch

from tests.symmetry.samples import sample

aten = torch.ops.aten

SAMPLES = [
    sample(aten.diagonal.default, "a a -> a", torch.diagonal, (3, 3)),
    sample(
        aten.diagonal.default, "a b a -> b a; a|b", lambda x: x.diagonal(dim1=0, dim2=2), (3, 2, 3), case="in batches"
    ),
    sample(aten.diagonal.default, ". . -> .", torch.diagonal, (3, 4), case="not square"),
    sample(aten.diagonal.default, ". . -> .", lambda x: x.diagonal(1), (3, 3), case="beside it"),
    sample(aten.diagonal_copy.default, "a a -> a", torch.diagonal_copy, (3, 3)),
    sample(aten.diag_embed.default, "a b -> a b b; b|a", torch.diag_embed, (2, 3)),
    sample(
        aten.diag_embed.default, "a b -> b a b; b|a", lambda x: torch.diag_embed(x, 0, 2, 0), (2, 3), case="dimensions"
    ),
    sample(
        aten.diag_embed.default,
        "a -> a b b; b|a",
        lambda x: torch.diag_embed(x[:, None].expand(2, 3)),
        (2,),
        case="of copies",
    ),
    sample(aten.diag_embed.default, "a . -> a . .", lambda x: torch.diag_embed(x, 1), (2, 3), case="beside it"),
]
