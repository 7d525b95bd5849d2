"""Options to try of every merge method, tensors to try them on, and masks that are the same for all who draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from weightspace.merge.methods import MERGE_METHODS, Chunk, Draw, MergeMethod, known_merge_method
from weightspace.merge.methods.run import columns_of

Options = Mapping[str, Any]

_SPARSE: list[Options] = [
    {},
    {"density": 0.5},
    {"density": 0.3, "rescale": True, "normalize": True, "weight": [0.5, 1.0, 0.25]},
    {"density": [0.9, 1.0, 0.5], "rescale": False, "normalize": False, "lambda": 0.7, "weight": [1.0, -0.5, 2.0]},
]
_BREADCRUMBS: list[Options] = [*_SPARSE, {"density": 0.6, "gamma": 0.2}, {"density": 0.6, "gamma": [0.0, 0.5, 1.0]}]
_DELLA: list[Options] = [
    {"density": 0.5},
    {"density": 0.5, "epsilon": [0.1, 0.0, 0.4], "weight": [0.5, 1.0, 0.25]},
    {"density": [0.7, 1.0, 0.6], "rescale": False, "normalize": True, "lambda": 1.3},
]

OPTIONS: dict[str, list[Options]] = {
    "linear": [{}, {"weight": [0.5, 1.0, -0.25]}, {"weight": [0.5, 1.0, 2.0], "normalize": False}],
    "slerp": [{}, {"t": 0.0}, {"t": 0.3}, {"t": 1.0}],
    "nuslerp": [
        {},
        {"weight": [0.2, 0.6]},
        {"weight": [0.2, 0.6], "nuslerp_flatten": False},
        {"weight": [2.0, 1.0], "nuslerp_flatten": False, "nuslerp_row_wise": True},
    ],
    "nlerp": [{}, {"weight": [0.2, 0.0, 1.0]}],
    "multislerp": [{}, {"weight": [0.2, 0.5, 1.0]}, {"weight": [0.2, 0.3, 0.1], "normalize_weights": False}],
    "karcher": [{}, {"max_iter": 1}, {"max_iter": 100, "tol": 1e-9}],
    "model_stock": [{}, {"filter_wise": True}],
    "task_arithmetic": [
        {},
        {"weight": [0.3, -0.2, 0.7], "lambda": 0.5},
        {"weight": [0.3, -0.2, 0.7], "normalize": True},
    ],
    "ties": _SPARSE,
    "dare_linear": _SPARSE,
    "dare_ties": _SPARSE,
    "della": _DELLA,
    "della_linear": _DELLA,
    "breadcrumbs": _BREADCRUMBS,
    "breadcrumbs_ties": _BREADCRUMBS,
    "sce": [{}, {"select_topk": 0.5}, {"select_topk": 0.05}],
    "consensus": [{}, {"tall_lambda": [0.2, 0.5, 0.9], "consensus": 3, "lambda": 0.8}, {"consensus": 1}],
    "nearswap": [{"t": 0.05}, {"t": 0.0}, {"t": 10.0}],
    "passthrough": [{}, {"scale": 0.5}],
}

SHAPES = [(1,), (6,), (1, 5), (5, 1), (9, 7), (3, 2, 2, 3)]

CASES = [(method, options) for method in MERGE_METHODS for options in OPTIONS[method]]


def count(method: str) -> int:
    """How many models to try a method with: three, if it takes so many."""
    return known_merge_method(method).models[1] or 3


def takes_base(method: str) -> bool:
    return known_merge_method(method).base != "none"


def filled(method: str, options: Options) -> dict[str, Any]:
    """All options of a method, those of models as sequences."""
    found: dict[str, Any] = {}
    for option in known_merge_method(method).options:
        value = options.get(option.name, option.default)
        if option.per_model:
            value = list(value) if isinstance(value, list) else [float(value)] * count(method)
        found[option.name] = value
    return found


def normal(models: int, shape: Sequence[int], seed: int = 0, *, far: float = 0.3) -> tuple[list[Tensor], Tensor]:
    """Models around a base."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(*shape, generator=generator)
    return [base + far * torch.randn(*shape, generator=generator) for _ in range(models)], base


def on_grid(models: int, shape: Sequence[int], seed: int = 0) -> tuple[list[Tensor], Tensor]:
    """Models around a base, all sixteenths that bfloat16 holds, as their differences are: many are equal, some 0."""
    generator = torch.Generator().manual_seed(seed)
    numbers = [torch.randint(-16, 17, tuple(shape), generator=generator) / 16 for _ in range(models + 1)]
    return numbers[1:], numbers[0]


def drawn(uniform: Sequence[Tensor], method: MergeMethod, chunk: int) -> Draw:
    """Masks that are true where numbers are below the probability, whatever the chunks."""

    def draw(piece: Chunk, model: int, probabilities: Tensor) -> Tensor:
        shape = uniform[model].shape
        rows = uniform[model].reshape(-1, *probabilities.shape[1:])
        start = piece.number * max(1, chunk // columns_of(method, shape))
        return rows[start : start + len(probabilities)] < probabilities

    return draw


def uniforms(models: int, shape: Sequence[int], seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed + 1)
    return [torch.rand(*shape, generator=generator) for _ in range(models)]
