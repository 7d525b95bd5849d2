"""Merges by mergekit, in an interpreter that has it: reads cases from a file of tensors, writes what it makes of them.

Run by `test_mergekit.py` as `python mergekit_runner.py CASES.npz RESULTS.npz`. In the first, `cases` is JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch
from mergekit.architecture import WeightInfo  # pyright: ignore[reportMissingImports]
from mergekit.common import ImmutableMap, ModelReference  # pyright: ignore[reportMissingImports]
from mergekit.io.tasks import GatherTensors  # pyright: ignore[reportMissingImports]
from mergekit.merge_methods import REGISTERED_MERGE_METHODS  # pyright: ignore[reportMissingImports]


def merged(method: str, models: list[torch.Tensor], base: torch.Tensor | None, options: dict[str, Any]) -> torch.Tensor:
    """By mergekit's own task."""
    found = REGISTERED_MERGE_METHODS[method]
    names = [ModelReference.model_validate(f"model/{number}") for number in range(len(models))]
    origin = ModelReference.model_validate("model/base")
    tensors = dict(zip(names, models, strict=True))
    if base is not None:
        tensors = {origin: base, **tensors}
    shared = {option.name: options.get(option.name, option.default_value) for option in found.parameters()}
    own = {
        name: ImmutableMap(
            {
                option.name: options[option.name][number] if option.name in options else option.default_value
                for option in found.tensor_parameters()
            }
        )
        for number, name in enumerate(names)
    }
    weight = WeightInfo(name="tensor")
    if base is not None:
        own[origin] = ImmutableMap({option.name: 1.0 for option in found.tensor_parameters()})
    task = found.make_task(
        output_weight=weight,
        tensors=GatherTensors(weight_info=ImmutableMap(dict.fromkeys(tensors, weight))),
        parameters=ImmutableMap(shared),
        tensor_parameters=ImmutableMap(own),
        base_model=None if base is None else origin,
    )
    return task.execute(tensors=dict(tensors))


def main() -> None:
    given, results = np.load(sys.argv[1]), {}
    for number, case in enumerate(json.loads(str(given["cases"]))):
        dtype = getattr(torch, case["dtype"])
        base = torch.from_numpy(given[f"{number}/base"]).to(dtype) if case["base"] else None
        models = [torch.from_numpy(each).to(dtype) for each in given[f"{number}/models"]]
        masks = iter(
            torch.from_numpy(each)
            for each, density in zip(given[f"{number}/uniform"], case["densities"], strict=True)
            if density < 1
        )
        # The only place where mergekit is not left as it is: what it draws.
        torch.bernoulli = lambda likely, masks=masks: (next(masks).reshape(likely.shape) < likely).to(likely.dtype)
        results[str(number)] = merged(case["method"], models, base, case["options"]).float().numpy()
    np.savez(sys.argv[2], **results)


if __name__ == "__main__":
    main()
