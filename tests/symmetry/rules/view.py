"""Samples of views: reshape, permute, expand, slice and their relatives."""

import torch

from tests.symmetry.samples import sample, undecomposed

aten = torch.ops.aten


def fused(x, w):
    """Queries times keys of a fused projection with two heads of width three, and its values."""
    q, k, v = (x @ w.T).view(4, 3, 2, 3).unbind(1)
    return torch.einsum("qhd,khd->hqk", q, k), v


def multi_query(x, w):
    """Queries of four heads times the keys that they share, and the values, of one projection."""
    q, k, v = (x @ w.T).view(4, 6, 3).split([4, 1, 1], 1)
    return torch.einsum("qhd,kd->hqk", q, k[:, 0]), v


SAMPLES = [
    sample(aten.view.default, "a*b -> a b; b|a", lambda x: x.view(2, 3), (6,), case="taken apart"),
    sample(aten.view.default, "a b -> a*b; b|a", lambda x: x.view(6), (2, 3), case="flattened"),
    sample(aten.view.default, "a*b c -> a b*c; b|a c|a c|b", lambda x: x.view(2, 12), (6, 4), case="regrouped"),
    sample(aten.view.default, "a b*c -> a*b c; b|a c|a c|b", lambda x: x.view(4, 3), (2, 6), case="regrouped back"),
    sample(
        aten.view.default,
        "a*b*c -> a b c; b|a c|a c|b",
        lambda x: x.view(2, -1, 5),
        (30,),
        case="with a size to work out",
    ),
    sample(
        aten.view.default,
        "a*b*c d -> a*b c*d; b|a c|a c|b d|a d|b d|c",
        lambda x: x.view(4, 15).view(2, 2, 3, 5).view(4, 15),
        (12, 5),
        case="twice",
    ),
    sample(aten.view.default, "a 1 b -> a b 1; b|a", lambda x: x.view(3, 4, 1), (3, 1, 4), case="of ones"),
    sample(aten.view.default, "a -> 1 a 1", lambda x: x.view(1, 3, 1), (3,), case="with ones"),
    sample(aten.view.default, "1 -> ()", lambda x: x.view(()), (1,), case="to a scalar"),
    sample(aten.view.default, "() -> 1", lambda x: x.view(1), (), case="from a scalar"),
    sample(
        aten.view.default,
        "a*b*c -> a*b c, a b*c; b|a c|a c|b",
        lambda x: (x.view(4, 3), x.view(2, 6)),
        (12,),
        case="two ways that fit",
    ),
    sample(
        aten.view.default,
        ". -> . ., . .",
        lambda x: (x.view(2, 3), x.view(3, 2)),
        (6,),
        case="two ways that do not fit",
    ),
    sample(
        aten.view.default,
        "[a+b] c -> [a+b]*c; a|c b|c",
        lambda x: torch.cat([x[:2], x[2:]]).view(15),
        (5, 3),
        case="flattened after a concatenation",
    ),
    sample(
        aten._unsafe_view.default,
        "a b i, i o -> a b o; b|a",
        lambda x, w: x @ w,
        (2, 3, 4),
        (4, 5),
        case="within a product of matrices",
    ),
    sample(
        aten._reshape_alias.default, "a*b -> a b; b|a", lambda x: aten._reshape_alias.default(x, [2, 3], [3, 1]), (6,)
    ),
    sample(aten.reshape.default, "a*b c -> c a b; b|a c|a c|b", undecomposed(lambda x: x.t().reshape(4, 2, 3)), (6, 4)),
    sample(aten.permute.default, "a b c -> c a b; b|a c|a c|b", lambda x: x.permute(2, 0, 1), (2, 3, 4)),
    sample(
        aten.permute.default, "a b c -> c a b; b|a c|a c|b", lambda x: x.permute(-1, -3, -2), (2, 3, 4), case="negative"
    ),
    sample(aten.transpose.int, "a b c -> a c b; b|a c|a c|b", lambda x: x.transpose(-1, 1), (2, 3, 4)),
    sample(aten.transpose_.default, "a b c -> b a c; b|a c|a c|b", lambda x: x.clone().transpose_(0, -2), (2, 3, 4)),
    sample(aten.t.default, "a b -> b a; b|a", torch.t, (2, 3)),
    sample(aten.t.default, "a -> a", torch.t, (3,), case="vector"),
    sample(aten.t_.default, "a b -> b a; b|a", lambda x: x.clone().t_(), (2, 3)),
    sample(aten.unsqueeze.default, "a b -> a 1 b; b|a", lambda x: x.unsqueeze(1), (2, 3)),
    sample(
        aten.unsqueeze.default,
        "a b -> a b 1, a 1 b; b|a",
        lambda x: (x.unsqueeze(-1), x.unsqueeze(-2)),
        (2, 3),
        case="negative",
    ),
    sample(aten.unsqueeze_.default, "a b -> 1 a b; b|a", lambda x: x.clone().unsqueeze_(0), (2, 3)),
    sample(aten.squeeze.default, "a 1 b 1 -> a b; b|a", torch.squeeze, (2, 1, 3, 1)),
    sample(aten.squeeze.dim, "a 1 b 1 -> a 1 b, a 1 b 1; b|a", lambda x: (x.squeeze(-1), x.squeeze(0)), (2, 1, 3, 1)),
    sample(aten.squeeze.dims, "a 1 b 1 -> a b; b|a", lambda x: x.squeeze((0, 1, -1)), (2, 1, 3, 1)),
    sample(aten.squeeze_.default, "a 1 b 1 -> a b; b|a", lambda x: x.clone().squeeze_(), (2, 1, 3, 1)),
    sample(aten.squeeze_.dim, "k, k n -> n", lambda x, y: x @ y, (3,), (3, 4), case="vector times matrix"),
    sample(aten.squeeze_.dims, "a 1 b 1 -> a b 1; b|a", lambda x: x.clone().squeeze_((0, 1)), (2, 1, 3, 1)),
    sample(aten.expand.default, "a 1 -> _ a _", lambda x: x.expand(2, 3, 4), (3, 1)),
    sample(aten.expand.default, "a 1 b -> a _ b; b|a", lambda x: x.expand(-1, 3, -1), (2, 1, 4), case="kept sizes"),
    sample(
        None,
        "a, a b -> a b; b|a",
        lambda x, y: x[:, None].expand(2, 3) * y,
        (2,),
        (2, 3),
        case="expand then multiply",
    ),
    sample(
        None,
        "a b -> a*_ b; b|a",
        lambda x: x.repeat_interleave(3, 0),
        (2, 4),
        case="repeat interleaved",
    ),
    sample(
        None,
        "g*d i, q g*r*d -> q i; d|g r|g r|d r|q",
        lambda k, o: o @ (k.view(2, 3, 5)[:, None].expand(2, 2, 3, 5).reshape(12, 5)),
        (6, 5),
        (4, 12),
        case="a group of heads reads one",
    ),
    sample(aten.repeat.default, "a b -> _*a b; b|a", lambda x: x.repeat(3, 1), (2, 4)),
    sample(aten.repeat.default, "a b -> _ a _*b; a|b", lambda x: x.repeat(2, 1, 3), (2, 4), case="new dimension"),
    sample(
        aten.repeat.default, "a, b*a -> b*a; b|a", lambda x, y: x.repeat(3) + y, (2,), (6,), case="then an addition"
    ),
    sample(
        aten.repeat.default,
        "., . -> .",
        lambda x, y: x.repeat(2) * torch.arange(6) + y,
        (3,),
        (6,),
        case="then a function of the place",
    ),
    sample(
        aten.repeat.default,
        "., ., . -> .",
        lambda x, y, z: x.repeat(2) * y.repeat_interleave(2) + z,
        (3,),
        (3,),
        (6,),
        case="in two orders that do not fit",
    ),
    sample(aten.slice.Tensor, "[a+b+c] d -> b d; a|d b|d c|d", lambda x: x[2:5], (7, 3)),
    sample(
        aten.slice.Tensor,
        "[a+b] d -> a d, b d, [a+b] d; a|d b|d",
        lambda x: (x[:-3], x[-3:], x[:9]),
        (7, 3),
        case="ends",
    ),
    sample(
        aten.slice.Tensor,
        "d [a+b+c] -> d [a+b], d [b+c]; a|d b|d c|d",
        lambda x: (x[..., :4], x[..., 2:]),
        (3, 7),
        case="overlapping",
    ),
    sample(
        aten.slice.Tensor,
        "[a*b+c*d] -> a*b; b|a d|c",
        lambda x: x.view(17, 2)[:3].reshape(-1),
        (34,),
        case="of an outer index",
    ),
    sample(aten.slice.Tensor, "[a*b+c] -> a*b; b|a", lambda x: x.view(3, 4)[:2].reshape(-1), (12,), case="of a stack"),
    sample(
        aten.slice.Tensor,
        "a*[b+c] -> a*b; b|a c|a",
        lambda x: x.view(4, 5)[:, :2].reshape(-1),
        (20,),
        case="of an inner index",
    ),
    sample(aten.slice.Tensor, "a*[1+b] -> a; b|a", lambda x: x[::3], (6,), case="stepped"),
    sample(
        aten.slice.Tensor,
        "b a*. -> b a, b a; a|b",
        lambda x: (x[:, ::2], x[:, 1::2]),
        (3, 8),
        case="halves interleaved",
    ),
    sample(aten.slice.Tensor, "a*. b -> a a*.", lambda x: (x @ x.t())[1::2], (6, 3), case="of a Gram matrix"),
    sample(aten.slice.Tensor, ". -> .", lambda x: x[::2], (7,), case="a step that does not divide"),
    sample(aten.slice.Tensor, ". -> .", lambda x: x[2::2], (8,), case="a step from a later start"),
    sample(aten.slice.Tensor, "a -> _", lambda x: x[3:], (3,), case="empty"),
    sample(aten.select.int, "[1+a] b -> b; a|b", lambda x: x[0], (5, 3), case="first"),
    sample(aten.select.int, "b [a+1] -> b; a|b", lambda x: x[:, -1], (3, 5), case="last"),
    sample(aten.select.int, "[a+1+b] -> (), a, b", lambda x: (x[2], x[:2], x[3:]), (5,), case="in the middle"),
    sample(aten.split.Tensor, "[a+b+1] d -> a d, b d, 1 d; a|d b|d", lambda x: x.split(2), (5, 3)),
    sample(aten.split.Tensor, "d [a+b] -> d a, d b; a|d b|d", lambda x: x.chunk(2, -1), (3, 8), case="chunks"),
    sample(
        aten.split_with_sizes.default,
        "d [a+b+c] -> d a, d b, d c; a|d b|d c|d",
        lambda x: x.split([2, 4, 3], -1),
        (2, 9),
    ),
    sample(aten.unsafe_split.Tensor, "[a+b] d -> a d, b d; a|d b|d", lambda x: x.unsafe_split(2), (4, 3)),
    sample(aten.unbind.int, ". a -> a, a, a", torch.unbind, (3, 4), case="rows of a parameter"),
    sample(aten.unbind.int, "[a+b+c] -> a, b, c", lambda x: x.view(3, 4).unbind(), (12,), case="of a view"),
    sample(
        aten.unbind.int,
        "q i, [h*e+h*e+g*d] i -> h q q, q g d; e|h d|g",
        fused,
        (4, 5),
        (18, 5),
        case="of a fused projection",
    ),
    sample(
        aten.split_with_sizes.default,
        "q i, [h*d+d+e] i -> h q q, q 1 e",
        multi_query,
        (4, 5),
        (18, 5),
        case="of queries of several heads, keys and values",
    ),
    sample(aten.flip.default, ". a . -> . a .", lambda x: x.flip(0, -1), (2, 3, 4)),
    sample(aten.roll.default, ". a . -> . a .", lambda x: x.roll((1, 2), (0, -1)), (2, 3, 4)),
    sample(aten.roll.default, ". . -> . .", lambda x: x.roll(2), (3, 4), case="of all entries"),
    sample(aten.triu.default, "a . . -> a . .", torch.triu, (2, 3, 4)),
    sample(aten.tril.default, "a . . -> a . .", lambda x: x.tril(-1), (2, 3, 4)),
    sample(
        aten.slice.Tensor,
        "[a+1+b]*[c+d] -> [a*[c+d]+c], [d+b*[c+d]]",
        lambda x: (x.view(5, 4).exp().view(20)[:10], x.view(5, 4).exp().view(20)[10:]),
        (20,),
        case="through an inner index",
    ),
    sample(
        aten.slice.Tensor,
        "[.+a]*[b+c]*d, [c+b] -> [c+b]",
        lambda x, y: x.view(4, 6, 5).mean(2).view(24)[3:9] + y,
        (120,),
        (6,),
        case="from row to row",
    ),
]
