"""Merge methods word by word, on whole tensors in float64: what the streamed ones are held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Options = Mapping[str, Any]
Oracle = Callable[[Sequence[Tensor], Tensor, Options, Sequence[Tensor]], Tensor]


def expected(
    method: str, tensors: Sequence[Tensor], base: Tensor, options: Options, uniform: Sequence[Tensor]
) -> Tensor:
    """What a method gives.

    Args:
        method: Its name.
        tensors: Of the models.
        base: Of the base.
        options: All of them; those of models a sequence.
        uniform: Of every model numbers from 0 to 1; masks are true where they are below the probability.
    """
    models = [tensor.double() for tensor in tensors]
    return ORACLES[method](models, base.double(), options, uniform)


def linear(models: Sequence[Tensor], base: Tensor, options: Options, _: Any) -> Tensor:
    merged = torch.zeros_like(base)
    for model, weight in zip(models, options["weight"], strict=True):
        merged += weight * model
    return merged / (sum(options["weight"]) if options["normalize"] else 1.0)


def arc(one: Tensor, two: Tensor, t: float, colinear: Callable[[float], bool]) -> Tensor:
    cosine = 0.0
    if one.norm() > 0 and two.norm() > 0:
        cosine = max(-1.0, min(1.0, float((one / one.norm() * (two / two.norm())).sum())))
    if colinear(cosine):
        return (1 - t) * one + t * two
    angle = math.acos(cosine)
    return math.sin((1 - t) * angle) / math.sin(angle) * one + math.sin(t * angle) / math.sin(angle) * two


def slerp(models: Sequence[Tensor], base: Tensor, options: Options, _: Any) -> Tensor:
    return arc(base, models[0], options["t"], lambda cosine: abs(cosine) > 0.9995)


def nuslerp(models: Sequence[Tensor], base: Tensor, options: Options, _: Any) -> Tensor:
    one, two = (model - base for model in models)
    first, second = options["weight"]

    def between(one: Tensor, two: Tensor) -> Tensor:
        return arc(one, two, second / (first + second), lambda cosine: math.sin(math.acos(cosine)) < 1e-8)

    if options["nuslerp_flatten"] or base.dim() == 1:
        return base + between(one, two)
    one, two = one.flatten(1), two.flatten(1)
    if options["nuslerp_row_wise"] and len(one) > 1:
        one, two = one.T, two.T
    merged = torch.stack([between(left, right) for left, right in zip(one, two, strict=True)])
    if options["nuslerp_row_wise"] and len(base) > 1:
        merged = merged.T
    return base + merged.reshape(base.shape)


def nlerp(models: Sequence[Tensor], base: Tensor, options: Options, _: Any) -> Tensor:
    shares = [weight / sum(options["weight"]) for weight in options["weight"]]
    mean = sum((share * model for share, model in zip(shares, models, strict=True)), torch.zeros_like(base))
    length = sum(share * model.norm() for share, model in zip(shares, models, strict=True))
    return mean * length / mean.norm() if mean.norm() > 0 else mean


def multislerp(models: Sequence[Tensor], base: Tensor, options: Options, _: Any) -> Tensor:
    """With the step along the sphere, which the method leaves out as it is zero."""
    deltas = [model - base for model in models]
    total = sum(options["weight"]) if options["normalize_weights"] else 1.0
    weights = [weight / total for weight in options["weight"]]
    units = [delta / (delta.norm() + options["eps"]) for delta in deltas]
    mean = sum((weight * unit for weight, unit in zip(weights, units, strict=True)), torch.zeros_like(base))
    if mean.norm() < options["eps"]:
        return base + sum(
            (weight * delta for weight, delta in zip(weights, deltas, strict=True)), torch.zeros_like(base)
        )
    mean = mean / mean.norm()
    tangent = torch.zeros_like(base)
    for weight, unit in zip(weights, units, strict=True):
        tangent += weight * (unit - (unit * mean).sum() * mean)
    size = tangent.norm()
    point = torch.cos(size) * mean + (torch.sin(size) / size * tangent if size > 0 else 0.0)
    return base + point * sum(weight * delta.norm() for weight, delta in zip(weights, deltas, strict=True))


def karcher(models: Sequence[Tensor], base: Tensor, options: Options, _: Any) -> Tensor:
    units = [model / model.norm() for model in models if model.norm() > 0]
    if not units:
        return torch.zeros_like(base)
    mean = sum(units, torch.zeros_like(base)) / len(units)
    mean = units[0] if mean.norm() < options["tol"] else mean / mean.norm()
    for _step in range(int(options["max_iter"])):
        step = torch.zeros_like(base)
        for unit in units:
            cosine = float((mean * unit).sum().clamp(-1, 1))
            if options["tol"] <= math.acos(cosine) < math.pi - 1e-9:
                step += math.acos(cosine) / math.sin(math.acos(cosine)) * (unit - cosine * mean) / len(units)
        if step.norm() < options["tol"]:
            break
        mean = torch.cos(step.norm()) * mean + torch.sin(step.norm()) * step / step.norm()
        mean = mean / mean.norm()
    return mean * sum(model.norm() for model in models) / len(models)


def model_stock(models: Sequence[Tensor], base: Tensor, options: Options, _: Any) -> Tensor:
    rows = base.flatten(1) if options["filter_wise"] and base.dim() > 1 else base.reshape(1, -1)
    merged = []
    for at, row in enumerate(rows):
        deltas = [model.reshape(rows.shape)[at] - row for model in models]
        pairs = [
            float(one @ two / (one.norm() * two.norm())) if one.norm() * two.norm() > 0 else 0.0
            for number, one in enumerate(deltas)
            for two in deltas[number + 1 :]
        ]
        cosine, n = sum(pairs) / len(pairs), len(models)
        below = 1 + (n - 1) * cosine
        t = n * cosine / below if abs(below) > 1e-9 else 0.0
        merged.append(row + t * torch.stack(deltas).mean(0))
    return torch.stack(merged).reshape(base.shape)


def largest(scores: Tensor, count: int) -> Tensor:
    order = sorted(range(scores.numel()), key=lambda at: (-float(scores.reshape(-1)[at]), at))
    kept = torch.zeros(scores.numel(), dtype=torch.bool)
    kept[order[:count]] = True
    return kept.reshape(scores.shape)


def magnitude(delta: Tensor, density: float, _: Options, __: int, ___: Tensor) -> Tensor:
    return largest(delta.float().abs(), int(density * delta.numel()))


def middle(delta: Tensor, density: float, options: Options, model: int, _: Tensor) -> Tensor:
    size = delta.numel()
    kept, dropped = int(density * size), int(options["gamma"][model] * size)
    dropped = min(dropped, size - kept)
    scores = delta.float().abs()
    return largest(scores, dropped + kept) & ~largest(scores, dropped)


def random(delta: Tensor, density: float, _: Options, __: int, uniform: Tensor) -> Tensor:
    return uniform < torch.full_like(uniform, density)


def by_rank(delta: Tensor, density: float, options: Options, model: int, uniform: Tensor) -> Tensor:
    epsilon = options["epsilon"][model]
    rows = delta.float().flatten(1) if delta.dim() > 1 else delta.float().reshape(1, -1)
    likely = torch.full(rows.shape, density)
    for at, row in enumerate(rows.abs().tolist()):
        order = sorted(range(len(row)), key=lambda column, row=row: (row[column], column))
        for rank, column in enumerate(order):
            if len(row) > 1:
                likely[at, column] = density - epsilon + 2 * epsilon * rank / (len(row) - 1)
    return uniform < likely.reshape(delta.shape)


def of_task_vectors(keeps: Callable[..., Tensor] | None, *, elect: bool) -> Oracle:
    def merged(models: Sequence[Tensor], base: Tensor, options: Options, uniform: Sequence[Tensor]) -> Tensor:
        vectors = []
        for number, model in enumerate(models):
            delta = model - base
            density = options["density"][number] if keeps is not None else 1.0
            if keeps is not None and density < 1:
                sparse = torch.where(keeps(delta, density, options, number, uniform[number]), delta, 0.0)
                if options["rescale"] and sparse.abs().sum() > 0:
                    sparse = sparse * delta.abs().sum() / sparse.abs().sum()
                delta = sparse
            vectors.append(options["weight"][number] * delta)
        stacked, weights = torch.stack(vectors), torch.tensor(options["weight"], dtype=torch.float64)
        weights = weights.reshape(-1, *[1] * base.dim()).expand(stacked.shape)
        if elect:
            agree = torch.where(stacked.sum(0) >= 0, stacked > 0, stacked < 0)
            stacked, weights = stacked * agree, weights * agree
        divisor = weights.sum(0)
        mixed = stacked.sum(0)
        if options["normalize"]:
            mixed = torch.where(divisor == 0, mixed, mixed / torch.where(divisor == 0, 1.0, divisor))
        return base + options["lambda"] * mixed

    return merged


def sce(models: Sequence[Tensor], base: Tensor, options: Options, _: Any) -> Tensor:
    deltas = torch.stack([model - base for model in models])
    if options["select_topk"] < 1:
        variance = deltas.var(0, correction=0).float()
        variance[(deltas == deltas[0]).all(0)] = 0
        count = int(options["select_topk"] * int((variance != 0).sum()))
        deltas = deltas * largest(variance, count)
    energy = deltas.square().flatten(1).sum(1)
    shares = energy / energy.sum() if energy.sum() > 0 else torch.full_like(energy, 1 / len(models))
    agree = torch.where(deltas.sum(0) >= 0, deltas > 0, deltas < 0)
    weights = agree * shares.reshape(-1, *[1] * base.dim())
    divisor = weights.sum(0)
    return base + (weights * deltas).sum(0) / torch.where(divisor == 0, 1.0, divisor)


def consensus(models: Sequence[Tensor], base: Tensor, options: Options, _: Any) -> Tensor:
    deltas = [model - base for model in models]
    total = sum(deltas, torch.zeros_like(base))
    users = torch.zeros_like(base)
    for delta, threshold in zip(deltas, options["tall_lambda"], strict=True):
        users += delta.abs() >= threshold * (total - delta).abs()
    return base + options["lambda"] * torch.where(users >= options["consensus"], total, 0.0)


def nearswap(models: Sequence[Tensor], base: Tensor, options: Options, _: Any) -> Tensor:
    apart = (base - models[0]).abs()
    share = torch.where(apart > 0, options["t"] / apart, 1.0).clamp(0, 1)
    return share * models[0] + (1 - share) * base


def passthrough(models: Sequence[Tensor], base: Tensor, options: Options, _: Any) -> Tensor:
    return models[0] * options["scale"][0]


ORACLES: dict[str, Oracle] = {
    "linear": linear,
    "slerp": slerp,
    "nuslerp": nuslerp,
    "nlerp": nlerp,
    "multislerp": multislerp,
    "karcher": karcher,
    "model_stock": model_stock,
    "task_arithmetic": of_task_vectors(None, elect=False),
    "ties": of_task_vectors(magnitude, elect=True),
    "dare_linear": of_task_vectors(random, elect=False),
    "dare_ties": of_task_vectors(random, elect=True),
    "della": of_task_vectors(by_rank, elect=True),
    "della_linear": of_task_vectors(by_rank, elect=False),
    "breadcrumbs": of_task_vectors(middle, elect=False),
    "breadcrumbs_ties": of_task_vectors(middle, elect=True),
    "sce": sce,
    "consensus": consensus,
    "nearswap": nearswap,
    "passthrough": passthrough,
}
