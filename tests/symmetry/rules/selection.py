"""Samples of operators that choose indices of a dimension."""

import torch
import torch.nn.functional as F

from tests.symmetry.samples import sample

aten = torch.ops.aten
TOKENS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def routed(x, gate, up, down):
    """A mixture of experts, each token with its best two: all weights of the chosen ones gathered."""
    scores, chosen = (x @ gate.T).softmax(-1).topk(2)
    many, chosen = x.repeat_interleave(2, 0), chosen.reshape(-1)
    hidden = torch.bmm(up[chosen], many.unsqueeze(-1)).squeeze(-1).tanh()
    out = torch.bmm(down[chosen], hidden.unsqueeze(-1)).squeeze(-1) * scores.reshape(-1, 1)
    return out.view(6, 2, -1).sum(1)


def fused(x, gate, up, down):
    """The same with a gate beside every hidden unit, one expert per token, and biases that are looked up apart."""
    chosen = (x @ gate.T).argmax(-1)
    gates, hidden = torch.bmm(up[chosen], x.unsqueeze(-1)).squeeze(-1).chunk(2, -1)
    return torch.bmm(down.index_select(0, chosen), (hidden * gates.sigmoid()).unsqueeze(-1)).squeeze(-1)


def two_routers(x, gate, other, up, down):
    """Hidden units of experts that one router chooses, read as those that another router chooses."""
    hidden = torch.bmm(up[(x @ gate.T).argmax(-1)], x.unsqueeze(-1))
    return torch.bmm(down[(x @ other.T).argmax(-1)], hidden)


def blended(x, gate, up, down):
    """Hidden units of all experts blended into those of the chosen one."""
    chosen = (x @ gate.T).argmax(-1)
    hidden = torch.bmm(up[chosen], x.unsqueeze(-1)).squeeze(-1) + torch.einsum("te,eid->ti", x @ gate.T, up)
    return torch.bmm(down[chosen], hidden.unsqueeze(-1)).squeeze(-1)


def in_groups(x, gate, up, down):
    """Groups of experts are chosen before experts."""
    scores = (x @ gate.T).softmax(-1)
    best = scores.view(6, 3, 2).max(-1).values.topk(2)[1]
    mask = torch.zeros(6, 3, dtype=torch.bool, device=scores.device).scatter(1, best, True)
    scores = scores.masked_fill(~mask[:, :, None].expand(6, 3, 2).reshape(6, 6), float("-inf"))
    chosen = scores.argmax(-1)
    return torch.bmm(down[chosen], torch.bmm(up[chosen], x.unsqueeze(-1)).relu()).squeeze(-1)


def second(x, gate, up, down):
    """Two experts for every token, the second of which is chosen once the first is masked."""
    scores = x @ gate.T
    first = scores.argmax(-1, keepdim=True)
    chosen = torch.cat([first, scores.scatter(-1, first, float("-inf")).argmax(-1, keepdim=True)], 1).reshape(-1)
    hidden = torch.bmm(up[chosen], x.repeat_interleave(2, 0).unsqueeze(-1)).tanh()
    return torch.bmm(down[chosen], hidden).squeeze(-1).view(6, 2, -1).sum(1)


def least(x, gate, w):
    """What is smallest once the largest is masked, and is never chosen."""
    scores = x @ gate.T
    return w[scores.masked_fill(scores >= scores.amax(-1, keepdim=True), float("inf")).argmin(-1)]


def wrongly_masked(x, gate, w):
    """Scores below the mean are masked by what argmax takes first: equal ones go by their order."""
    scores = x @ gate.T
    return w[scores.masked_fill(scores < scores.mean(-1, keepdim=True), float("inf")).argmax(-1)]


def dispatched(x, gate, up, down):
    """Tokens sent to their experts by a one-hot mask."""
    mask = F.one_hot((x @ gate.T).argmax(-1), 3).to(x.dtype)
    return torch.einsum("te,td,eid,eoi->to", mask, x, up, down)


def placed(table):
    """Tokens with a vector for their position, and code that takes positions after the first apart."""
    positions = torch.arange(6)
    return (TOKENS + table[positions]) * (positions[1:] - positions[:-1]).sum()


