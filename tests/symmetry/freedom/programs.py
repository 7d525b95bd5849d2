"""Random small networks: layers, norms, activations, views and in-place writes in every order, read out linearly.

Weights are reused, multiplied from the wrong side, met by themselves; what a freedom may pass and what must stop it
comes up in ways that no architecture shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_weight_norm = torch.ops.aten._weight_norm_interface.default

LARGEST = 600  # entries of a tensor
Parameters = Sequence[Tensor]
Step = Callable[[Parameters, list[Tensor]], "Tensor | tuple[Tensor, ...]"]


@dataclass
class Draw:
    """What a program is drawn from: numbers, and the parameters that it has so far."""

    random: Random
    generator: torch.Generator
    parameters: list[Tensor] = field(default_factory=list)
    positive: set[int] = field(default_factory=set)

    def parameter(self, *shape: int, positive: bool = False) -> int:
        """The number of a parameter of a shape; sometimes of one that is in use already."""
        known = [
            i for i, p in enumerate(self.parameters) if tuple(p.shape) == shape and (i in self.positive) == positive
        ]
        if known and self.random.random() < 0.25:
            return self.random.choice(known)
        value = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        if len(shape) > 1:
            value /= shape[-1] ** 0.5
        if positive:
            value = 0.5 + value.abs()
            self.positive.add(len(self.parameters))
        self.parameters.append(value)
        return len(self.parameters) - 1

    def maybe(self, *shape: int) -> int | None:
        return self.parameter(*shape) if self.random.random() < 0.6 else None

    def dim(self, x: Tensor) -> int:
        return self.random.randrange(x.dim())

    def divisor(self, n: int) -> int:
        return self.random.choice([k for k in range(1, n + 1) if n % k == 0])


def _of(parameters: Parameters, number: int | None) -> Tensor | None:
    return None if number is None else parameters[number]


# ------------------------------------------------------------------------- steps with parameters of their own


def linear(draw: Draw, x: Tensor) -> Step:
    width = draw.random.choice([2, 3, 4, 6])
    weight, bias = draw.parameter(width, x.shape[-1]), draw.maybe(width)
    return lambda p, t: F.linear(t[0], p[weight], _of(p, bias))


def from_the_left(draw: Draw, x: Tensor) -> Step:
    weight = draw.parameter(draw.random.choice([2, 4, 6]), x.shape[-2])
    return lambda p, t: p[weight] @ t[0]


def transposed(draw: Draw, x: Tensor) -> Step:
    weight = draw.parameter(x.shape[-1], draw.random.choice([2, 4, 6]))
    return lambda p, t: t[0] @ p[weight]


def scaled_sum(draw: Draw, x: Tensor) -> Step:
    width = draw.random.choice([2, 4])
    weight, bias = draw.parameter(x.shape[-1], width), draw.parameter(width)
    beta, alpha = draw.random.choice([(1, 2), (0.5, 1), (1, 1)])
    return lambda p, t: torch.addmm(p[bias], t[0].flatten(0, -2), p[weight], beta=beta, alpha=alpha)


def two_weights(draw: Draw, x: Tensor) -> Step:
    weights = [draw.parameter(4, x.shape[-1]) for _ in range(2)]
    how = draw.random.choice(["stack", "cat", "add", "mul"])

    def run(p: Parameters, t: list[Tensor]) -> Tensor:
        a, b = (p[w] for w in weights)
        if how == "stack":
            return t[0].flatten(0, -2).expand(2, -1, -1) @ torch.stack([a, b]).mT
        return t[0] @ {"cat": lambda: torch.cat([a, b]), "add": lambda: a + b, "mul": lambda: a * b}[how]().T

    return run


def convolution(draw: Draw, x: Tensor) -> Step:
    channels, rank = x.shape[1], x.dim() - 2
    groups = draw.divisor(channels)
    width = groups * draw.random.choice([1, 2])
    kernel = draw.random.choice([1, 2])
    weight, bias = draw.parameter(width, channels // groups, *[kernel] * rank), draw.maybe(width)
    convolve = (F.conv1d, F.conv2d)[rank - 1]
    return lambda p, t: convolve(t[0], p[weight], _of(p, bias), groups=groups)


def batch_norm(draw: Draw, x: Tensor) -> Step:
    n = x.shape[1]
    mean, spread = draw.parameter(n), draw.parameter(n, positive=True)
    scale, shift = draw.maybe(n), draw.maybe(n)
    eps = draw.random.choice([1e-5, 1e-5, 0.1])
    return lambda p, t: F.batch_norm(t[0], p[mean], p[spread], _of(p, scale), _of(p, shift), eps=eps)


def layer_norm(draw: Draw, x: Tensor) -> Step:
    shape = x.shape[-draw.random.choice([1, 1, 1, 2]) :]
    scale, shift = draw.maybe(*shape), draw.maybe(*shape)
    return lambda p, t: F.layer_norm(t[0], shape, _of(p, scale), _of(p, shift), eps=0.1)


def rms_norm(draw: Draw, x: Tensor) -> Step:
    n = x.shape[-1]
    scale, shift = draw.maybe(n), draw.parameter(n) if draw.random.random() < 0.2 else None
    by_hand = draw.random.random() < 0.5

    def run(p: Parameters, t: list[Tensor]) -> Tensor:
        if by_hand:
            y = t[0] * torch.rsqrt(t[0].pow(2).mean(-1, keepdim=True) + 0.1)
            y = y if scale is None else p[scale] * y
            return y if shift is None else y + p[shift]
        return F.rms_norm(t[0], (n,), _of(p, scale), eps=0.1)

    return run


def group_norm(draw: Draw, x: Tensor) -> Step:
    n = x.shape[1]
    groups, scale, shift = draw.divisor(n), draw.maybe(n), draw.maybe(n)
    return lambda p, t: F.group_norm(t[0], groups, _of(p, scale), _of(p, shift), eps=0.1)


def prelu(draw: Draw, x: Tensor) -> Step:
    slope = draw.parameter(x.shape[1])
    return lambda p, t: F.prelu(t[0], p[slope])


def met_by_parameter(draw: Draw, x: Tensor) -> Step:
    shape = x.shape[draw.random.randrange(x.dim()) :]
    other = draw.parameter(*(n if draw.random.random() < 0.8 else 1 for n in shape))
    function = draw.random.choice([torch.add, torch.mul, torch.mul, torch.sub, torch.maximum])
    return lambda p, t: function(t[0], p[other])


def weight_norm(draw: Draw, x: Tensor) -> Step:
    v, g = draw.parameter(4, x.shape[-1]), draw.parameter(4, 1)
    return lambda p, t: F.linear(t[0], _weight_norm(p[v], p[g], 0)[0])


def table(draw: Draw, x: Tensor) -> Step:
    rows = draw.parameter(3, draw.random.choice([2, 4]))
    length = draw.random.choice([2, 4])
    return lambda p, t: F.embedding(torch.zeros(length, dtype=torch.long), p[rows])


def learned(draw: Draw, x: Tensor) -> Step:
    tokens = draw.parameter(draw.random.choice([2, 4, 6]), x.shape[-1])
    return lambda p, t: p[tokens] * 1.0 if tokens % 2 else p[tokens].clone()


def attention(draw: Draw, x: Tensor) -> Step:
    n = x.shape[-1]
    heads, size = draw.random.choice([(2, 2), (4, 2), (1, 3)])
    shared = draw.divisor(heads)
    names = [(draw.parameter(k * size, n), draw.maybe(k * size)) for k in (heads, shared, shared)]
    fused, causal = draw.random.random() < 0.5, draw.random.random() < 0.3
    normed = draw.parameter(size) if draw.random.random() < 0.2 else None

    def run(p: Parameters, t: list[Tensor]) -> Tensor:
        x = t[0] if t[0].dim() == 3 else t[0][None]
        q, k, v = (F.linear(x, p[w], _of(p, b)).unflatten(-1, (-1, size)).transpose(1, 2) for w, b in names)
        if normed is not None:
            q = F.rms_norm(q, (size,), p[normed])
        k, v = (y.repeat_interleave(heads // shared, 1) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal) if fused else (q @ k.mT).softmax(-1) @ v
        return y.transpose(1, 2).flatten(2)

    return run


# ------------------------------------------------------------------------------- steps without parameters


def unary(draw: Draw, x: Tensor) -> Step:
    function = draw.random.choice(POINTWISE)
    return lambda p, t: function(t[0])


def unary_in_place(draw: Draw, x: Tensor) -> Step:
    function = draw.random.choice([torch.relu_, torch.tanh_, torch.neg_, torch.abs_, torch.sin_, lambda y: y.mul_(2.0)])
    dim, keep = draw.dim(x), draw.random.random() < 0.5

    def run(p: Parameters, t: list[Tensor]) -> Tensor:
        y = t[0].clone()
        view = y.narrow(dim, 0, max(1, y.shape[dim] // 2)) if keep else y.transpose(0, dim)
        before = y.flatten()
        function(view)
        return before.reshape(y.shape) if keep else y

    return run


def gathered(draw: Draw, x: Tensor) -> Step:
    dim = draw.dim(x)
    half = x.shape[dim] // 2
    made = draw.random.choice([torch.zeros_like, torch.empty_like, torch.ones_like])

    def run(p: Parameters, t: list[Tensor]) -> Tensor:
        storage = made(t[0])
        storage.narrow(dim, 0, half).copy_(t[0].narrow(dim, half, half))
        storage.narrow(dim, half, x.shape[dim] - half).add_(0.0).copy_(t[0].narrow(dim, 0, x.shape[dim] - half))
        return storage

    return run


def filled(draw: Draw, x: Tensor) -> Step:
    dim = draw.dim(x)
    start = draw.random.randrange(x.shape[dim])

    def run(p: Parameters, t: list[Tensor]) -> Tensor:
        storage = torch.zeros_like(t[0])
        storage.narrow(dim, start, 1).add_(t[0].narrow(dim, 0, 1))
        return storage

    return run


def masked(draw: Draw, x: Tensor) -> Step:
    mask = torch.rand(x.shape[draw.dim(x) :], generator=draw.generator) < 0.5
    how = draw.random.choice(["fill", "where", "where zero", "add", "copy", "one"])

    def run(p: Parameters, t: list[Tensor]) -> Tensor:
        match how:
            case "fill":
                return t[0].masked_fill(mask, 0.0)
            case "where":
                return torch.where(mask, t[0], -2.0 * t[0])
            case "where zero":
                return torch.where(mask, t[0], 0.0)
            case "add":
                return t[0] + mask
            case "copy":
                return torch.zeros_like(t[0]).copy_(mask) + t[0]
            case _:
                return torch.where(mask, t[0], 1.0)

    return run


def regrouped(draw: Draw, x: Tensor) -> Step:
    dim = draw.dim(x)
    size, dims = draw.divisor(x.shape[dim]), draw.random.sample(range(x.dim()), x.dim())
    shape = (draw.divisor(x.numel()), -1)
    function = draw.random.choice([
        lambda x: x.unflatten(dim, (size, -1)),
        lambda x: x.flatten(dim, min(dim + 1, x.dim() - 1)),
        lambda x: x.permute(dims),
        lambda x: x.permute(dims),
        lambda x: x.reshape(shape),
        lambda x: x.unsqueeze(dim),
    ])  # fmt: skip
    return lambda p, t: function(t[0])


def parts(draw: Draw, x: Tensor) -> Step:
    dim, k = draw.dim(x), draw.random.choice([1, 2])
    function = draw.random.choice([
        lambda x: x.chunk(2, dim), lambda x: x.chunk(2, dim), lambda x: x.select(dim, 0), lambda x: x.unbind(dim),
        lambda x: x.narrow(dim, 0, x.shape[dim] // 2), lambda x: torch.cat([x, x.tanh()], dim),
        lambda x: F.pad(x, (k, 3 - k)), lambda x: F.pad(x, (0, 0) * (x.dim() - 1 - dim) + (0, 2)),
        lambda x: x.repeat_interleave(2, dim), lambda x: x.unsqueeze(dim).expand(*x.shape[:dim], 2, *x.shape[dim:]),
        lambda x: x.repeat(2, *[1] * (x.dim() - 1)), lambda x: F.glu(x, dim), lambda x: torch.stack([x, x * 2], dim),
    ])  # fmt: skip
    return lambda p, t: function(t[0])


def reduced(draw: Draw, x: Tensor) -> Step:
    dim, keep = draw.dim(x), draw.random.random() < 0.3
    function = draw.random.choice([
        lambda x: x.mean(dim, keepdim=keep), lambda x: x.sum(dim, keepdim=keep), lambda x: x.amax(dim, keepdim=keep),
        lambda x: x.square().sum(dim, keepdim=keep), lambda x: (x * x).mean(dim, keepdim=keep),
        lambda x: x - x.mean(dim, keepdim=True), lambda x: x.softmax(dim),
        lambda x: x / (x.norm(dim=dim, keepdim=True) + 0.5), lambda x: x.cumsum(dim),
        lambda x: F.avg_pool1d(x, 2), lambda x: F.max_pool1d(x, 2), lambda x: x.square().narrow(-1, 0, 1).sum(-1),
        lambda x: F.interpolate(x, scale_factor=2), lambda x: x.square().unflatten(-1, (-1, 2)).sum(-1),
    ])  # fmt: skip
    return lambda p, t: function(t[0])


POINTWISE: list[Callable[[Tensor], Tensor]] = [
    torch.relu, torch.relu, torch.tanh, torch.sin, F.gelu, torch.abs, torch.cos, torch.square, torch.sigmoid, torch.neg,
    lambda x: F.leaky_relu(x, 0.3), lambda x: x * x, lambda x: 2.0 * x, lambda x: x + 1.0, lambda x: 1.0 - x,
    lambda x: x.clamp(min=0), lambda x: x.clamp(-0.5, 0.5), lambda x: x.clamp(max=0), lambda x: x.clamp(-0.5, 1.0),
    lambda x: x.pow(3), lambda x: x.abs().sqrt(), lambda x: 1 / (x.abs() + 0.5), F.softsign, F.hardtanh, F.relu6,
    lambda x: x.abs().pow(1.5), F.silu, lambda x: x.pow(0) + x, lambda x: x / 3.0, torch.erf, F.softshrink,
    lambda x: x * (x > 0), lambda x: torch.where(x > 0, x, 0.1 * x), lambda x: x.reciprocal().clamp(-2, 2),
]  # fmt: skip
BINARY: list[Callable[[Tensor, Tensor], Tensor]] = [
    torch.add, torch.add, torch.add, torch.mul, torch.mul, torch.sub, torch.maximum, torch.matmul,
    lambda x, y: x / (y.abs() + 0.5), lambda x, y: x / (y.square() + 0.1),
    lambda x, y: torch.cat([x, y], -1), lambda x, y: torch.cat([x, y]), lambda x, y: torch.stack([x, y], -1),
    lambda x, y: x @ y.mT, lambda x, y: torch.einsum("...i,...i->...", x, y), lambda x, y: (x @ y.mT).softmax(-1) @ y,
    lambda x, y: x * y.sigmoid(), lambda x, y: F.pad(x, (1, y.shape[-1] - x.shape[-1] - 1)) + y,
    lambda x, y: x.mul_(2.0) + y, lambda x, y: x.clone().add_(y),
]  # fmt: skip
LAYERS = [linear, linear, linear, linear, from_the_left, transposed, scaled_sum, two_weights, convolution, convolution,
          batch_norm, batch_norm, layer_norm, rms_norm, group_norm, prelu, met_by_parameter, met_by_parameter,
          weight_norm, table, learned, attention, attention]  # fmt: skip
SHAPES = [unary, unary, unary, unary_in_place, gathered, filled, masked, regrouped, regrouped, parts, parts, reduced]


class RandomNetwork(nn.Module):
    """A program with its parameters."""

    def __init__(self, steps: list[tuple[Step, tuple[int, ...]]], shown: list[int], draw: Draw) -> None:
        super().__init__()
        self.steps, self.shown = steps, shown
        for number, value in enumerate(draw.parameters):
            self.register_parameter(str(number), nn.Parameter(value, requires_grad=False))

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        parameters, pool = [*self.parameters()], [*inputs]
        for step, chosen in self.steps:
            # A step may write in place what it alone made.
            found = step(parameters, [pool[i] for i in chosen])
            pool.extend(found if isinstance(found, tuple) else (found,))
        readers = parameters[len(parameters) - sum(pool[i].dim() for i in self.shown) :]
        results = []
        for i in self.shown:
            y = pool[i]
            for _ in y.shape:  # every dimension is read by a matrix
                y = torch.einsum("a...,ra->...r", y, readers.pop(0))
            results.append(y)
        return results


def network(seed: int) -> tuple[RandomNetwork, tuple[Tensor, ...]]:
    """A random network with its inputs: steps are tried on values, and those that do not fit are left out."""
    draw = Draw(Random(seed), torch.Generator().manual_seed(seed))
    random = draw.random
    shape = random.choice([(2, 4), (2, 3, 4), (2, 4, 4), (1, 4, 3, 2)])
    inputs = (torch.randn(shape, generator=draw.generator, dtype=torch.float64),)
    pool, steps = list(inputs), list[tuple[Step, tuple[int, ...]]]()
    length = random.randint(3, 12)
    for _ in range(80):
        if len(steps) == length:
            break
        chosen = (max(random.randrange(len(pool)) for _ in range(3)), random.randrange(len(pool)))
        kind = random.random()
        x = pool[chosen[0]]
        known = len(draw.parameters)
        try:
            if kind < 0.2:
                function = random.choice(BINARY)
                step: Step = lambda p, t, function=function: function(t[0], t[1])  # noqa: E731
            else:
                chosen = chosen[:1]
                step = random.choice(LAYERS if kind < 0.6 else SHAPES)(draw, x)
            found = step(draw.parameters, [pool[i].clone() for i in chosen])
            results = found if isinstance(found, tuple) else (found,)
            fits = all(0 < y.numel() <= LARGEST and 0 < y.dim() <= 4 and y.isfinite().all() for y in results)
        except (RuntimeError, ValueError, IndexError, ZeroDivisionError):
            fits = False
        if not fits:
            del draw.parameters[known:]
            draw.positive -= set(range(known, known + 20))
            continue
        steps.append((step, chosen))
        pool.extend(results)
    shown = sorted({len(pool) - 1, max(random.randrange(len(pool)) for _ in range(2))})
    for i in shown:
        for n in pool[i].shape:
            draw.parameters.append(torch.randn(2, n, generator=draw.generator, dtype=torch.float64))
    module = RandomNetwork(steps, shown, draw).eval()
    try:
        module(*(x.clone() for x in inputs))
    except RuntimeError:  # what was tried on copies is no such thing in place
        return network(seed + 1_000_003)
    return module, inputs
