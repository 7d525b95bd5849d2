"""Which permutations may differ for every index of another group, each case against numbers (see `samples`)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.symmetry.samples import Function, Sample, check, derived, sample, spec_with
from weightspace.symmetry import derive

SLOPES = torch.tensor([0.5, 0.25]).double()
OFFSETS = torch.tensor([0.5, 0.25, 2.0]).double()
HEADS = ((8, 4), (8, 4), (8, 4), (5, 8), (3, 4))  # Q, K, V, output and inputs, for two heads of width four


def heads(x: Tensor) -> Tensor:
    """(tokens, heads * width) -> (heads, tokens, width)."""
    return x.view(len(x), 2, -1).transpose(0, 1)


def attention(q: Tensor, k: Tensor, v: Tensor, o: Tensor, x: Tensor, *, slopes: Tensor | None = None) -> Tensor:
    scores = heads(x @ q.T) @ heads(x @ k.T).transpose(1, 2)
    if slopes is not None:
        scores = scores * slopes[:, None, None]
    return (scores.softmax(-1) @ heads(x @ v.T)).transpose(0, 1).reshape(len(x), -1) @ o.T


def shuffled(q: Tensor, k: Tensor, v: Tensor, o: Tensor, x: Tensor) -> Tensor:
    """Attention whose scores, tokens x heads, get numbers that were meant for heads x tokens."""
    scores = heads(x @ q.T) @ heads(x @ k.T).transpose(1, 2)
    scores = (scores.transpose(0, 1).reshape(6, 3) + OFFSETS.repeat(2)[:, None]).view(3, 2, 3).transpose(0, 1)
    return (scores.softmax(-1) @ heads(x @ v.T)).transpose(0, 1).reshape(len(x), -1) @ o.T


def normed(q: Tensor, k: Tensor, scale: Tensor) -> Tensor:
    """Scores with one norm of the width for all heads, as Qwen 3 has it."""
    q, k = (torch.nn.functional.rms_norm(w.view(2, 4, 5), (5,), scale) for w in (q, k))
    return (q * k).sum((0, 2))


CASES = [
    sample(
        None,
        "h*e i, h*e i, h*v i, o h*v, t i -> t o; e|h v|h",
        attention,
        *HEADS,
        case="queries and keys have one basis per head, values and outputs another",
    ),
    sample(
        None,
        ".*e i, .*e i, .*v i, o .*v, t i -> t o",
        lambda *operands: attention(*operands, slopes=SLOPES),
        *HEADS,
        case="heads that are told apart still host their bases",
    ),
    sample(
        None,
        ".*e i, .*e i, .*v i, o .*v, . i -> . o",
        shuffled,
        *HEADS,
        case="heads beside ordered numbers of another structure still host their bases",
    ),
    sample(
        None,
        "h*t e, h*t e, e -> t; h|t",
        normed,
        (8, 5),
        (8, 5),
        (5,),
        case="one norm for all heads ties their bases",
    ),
    sample(
        None,
        "h*d n, d -> h*d n; h|d n|d n|h",
        lambda x, b: x * b.repeat(2)[:, None],
        (6, 4),
        (3,),
        case="a bias that all heads share",
    ),
    sample(
        None,
        "h*d n, h*d -> h*d n; d|h n|h n|d",
        lambda x, b: x * b[:, None] + 0 * x.view(2, 3, 4).sum((1, 2)).repeat_interleave(3)[:, None],
        (6, 4),
        (6,),
        case="a bias each",
    ),
    sample(
        None,
        "k*g*d n, k*g*d n, k*d n -> k g d; d|k g|k g|d n|k n|d",
        lambda q, o, k: torch.einsum("kgdn,kgdn,kdn->kgd", q.view(2, 3, 4, 5), o.view(2, 3, 4, 5), k.view(2, 4, 5)),
        (24, 5),
        (24, 5),
        (8, 5),
        case="three levels",
    ),
    sample(
        None,
        "a g*h g, g*h, g -> a g*h g; a|h",
        lambda t, v, u: t * v[:, None] * u.repeat_interleave(3)[:, None] * u,
        (4, 6, 2),
        (6,),
        (2,),
        case="what depends on h must depend on all that h depends on",
    ),
    sample(
        None,
        "d e*d -> d*e d 1, d*e d e*d",
        lambda x: (x.view(6, 3, 1), x * x.view(6, 3, 1)),
        (3, 6),
        case="a reshape that hands an index from one product to another",
    ),
    sample(
        None,
        "g*b, g b, b -> g b, g*b b",
        lambda x, y, v: (x.view(2, 3) * y * v, x[:, None] * y.repeat_interleave(3, 0)),
        (6,),
        (2, 3),
        (3,),
        case="copies that meet the index that they are copies for",
    ),
    sample(
        None,
        "g*b b ., b -> b g*b 1",
        lambda w, v: F.conv1d(w.transpose(0, 1), w, groups=2) * v[:, None, None],
        (6, 3, 2),
        (3,),
        case="groups beside the same index on both sides of a convolution",
    ),
]


@pytest.mark.parametrize("entry", CASES, ids=lambda entry: entry.case)
def test_independence_per_outer_index(entry: Sample):
    check(entry)


@pytest.mark.parametrize("run", [lambda *operands: attention(*operands, slopes=SLOPES), shuffled])
def test_heads_that_are_told_apart_are_an_ordered_group(run: Callable[..., Tensor]):
    entry = sample(None, "", run, *HEADS)
    spec = derive(Function(entry.run, entry.values).eval(), ())
    (ordered,) = [group for group in spec.all_groups if not group.movable]
    assert ordered.size == 2
    inner = [group for group in spec.groups if group.depends_on]
    assert [(group.size, group.depends_on) for group in inner] == [(4, (ordered.name,))] * 2
    assert {frozen.reason for frozen in spec.frozen if frozen.tensor == "0"} == {"ordered"}


def test_outer_groups_come_first():
    entry = next(case for case in CASES if case.case == "three levels")
    spec = spec_with(derived(entry), {})
    by_size = {group.size: group for group in spec.groups}
    assert by_size[3].depends_on == (by_size[2].name, by_size[4].name)  # queries of a head: per head and width
    assert by_size[4].depends_on == (by_size[2].name,)


def test_every_derivation_lists_dependencies_in_the_same_order():
    entry = sample(None, "", lambda x, y: (x * y).sum(-1), (2, 3, 4, 5), (2, 3, 4, 5))
    found = [spec_with(derived(entry), {}) for _ in range(12)]
    assert any(len(group.depends_on) > 1 for group in found[0].groups)
    assert len({spec.hash for spec in found}) == 1
