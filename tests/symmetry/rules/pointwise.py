"""Samples of point-wise operators, by their own entry or by PyTorch's tag."""

import torch
import torch.nn.functional as F

from tests.symmetry.samples import sample, undecomposed

aten = torch.ops.aten
MASK = torch.tensor([[True, False, False, True]])
SAME = "a b -> a b; b|a"


def unary(overload, run, case=""):
    return sample(overload, SAME, run, (3, 4), case=case)


SAMPLES = [
    # With a rule of their own.
    sample(aten.copy_.default, "a b, b -> a b; a|b", lambda x, y: torch.empty_like(x).copy_(y) + x, (3, 4), (4,)),
    unary(aten.fill_.Scalar, lambda x: x.clone().fill_(2.0) + x),
    sample(aten.fill_.Tensor, "a b, () -> a b; b|a", lambda x, y: x.clone().fill_(y), (3, 4), ()),
    unary(aten.gelu_.default, lambda x: aten.gelu_.default(x.clone())),
    unary(aten.hardswish.default, F.hardswish),
    unary(aten.hardswish_.default, lambda x: F.hardswish(x.clone(), inplace=True)),
    sample(aten.log_sigmoid_forward.default, SAME, F.logsigmoid, (3, 4)),
    sample(aten.masked_fill.Tensor, "a ., () -> a .", lambda x, y: x.masked_fill(MASK, y), (3, 4), ()),
    sample(aten.masked_fill_.Scalar, "a . -> a .", lambda x: x.clone().masked_fill_(MASK, 0.5), (3, 4)),
    sample(aten.masked_fill_.Tensor, "a ., () -> a .", lambda x, y: x.clone().masked_fill_(MASK, y), (3, 4), ()),
    unary(aten.mish_.default, lambda x: F.mish(x.clone(), inplace=True)),
    unary(aten.threshold_.default, lambda x: F.threshold(x.clone(), 0.1, 0.5, inplace=True)),
    unary(aten.zero_.default, lambda x: x.clone().zero_() + x),
    sample(aten._prelu_kernel.default, "n c s, c -> n c s; n|c s|c s|n", F.prelu, (2, 3, 4), (3,)),
    sample(aten._prelu_kernel.default, "n c s, 1 -> n c s; c|n s|c s|n", F.prelu, (2, 3, 4), (1,), case="one slope"),
    sample(aten.glu.default, "a [b+b] -> a b; b|a", lambda x: F.glu(x), (3, 8)),
    sample(
        aten.glu.default,
        "n i, [o+o] i, [o+o] -> n o",
        lambda x, w, b: F.glu(F.linear(x, w, b), 1),
        (2, 3),
        (8, 3),
        (8,),
        case="after a layer",
    ),
    sample(aten.glu.default, ". a -> 1 a", lambda x: F.glu(x, 0), (2, 3), case="one unit"),
    unary(aten.alias.default, lambda x: aten.alias.default(x)),
    unary(aten.clone.default, lambda x: x.clone()),
    unary(aten.contiguous.default, undecomposed(aten.contiguous.default)),
    unary(aten.detach.default, lambda x: x.detach()),
    sample(aten.lift_fresh.default, "a . -> a .", lambda x: x + torch.tensor([1.0, 2.0, 3.0, 4.0]), (3, 4)),
    sample(
        aten.lift_fresh.default, SAME, lambda x: x + torch.tensor([1.0, 1.0, 1.0, 1.0]), (3, 4), case="of one value"
    ),
    unary(aten._to_copy.default, lambda x: x.float().double().float()),
    # By their tag.
    sample(aten.add.Tensor, "a b, a b -> a b; b|a", torch.add, (3, 4), (3, 4)),
    sample(aten.add.Tensor, "a b, b -> a b; a|b", torch.add, (3, 4), (4,), case="broadcast"),
    sample(aten.add.Tensor, "a 1, b -> a b", torch.add, (3, 1), (4,), case="outer"),
    sample(aten.add.Tensor, "a 1, 1 -> a 1", torch.add, (3, 1), (1,), case="of ones"),
    sample(aten.add_.Tensor, "a b, b -> a b; a|b", lambda x, y: x.clone().add_(y), (3, 4), (4,)),
    sample(
        aten.add_.Tensor,
        "[a+b] c, a -> [a+b] c; b|c",
        lambda x, y: (z := x.clone(), z[:2].add_(y[:, None]))[0],
        (5, 3),
        (2,),
        case="through a view",
    ),
    sample(
        aten.mul.Tensor,
        "h*d n, h -> h*d n; d|h n|d n|h",
        lambda x, y: (x.view(2, 3, 4) * y[:, None, None]).view(6, 4),
        (6, 4),
        (2,),
    ),
    unary(aten.gelu.default, F.gelu),
    unary(aten.silu_.default, lambda x: F.silu(x.clone(), inplace=True)),
    unary(aten.relu_.default, lambda x: x.clone().relu_()),
    sample(aten.where.self, "a ., a . -> a .", lambda x, y: torch.where(MASK, x, y), (3, 4), (3, 4)),
    unary(aten.clamp.default, lambda x: x.clamp(-0.5, 0.5)),
    sample(aten.clamp.Tensor, "a b, b -> a b; a|b", lambda x, y: x.clamp(y), (3, 4), (4,)),
    sample(aten.masked_fill.Scalar, "a . -> a .", lambda x: x.masked_fill(MASK, 0.5), (3, 4)),
    sample(aten.addcmul.default, "a b, b, a 1 -> a b", torch.addcmul, (3, 4), (4,), (3, 1)),
    sample(
        aten.lerp.Tensor, "a b, b, a 1 -> a b", lambda x, y, t: torch.lerp(x, y.expand(3, 4), t), (3, 4), (4,), (3, 1)
    ),
    sample(None, "a b, b -> a b; a|b", lambda x, y: x.relu() * y, (3, 4), (4,), case="chain"),
    # The label of a fused dimension passes through functions of one tensor.
    sample(
        None,
        "[a+b] i, a -> i, b i; b|i",
        lambda w, x: (x @ w.view(2, 3, 4).tanh()[0], w.view(2, 3, 4).tanh()[1]),
        (6, 4),
        (3,),
        case="function of a stack",
    ),
    unary(aten.floor_divide.default, lambda x: x // 0.3),
    sample(aten.native_dropout.default, SAME, lambda x: torch.native_dropout(x, 0.5, False)[0], (3, 4)),
]
