"""Samples of matrix products."""

import torch

from tests.symmetry.samples import sample, undecomposed

aten = torch.ops.aten


SAMPLES = [
    sample(aten.mm.default, "m k, k n -> m n", torch.mm, (3, 4), (4, 5)),
    sample(aten.mm.default, "a a -> a a", lambda w: w @ w, (4, 4), case="square of one matrix"),
    sample(aten.mm.default, "a a, a b -> a b", lambda w, v: w @ w @ v, (4, 4), (4, 3), case="applied twice"),
    sample(aten.mm.default, "m k -> m m", lambda w: w @ w.T, (3, 4), case="Gram matrix"),
    sample(
        aten.mm.default,
        "h*d n, h*d n -> h*d h*d; d|h",
        lambda x, y: (x.view(2, 3, 4) * y.view(2, 3, 4)).view(6, 4) @ x.T,
        (6, 4),
        (6, 4),
        case="product of rows",
    ),
    sample(aten.mm.default, "m k, m*m -> m*m", lambda w, v: (w @ w.T).view(-1) * v, (3, 4), (9,), case="flat"),
    sample(aten.addmm.default, "n, m k, k n -> m n", torch.addmm, (5,), (3, 4), (4, 5), case="bias of columns"),
    sample(aten.addmm.default, "m 1, m k, k n -> m n", torch.addmm, (3, 1), (3, 4), (4, 5), case="bias of rows"),
    sample(
        aten.addmm.default,
        "m n, m k, k n -> m n",
        lambda b, x, y: torch.addmm(b, x, y, beta=0.5, alpha=2.0),
        (3, 5),
        (3, 4),
        (4, 5),
        case="full bias, scaled",
    ),
    sample(aten.bmm.default, "b m k, b k n -> b m n; m|b k|b n|b", torch.bmm, (2, 3, 4), (2, 4, 5)),
    sample(
        aten.bmm.default,
        "m h*k, h*k n -> h m n; m|h k|h n|h",
        lambda x, y: torch.bmm(x.view(3, 2, 4).transpose(0, 1), y.view(2, 4, 5)),
        (3, 8),
        (8, 5),
        case="heads",
    ),
    sample(
        aten.bmm.default,
        "h n, h k, h k -> h n 1; n|h k|h",
        lambda x, y, z: torch.bmm(x[:, :, None], (y * z).sum(1)[:, None, None]),
        (2, 4),
        (2, 3),
        (2, 3),
        case="outer product",
    ),
    sample(
        aten.baddbmm.default,
        "n, b m k, b k n -> b m n; m|b k|b",
        torch.baddbmm,
        (5,),
        (2, 3, 4),
        (2, 4, 5),
        case="one bias for all",
    ),
    sample(
        aten.baddbmm.default,
        "b 1 n, b m k, b k n -> b m n; m|b k|b n|b",
        torch.baddbmm,
        (2, 1, 5),
        (2, 3, 4),
        (2, 4, 5),
        case="a bias each",
    ),
    sample(aten.mv.default, "m k, k -> m", torch.mv, (3, 4), (4,)),
    sample(aten.addmv.default, "m, m k, k -> m", torch.addmv, (3,), (3, 4), (4,)),
    sample(aten.addmv.default, "1, m k, k -> m", torch.addmv, (1,), (3, 4), (4,), case="broadcast"),
    sample(aten.dot.default, "k, k -> ()", torch.dot, (4,), (4,)),
    sample(
        aten.dot.default, "h*k, h k -> (); k|h", lambda x, y: torch.dot(x, y.view(-1)), (6,), (2, 3), case="flattened"
    ),
    sample(
        aten.linear.default, "a b i, o i, o -> a b o; b|a", undecomposed(aten.linear.default), (2, 3, 4), (5, 4), (5,)
    ),
]
