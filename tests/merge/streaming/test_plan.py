"""Plans: which tensor is merged from which, with which options; every mistake before any work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.merge.streaming.llama import State, llama
from weightspace.checkpoint import TensorInfo
from weightspace.errors import MergeError
from weightspace.merge.recipe import recipe_of
from weightspace.merge.streaming import Plan, layers_of, plan_merge


class Held:
    """Weights in memory, as a plan takes them."""

    def __init__(self, state: State, aliases: dict[str, str] | None = None) -> None:
        self.state, self._aliases = state, aliases or {}

    def __iter__(self) -> Iterator[str]:
        return iter(self.state)

    def __contains__(self, name: object) -> bool:
        return name in self.state

    def info(self, name: str) -> TensorInfo:
        return TensorInfo(tuple(self.state[name].shape), self.state[name].dtype)

    def piece(self, name: str, start: int, stop: int) -> Tensor:
        return self.state[name].reshape(-1)[start:stop]

    def aliases(self) -> dict[str, str]:
        return self._aliases


def models() -> dict[str, Held]:
    return {name: Held(llama(seed)) for seed, name in enumerate(("zero", "one", "two"))}


def planned(**fields: Any) -> Plan:
    content = {"merge_method": "linear", "models": [{"model": "one"}, {"model": "two"}], **fields}
    return plan_merge(recipe_of({key: value for key, value in content.items() if value is not None}, "test"), models())


def weights(plan: Plan, name: str) -> tuple[float, ...]:
    task = next(task for task in plan.tasks if task.name == name)
    assert task.settings is not None
    return task.settings.of_models("weight")


def test_every_tensor_comes_from_its_namesakes() -> None:
    plan = planned()
    assert [task.name for task in plan.tasks] == list(llama(0))
    for task in plan.tasks:
        assert task.sources == (("one", task.name), ("two", task.name))
        assert task.base is None
    assert not plan.layers


def test_gradients_run_over_the_layers() -> None:
    plan = planned(models=[{"model": "one", "parameters": {"weight": [0, 3]}}, {"model": "two"}])
    name = "model.layers.{}.mlp.up_proj.weight"
    assert [weights(plan, name.format(at))[0] for at in range(4)] == [0, 1, 2, 3]
    assert weights(plan, "model.norm.weight") == (0, 1)


def test_the_nearest_setting_counts() -> None:
    plan = planned(
        models=[{"model": "one", "parameters": {"weight": [{"filter": "mlp", "value": 7}]}}, {"model": "two"}],
        parameters={"weight": 2},
    )
    assert weights(plan, "model.layers.1.mlp.up_proj.weight") == (7, 2)
    assert weights(plan, "model.norm.weight") == (2, 2)


def test_slices_are_numbered_anew() -> None:
    slices = [
        {"sources": [{"model": "one", "layer_range": [0, 3]}, {"model": "two", "layer_range": [1, 4]}]},
        {"sources": [{"model": "two", "layer_range": [2, 4]}, {"model": "one", "layer_range": [2, 4]}]},
    ]
    plan = planned(models=None, slices=slices)
    assert plan.layers == {"model.layers": (0, 1, 2, 2, 3)}
    task = next(task for task in plan.tasks if task.name == "model.layers.4.mlp.up_proj.weight")
    assert task.sources == (
        ("two", "model.layers.3.mlp.up_proj.weight"), ("one", "model.layers.3.mlp.up_proj.weight"),
    )  # fmt: skip
    assert len(plan.tasks) == len(llama(0)) + 9
    outside = {task.name: task.sources[0][0] for task in plan.tasks if "layers" not in task.name}
    assert outside == {"model.embed_tokens.weight": "one", "model.norm.weight": "two", "lm_head.weight": "two"}


def test_types_are_kept_or_those_of_the_recipe() -> None:
    assert {task.info.dtype for task in planned().tasks} == {torch.float32}
    assert {task.info.dtype for task in planned(dtype="bfloat16").tasks} == {torch.bfloat16}
    assert {task.info.dtype for task in planned(dtype="float32", out_dtype="float16").tasks} == {torch.float16}


def test_whole_numbers_are_copied_and_ties_kept() -> None:
    state = {"a.weight": torch.zeros(3, 2), "steps": torch.tensor(5), "b.weight": torch.zeros(3, 2)}
    two = {name: Held(state, {"b.weight": "a.weight"}) for name in ("one", "two")}
    plan = plan_merge(recipe_of({"merge_method": "linear", "models": [{"model": "one"}, {"model": "two"}]}, ""), two)
    assert [(task.name, task.settings is None) for task in plan.tasks] == [("a.weight", False), ("steps", True)]
    assert plan.aliases == {"b.weight": "a.weight"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"merge_method": "lnear"}, ["method 'lnear'", "did you mean 'linear'?"]),
        ({"parameters": {"wieght": 1}}, ["parameter 'wieght'", "did you mean 'weight'?"]),
        ({"parameters": {"weight": True}}, ["option 'weight'", "expected a number"]),
        ({"models": None, "slices": [{"sources": [{"model": "one", "layer_range": [0, 9]}]}]}, ["[0, 9]", "to 4"]),
        (
            {
                "models": None,
                "slices": [
                    {"sources": [{"model": "one", "layer_range": [0, 2]}, {"model": "two", "layer_range": [0, 3]}]}
                ],
            },
            ["as many layers"],
        ),
    ],
)
def test_mistakes_are_found_from_headers(fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(MergeError) as error:
        planned(**fields)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("missing", [True, False])
def test_models_that_do_not_fit_are_named(missing: bool) -> None:
    found = models()
    state = dict(found["two"].state)
    if missing:
        del state["model.norm.weight"]
    else:
        state["model.embed_tokens.weight"] = torch.zeros(41, 16)
    found["two"] = Held(state)
    recipe = recipe_of({"merge_method": "linear", "models": [{"model": "one"}, {"model": "two"}]}, "")
    with pytest.raises(MergeError, match=r"^two: .*" + ("model.norm.weight" if missing else "tokenizer_source")):
        plan_merge(recipe, found)


@pytest.mark.parametrize(
    ("names", "stacks"),
    [
        (llama(0), [("model.layers", 4)]),
        (["h.0.w", "h.1.w", "h.2.w", "wte"], [("h", 3)]),
        (["encoder.block.0.layer.0.w", "encoder.block.1.layer.0.w", "decoder.block.0.w", "decoder.block.1.w"],
         [("encoder.block", 2), ("decoder.block", 2)]),
        (["0.weight", "2.weight"], []),
        (["0.weight", "1.bias"], []),
        (["0.weight", "1.weight"], [("", 2)]),
    ],
)  # fmt: skip
def test_stacks_of_layers_are_told_by_their_names(names: Any, stacks: list[tuple[str, int]]) -> None:
    assert [(layers.prefix, layers.count) for layers in layers_of(names)] == stacks
