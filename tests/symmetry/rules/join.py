"""Samples of operators that lay tensors side by side."""

import torch
import torch.nn.functional as F

from tests.symmetry.samples import sample

aten = torch.ops.aten
CAT, STACK, PAD = aten.cat.default, aten.stack.default, aten.constant_pad_nd.default
TOKENS = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

SAMPLES = [
    sample(CAT, "a c, b c -> [a+b] c; a|c b|c", lambda x, y: torch.cat([x, y]), (2, 4), (3, 4)),
    sample(
        CAT, "c a, c b -> c [a+b]; a|c b|c", lambda x, y: torch.cat([x, y], -1), (4, 2), (4, 3), case="last dimension"
    ),
    sample(CAT, "a c -> [a+a] c; c|a", lambda x: torch.cat([x, x]), (2, 4), case="of a tensor with itself"),
    sample(CAT, "a c -> [a+a] c; c|a", lambda x: torch.cat([x, -x.exp()]), (2, 4), case="of a tensor and its image"),
    sample(CAT, "a -> a", lambda x: torch.cat([torch.empty(0).double(), x]), (3,), case="with an empty vector"),
    sample(
        CAT, "a, b -> [a+_+b]", lambda x, y: torch.cat([x, torch.zeros(4).double(), y]), (3,), (2,), case="with zeros"
    ),
    sample(
        CAT,
        "a, b -> [a+.+b]",
        lambda x, y: torch.cat([x, torch.arange(4).double(), y]),
        (3,),
        (2,),
        case="with a constant",
    ),
    sample(
        CAT,
        "a b, b o -> [a+a] o",
        lambda x, w: w[torch.cat([x.argmax(1), x.argmin(1)])],
        (3, 4),
        (4, 2),
        case="of index numbers",
    ),
    sample(
        CAT,
        "b ., b ., b o -> . o",
        lambda g, h, w: w[torch.cat([(TOKENS @ g.T).argmax(1), (TOKENS @ h.T).argmax(1)])],
        (4, 3),
        (4, 3),
        (4, 2),
        case="of numbers on two axes",
    ),
    sample(
        CAT,
        "a ., . o -> [a+.] o",
        lambda x, w: w[torch.cat([x.argmax(1), torch.arange(2)])],
        (3, 4),
        (4, 2),
        case="of numbers of an axis and others",
    ),
    sample(
        CAT,
        "a ., b . -> [a+b]",
        lambda x, y: torch.cat([x.argmax(1), y.argmax(1)]) * 2.0,
        (8, 5),
        (8, 5),
        case="of index numbers, used",
    ),
    sample(CAT, "a -> [a+1]", lambda x: torch.cat([x, torch.ones(1).double()]), (3,), case="with a single index"),
    sample(
        CAT,
        "a i, b i, o [a+b] -> o i",
        lambda x, y, w: w @ torch.cat([x, y]),
        (2, 4),
        (3, 4),
        (5, 5),
        case="then read by a layer",
    ),
    sample(
        CAT,
        "[a+b] i, c, [a+b+c] -> [a+b+c] i",
        lambda x, y, z: torch.cat([x[:2], x[2:], y[:, None].expand(3, 4)]) * z[:, None],
        (5, 4),
        (3,),
        (8,),
        case="of slices and a vector",
    ),
    sample(
        CAT,
        "[a+b+c+d] -> [a+b+c+d]",
        lambda x: torch.cat([x[:4], x[4:]]) + torch.cat([x[:2], x[2:]]) + torch.cat([x[:7], x[7:]]),
        (9,),
        case="cut at different places",
    ),
    sample(
        CAT,
        "a b, a b -> [a+a] b; b|a",
        lambda x, y: torch.cat([x, y]) * torch.cat([y, x]),
        (2, 4),
        (2, 4),
        case="in both orders",
    ),
    sample(STACK, "a b -> . a b; b|a", lambda x: torch.stack([x, x.exp()]), (2, 3), case="of images of one tensor"),
    sample(STACK, "a, b -> a, b", lambda x, y: torch.stack([x, y]).unbind(), (3,), (3,), case="then unbind"),
    sample(
        STACK,
        "a, b -> b, a",
        lambda x, y: (torch.stack([x, y], -1)[..., 1], torch.stack([x, y])[0]),
        (3,),
        (3,),
        case="then select",
    ),
    sample(
        STACK,
        "a, b, c -> [b+c], a",
        lambda x, y, z: (torch.stack([x, y, z])[1:].view(-1), torch.stack([x, y, z])[0]),
        (3,),
        (3,),
        (3,),
        case="then slice",
    ),
    sample(STACK, "a, b -> [a+b]", lambda x, y: torch.stack([x, y]).view(-1), (3,), (3,), case="then flatten"),
    sample(STACK, "a, b -> [1+1] {a|b}", lambda x, y: torch.stack([x, y]).exp(), (3,), (3,), case="then a function"),
    sample(STACK, "a, a -> a", lambda x, y: torch.stack([x, y]).sum(0), (3,), (3,), case="then a sum"),
    sample(
        STACK,
        "a b, c d -> {b|d} [1+1] {a|c}; b|a d|c",
        lambda x, y: torch.stack([x.t(), y.t()], 1),
        (3, 4),
        (3, 4),
        case="of matrices",
    ),
    sample(
        STACK,
        "a b*. -> a*b*.; b|a",
        lambda x: torch.stack([x[..., ::2], x[..., 1::2]], -1).flatten(1).view(-1),
        (2, 4),
        case="of halves interleaved",
    ),
    sample(PAD, "a b -> [_+a+_] b; a|b", lambda x: F.pad(x, (0, 0, 1, 2)), (3, 4), case="on both sides"),
    sample(PAD, "a b -> a [b+_]; b|a", lambda x: F.pad(x, (0, 2)), (3, 4), case="after"),
    sample(PAD, "a b -> a [_+b]; b|a", lambda x: F.pad(x, (2, 0), value=1.5), (3, 4), case="before, with a value"),
    sample(PAD, "a . -> a .", lambda x: F.pad(x, (-1, 2)), (3, 4), case="and cropped"),
    sample(PAD, "a b -> a b; b|a", lambda x: F.pad(x, (0, 0)), (3, 4), case="by nothing"),
    sample(
        PAD,
        "a i, [s@0:2+a+s@2:2] i -> [s@0:2+a+s@2:2] i; a|i s|i",
        lambda x, y: F.pad(x, (0, 0, 2, 2)) + y,
        (3, 4),
        (7, 4),
        case="both sides are one group",
    ),
    sample(
        PAD,
        "a, [s@0:1+a+s@1:1], [t@0:1+s@0:1+a+s@1:1+t@1:1] -> [t@0:1+s@0:1+a+s@1:1+t@1:1]",
        lambda x, y, z: F.pad(F.pad(x, (1, 1)) + y, (1, 1)) + z,
        (3,),
        (5,),
        (7,),
        case="twice",
    ),
    sample(
        PAD,
        "[s@0:2+a+b+s@2:2], a, [t+b] -> [s@0:2+a+b+s@2:2]",
        lambda x, y, z: F.pad(torch.cat([y, z[2:]]), (2, 2)) + x,
        (9,),
        (3,),
        (4,),
        case="of a concatenation",
    ),
    sample(
        aten.cat.default, "a b, _ b -> a b; a|b", lambda x, y: torch.cat([x, y]), (3, 4), (0, 4), case="with nothing"
    ),
]
