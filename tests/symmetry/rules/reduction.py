"""Samples of reductions, softmax and scans."""

import torch
import torch.nn.functional as F

from tests.symmetry.samples import sample

aten = torch.ops.aten
OVER_TWO = "a b c -> b; a|b c|a c|b"
FLAGS = torch.tensor([[0.0, 1, 1], [0, 0, 0], [1, 1, 1]]).double()


def reduction(overload, *options, case="", wanted=OVER_TWO, **more):
    return sample(overload, wanted, lambda x: overload(x, *options, **more), (2, 3, 4), case=case)


SAMPLES = [
    sample(aten.all.default, "a b -> (); b|a", lambda x: aten.all.default(x), FLAGS),
    sample(aten.all.dim, "a b -> b; a|b", lambda x: aten.all.dim(x, 0), FLAGS),
    sample(aten.any.default, "a b -> (); b|a", lambda x: aten.any.default(x), FLAGS),
    sample(aten.any.dim, "a b -> a 1; b|a", lambda x: aten.any.dim(x, -1, True), FLAGS),
    reduction(aten.amax.default, [0, 2]),
    reduction(aten.amax.default, case="of all", wanted="a b c -> (); b|a c|a c|b"),
    reduction(aten.amin.default, [-3, -1], True, case="kept", wanted="a b c -> 1 b 1; a|b c|a c|b"),
    reduction(aten.linalg_vector_norm.default, 2, [0, -1]),
    reduction(aten.linalg_vector_norm.default, 3, [2], True, case="kept", wanted="a b c -> a b 1; b|a c|a c|b"),
    reduction(aten.logsumexp.default, [0, 2]),
    reduction(aten.max.default, wanted="a b c -> (); b|a c|a c|b"),
    reduction(aten.min.default, wanted="a b c -> (); b|a c|a c|b"),
    reduction(aten.mean.default, wanted="a b c -> (); b|a c|a c|b"),
    reduction(aten.mean.dim, [0, 2]),
    reduction(aten.mean.dim, [-2], True, case="kept", wanted="a b c -> a 1 c; b|a b|c c|a"),
    reduction(aten.mean.dim, [], case="of no dimension, which means all", wanted="a b c -> (); b|a c|a c|b"),
    reduction(aten.norm.ScalarOpt_dim, 2, [0, 2]),
    reduction(aten.prod.default, wanted="a b c -> (); b|a c|a c|b"),
    reduction(aten.prod.dim_int, -2, wanted="a b c -> a c; b|a b|c c|a"),
    reduction(aten.std.correction, [0, 2], correction=1),
    reduction(aten.sum.default, wanted="a b c -> (); b|a c|a c|b"),
    reduction(aten.sum.dim_IntList, [0, 2]),
    reduction(aten.sum.dim_IntList, None, True, case="kept", wanted="a b c -> 1 1 1; b|a c|a c|b"),
    reduction(aten.var.correction, [0, 2], correction=0),
    reduction(aten.var_mean.correction, [0, 2], correction=0, wanted="a b c -> b, b; a|b c|a c|b"),
    reduction(aten.var_mean.correction, [2], keepdim=True, case="kept", wanted="a b c -> a b 1, a b 1; b|a c|a c|b"),
    reduction(aten._softmax.default, -1, False, wanted="a b c -> a b c; b|a c|a c|b"),
    reduction(aten._log_softmax.default, 0, False, wanted="a b c -> a b c; a|b a|c c|b"),
    reduction(aten._safe_softmax.default, 1, wanted="a b c -> a b c; b|a b|c c|a"),
    reduction(aten.cumsum.default, 1, wanted="a . c -> a . c; c|a"),
    reduction(aten.cumsum.default, -1, case="negative", wanted="a b . -> a b .; b|a"),
    reduction(aten.logcumsumexp.default, 1, wanted="a . c -> a . c; c|a"),
    sample(aten.cumsum_.default, "a . -> a .", lambda x: x.clone().cumsum_(1), (3, 4)),
    sample(aten.cumprod_.default, ". a -> . a", lambda x: x.clone().cumprod_(0), (3, 4)),
    reduction(aten.cumprod.default, 0, wanted=". b c -> . b c; c|b"),
    sample(aten.cumsum.default, "() -> ()", lambda x: x.cumsum(0), (), case="scalar"),
    sample(
        aten.sum.dim_IntList,
        "h*d n, d -> n; h|d h|n",
        lambda x, y: (x.view(2, 3, 4) * y[:, None]).sum((0, 1)),
        (6, 4),
        (3,),
        case="of a product of indices",
    ),
    sample(None, "a b, b c -> a c", lambda x, y: x.softmax(1) @ y, (3, 4), (4, 5), case="softmax then a product"),
    sample(None, "a b, a c -> b c", lambda x, y: x.softmax(1).t() @ y, (3, 4), (3, 5), case="softmax over the outputs"),
    sample(None, "a b, a b -> a", lambda x, y: (x.softmax(0) * y).sum(1), (3, 4), (3, 4), case="softmax over rows"),
    sample(None, "a b -> a b; b|a", lambda x: x - x.mean(1, keepdim=True), (3, 4), case="centred"),
    sample(None, "[a+b] c -> a c; a|c b|c", lambda x: x[:2] / x[2:].norm(), (5, 3), case="scaled by a norm"),
    sample(aten.aminmax.default, "a b -> a, a; b|a", lambda x: x.aminmax(dim=1), (3, 4)),
    sample(aten.aminmax.default, "a b -> (), (); b|a", lambda x: x.aminmax(), (3, 4), case="of all"),
    sample(aten.mse_loss.default, "a b, a b -> (); b|a", F.mse_loss, (3, 4), (3, 4)),
    sample(
        aten.mse_loss.default,
        "a b, a b -> a b; b|a",
        lambda x, y: F.mse_loss(x, y, reduction="none"),
        (3, 4),
        (3, 4),
        case="of every entry",
    ),
    sample(aten.smooth_l1_loss.default, "a b, a b -> (); b|a", F.smooth_l1_loss, (3, 4), (3, 4)),
    sample(aten.huber_loss.default, "a b, a b -> (); b|a", F.huber_loss, (3, 4), (3, 4)),
]