SAMPLES = [
    sample(aten.topk.default, "a b -> a .; b|a", lambda x: x.topk(2).values, (3, 4), case="the values"),
    sample(aten.topk.default, "a b -> . b; a|b", lambda x: x.topk(2, 0, largest=False)[0], (3, 4), case="smallest"),
    sample(aten.topk.default, "a . -> a .", lambda x: x.topk(2).indices, (3, 4), case="the numbers shown"),
    sample(aten.topk.default, "a . -> a .", lambda x: x.topk(2).indices * 2.0, (3, 4), case="the numbers used"),
    sample(
        aten.topk.default,
        "e ., e o -> . o",
        lambda gate, w: w[(TOKENS @ gate.t()).topk(1)[1].squeeze(1)],
        (3, 4),
        (3, 5),
        case="then a look-up",
    ),
    sample(
        aten.topk.default,
        "a e, b e -> a .; b|e",
        lambda x, y: x.gather(1, (x.sum(0) * y.sum(0)).topk(2)[1].expand(3, 2)),
        (3, 4),
        (2, 4),
        case="then gathered",
    ),
    sample(
        aten.topk.default,
        "a . -> a .",
        lambda x: x.relu().topk(2)[1] + x.sum(1, True),
        (3, 4),
        case="of entries that are equal",
    ),
    sample(
        aten.topk.default,
        "a b -> a .; b|a",
        lambda x: x.relu().topk(2)[0],
        (3, 4),
        case="equal entries, but the values",
    ),
    sample(
        aten.topk.default,
        ". ., . o -> . o",
        lambda gate, w: w[(TOKENS @ gate.t()).relu().topk(2)[1].sum(1).clamp(0, 2)],
        (3, 4),
        (3, 5),
        case="then arithmetic",
    ),
    sample(None, "e ., e o -> . o", lambda g, w: least(TOKENS, g, w), (3, 4), (3, 5), case="smallest"),
    sample(None, ". ., . o -> . o", lambda g, w: wrongly_masked(TOKENS, g, w), (3, 4), (3, 5), case="equal masks"),
    sample(
        None, "e ., e i ., e o i -> . o; i|e", lambda g, u, d: routed(TOKENS, g, u, d), (3, 4), (3, 2, 4), (3, 5, 2)
    ),
    sample(
        None,
        "e ., e [i+i] ., e o i -> . o; i|e",
        lambda g, u, d: fused(TOKENS, g, u, d),
        (3, 4),
        (3, 4, 4),
        (3, 5, 2),
        case="fused",
    ),
    sample(
        None,
        "e ., f ., e i ., f o i -> . o 1",
        lambda g, h, u, d: two_routers(TOKENS, g, h, u, d),
        (3, 4),
        (3, 4),
        (3, 2, 4),
        (3, 5, 2),
        case="two routers",
    ),
    sample(
        None,
        "e ., e i ., e o i -> . o",
        lambda g, u, d: blended(TOKENS, g, u, d),
        (3, 4),
        (3, 2, 4),
        (3, 5, 2),
        case="blended",
    ),
    sample(
        None,
        "e ., e i ., e o i, . . -> . o; i|e",
        lambda g, u, d, p: routed(placed(p), g, u, d),
        (3, 4),
        (3, 2, 4),
        (3, 5, 2),
        (6, 4),
        case="of tokens whose positions are cut",
    ),
    sample(
        None,
        "g*e ., g*e i ., g*e o i -> . o; e|g i|g i|e",
        lambda g, u, d: in_groups(TOKENS, g, u, d),
        (6, 4),
        (6, 2, 4),
        (6, 5, 2),
        case="in groups",
    ),
    sample(
        None,
        "e ., e i ., e o i -> . o; i|e",
        lambda g, u, d: second(TOKENS, g, u, d),
        (3, 4),
        (3, 2, 4),
        (3, 5, 2),
        case="one after the other",
    ),
    sample(
        aten.eq.Tensor,
        "e ., e i ., e o i -> . o; i|e",
        lambda g, u, d: dispatched(TOKENS, g, u, d),
        (3, 4),
        (3, 2, 4),
        (3, 5, 2),
        case="one-hot",
        real=lambda g, u, d: dispatched(TOKENS, g, u, d),
    ),
    sample(aten.eq.Tensor, "a b, b -> a b; a|b", torch.eq, (3, 4), (4,)),
    sample(aten.ne.Tensor, "a b, b -> a b; a|b", torch.ne, (3, 4), (4,)),
    sample(aten.sort.default, "a b -> a .; b|a", lambda x: x.sort(-1).values, (3, 4)),
    sample(
        aten.sort.default,
        "a b, b c -> a . c",
        lambda x, w: w[x.sort(-1, descending=True).indices],
        (3, 4),
        (4, 5),
        case="then a look-up",
    ),
    sample(aten.sort.stable, "a b -> . b; a|b", lambda x: x.sort(stable=True, dim=0)[0], (3, 4)),
    sample(aten.max.dim, "a b c -> a c; b|a b|c c|a", lambda x: x.max(1).values, (2, 3, 4), case="the values"),
    sample(aten.max.dim, "a . c -> a c; c|a", lambda x: x.max(1).indices, (2, 3, 4), case="the numbers"),
    sample(aten.min.dim, "a b c, c d -> a b d; b|a", lambda x, w: w[x.min(-1).indices], (2, 3, 4), (4, 5)),
    sample(aten.min.dim, "a . -> a 1, a 1", lambda x: x.min(-1, True), (3, 4), case="kept"),
    sample(aten.median.dim, "a b -> a; b|a", lambda x: x.median(1).values, (3, 4)),
    sample(aten.kthvalue.default, "a b -> a; b|a", lambda x: x.kthvalue(2, 1).values, (3, 4)),
    sample(aten.argmax.default, "a b, b c -> a c", lambda x, w: F.embedding(x.argmax(1), w), (3, 4), (4, 5)),
    sample(aten.argmax.default, ". b c -> b c; c|b", lambda x: x.argmax(0), (2, 3, 4), case="shown"),
    sample(aten.argmax.default, ". . . -> ()", lambda x: x.argmax(), (2, 3, 4), case="of all"),
    sample(
        aten.argmax.default,
        "a, . b -> a b",
        lambda x, w: w[x[:, None].expand(3, 4).argmax(1)],
        (3,),
        (4, 5),
        case="of copies",
    ),
    sample(
        aten.argmin.default,
        "a ., . b -> a b",
        lambda x, w: w[(x * (x > 0).to(x.dtype)).argmin(1)],
        (3, 4),
        (4, 5),
        case="of masked entries",
    ),
    sample(aten.argmin.default, "a b . -> a b 1; b|a", lambda x: x.argmin(-1, True), (2, 3, 4)),
    sample(aten.arange.default, "a . -> a .", lambda x: x + torch.arange(4), (3, 4)),
    sample(aten.arange.default, "a b -> a b", lambda x: x[torch.arange(3)], (3, 4), case="then a look-up"),
    sample(
        aten.arange.default,
        "a b, b c -> a b c; a|b",
        lambda x, w: x[:, :, None] * F.embedding(torch.arange(4), w),
        (3, 4),
        (4, 5),
        case="as positions",
    ),
    sample(aten.arange.start, "a . -> a .", lambda x: x + torch.arange(1, 5), (3, 4)),
    sample(aten.arange.start_step, "a . -> a .", lambda x: x + torch.arange(0, 8, 2), (3, 4)),
    sample(aten.cummax.default, "a . -> a .", lambda x: x.cummax(1).values, (3, 4)),
    sample(aten.cummin.default, ". b -> . b, . b", lambda x: x.cummin(0), (3, 4)),
    sample(aten.bucketize.Tensor, "a b, c -> a b; b|a", lambda x, y: torch.bucketize(x, y.sort().values), (3, 4), (5,)),
    sample(
        aten.searchsorted.Tensor,
        "a c, a b -> a b; b|a c|a",
        lambda x, y: torch.searchsorted(x.sort(-1).values, y),
        (3, 4),
        (3, 5),
    ),
]
