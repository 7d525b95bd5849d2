"""From a recipe and opened models to a list of tensors to compute; only headers are read.

Everything that can be wrong is found here, before any work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from weightspace.checkpoint import TensorInfo
from weightspace.errors import MergeError
from weightspace.merge.methods.method import MergeMethod
from weightspace.merge.methods.option import Settings, Value
from weightspace.merge.methods.registry import known_merge_method
from weightspace.merge.methods.settings import settings_of
from weightspace.merge.recipe.recipe import InputModel, InputSlice, Module, OutputSlice, Parameters, Recipe
from weightspace.merge.recipe.setting import value_at
from weightspace.merge.streaming.checked import check_recipe
from weightspace.merge.streaming.layers import Layers, layers_of
from weightspace.merge.streaming.model import Model

DTYPES = {
    "float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64,
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A tensor to compute.

    Attributes:
        name: Its name in the merged model.
        info: Its shape there, and its type.
        sources: Model and name of every tensor that it is merged from.
        base: The same of the base; None without one.
        settings: Options of the method; None to copy the base, or else the only source, as it is.
    """

    name: str
    info: TensorInfo
    sources: tuple[tuple[str, str], ...]
    base: tuple[str, str] | None
    settings: Settings | None


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        method: How tensors are merged.
        tasks: Every stored tensor of the merged model, in the order of the base.
        aliases: Further names of these.
        layers: Names of stacks that slices are taken from -> for every layer of the merged model the one that it comes
            from, in the first source of its slice; none for stacks that stay as they are.
        seed: Seed of random masks.
        notes: What the user ought to know, one line each.
    """

    method: MergeMethod
    tasks: tuple[Task, ...]
    aliases: Mapping[str, str]
    layers: Mapping[str, tuple[int, ...]]
    seed: int
    notes: tuple[str, ...] = ()

    @property
    def infos(self) -> dict[str, TensorInfo]:
        """Shape and type of every stored tensor."""
        return {task.name: task.info for task in self.tasks}


def plan_merge(recipe: Recipe, models: Mapping[str, Model]) -> Plan:
    """Plans a merge.

    Args:
        recipe: The recipe.
        models: Every model that it names, opened.

    Raises:
        MergeError: The method, an option, a layer or the number of models is wrong, or the models do not fit.
    """
    return _Planner(recipe, models).plan()


@dataclass(frozen=True)
class _Where:
    """Where in a recipe the options of a tensor are looked up, the nearest first."""

    output: OutputSlice
    module: Parameters
    depth: float


class _Planner:
    def __init__(self, recipe: Recipe, models: Mapping[str, Model]) -> None:
        self._recipe, self._models = recipe, models
        self._notes = check_recipe(recipe)
        self._method = known_merge_method(recipe.merge_method)
        self._aliases = dict(models[recipe.referenced[0]].aliases())
        self._stacks = layers_of(models[recipe.referenced[0]])

    def plan(self) -> Plan:
        tasks: dict[str, Task] = {}
        origins: dict[str, tuple[int, ...]] = {}
        for layers, module in self._modules():
            outputs, parameters = self._slices(module, layers), module.parameters or {}
            self._outside(tasks, outputs, parameters)
            if layers is None:
                continue
            taken: list[int] = []
            for output in outputs:
                self._layers(tasks, output, parameters, layers, len(taken))
                taken += range(*output.sources[0].layer_range)
            if taken != [*range(layers.count)]:
                origins[layers.prefix] = tuple(taken)
        first = self._models[self._recipe.referenced[0]]
        order = {name: at for at, name in enumerate(first)}
        ordered = sorted(tasks.values(), key=lambda task: order.get(task.name, len(order)))
        aliases = {alias: name for alias, name in self._aliases.items() if name in tasks and alias not in tasks}
        notes = (*self._notes, *self._left_out(), *_copied(ordered))
        return Plan(self._method, tuple(ordered), aliases, origins, self._recipe.seed, notes)

    # ------------------------------------------------------------------ what the recipe lists

    def _modules(self) -> list[tuple[Layers | None, Module]]:
        """The parts of the network with their stacks; the tensors outside of all stacks belong to the first."""
        if self._recipe.modules is not None:
            return [(self._stack(name), module) for name, module in self._recipe.modules.items()]
        module = Module(slices=self._recipe.slices, models=self._recipe.models)
        if self._recipe.slices is None:
            return [(stack, module) for stack in self._stacks or (None,)]
        if len(self._stacks) != 1:
            found = ", ".join(stack.prefix for stack in self._stacks) or "none"
            raise MergeError(
                f"slices: expected a network with one stack of layers, found {found}; use models or modules"
            )
        return [(self._stacks[0], module)]

    def _stack(self, name: str) -> Layers:
        """The stack that a module of a recipe is called after."""
        fits = [stack for stack in self._stacks if name in stack.prefix.split(".") or len(self._stacks) == 1]
        if len(fits) != 1:
            known = ", ".join(stack.prefix for stack in self._stacks)
            raise MergeError(f"modules.{name}: expected a part of the name of one stack of layers, found {known}")
        return fits[0]

    def _slices(self, module: Module, layers: Layers | None) -> list[OutputSlice]:
        if module.slices:
            return module.slices
        models = list(module.models or ())
        base = self._base(None)
        if base is not None and base not in [each.model for each in models]:
            models.append(InputModel(model=base))
        span = [0, 0 if layers is None else layers.count]
        sources = [InputSlice(model=each.model, layer_range=span, parameters=each.parameters) for each in models]
        return [OutputSlice(sources=sources)]

    # ------------------------------------------------------------------ tensors

    def _outside(self, tasks: dict[str, Task], outputs: Sequence[OutputSlice], parameters: Parameters) -> None:
        """Tensors outside of all stacks: embeddings come from the first slice, the others from the last."""
        for name in self._models[self._recipe.referenced[0]]:
            known = name in tasks or name in self._aliases
            if not known and all(stack.place(name) is None for stack in self._stacks):
                output = outputs[0 if _is_embedding(name) else -1]
                names = {source.model: name for source in output.sources}
                tasks[name] = self._task(name, names, _Where(output, parameters, 0.0))

    def _layers(
        self, tasks: dict[str, Task], output: OutputSlice, parameters: Parameters, layers: Layers, number: int
    ) -> None:
        """The layers of a slice, numbered from `number` on."""
        spans = {source.layer_range[1] - source.layer_range[0] for source in output.sources}
        for source in output.sources:
            start, stop = source.layer_range
            if not 0 <= start < stop <= layers.count:
                raise MergeError(
                    f"layer_range of {source.model}: expected layers of {layers.prefix} from 0 to {layers.count}, "
                    f"found [{start}, {stop}]"
                )
        if len(spans) != 1:
            found = ", ".join(str(source.layer_range) for source in output.sources)
            raise MergeError(f"slices: expected as many layers of every model in one slice, found {found}")
        count = spans.pop()
        rests = self._rests(output, layers)
        for step in range(count):
            where = _Where(output, parameters, step / (count - 1) if count > 1 else 1.0)
            for rest in rests[output.sources[0].layer_range[0] + step]:
                names = {source.model: layers.name(source.layer_range[0] + step, rest) for source in output.sources}
                name = layers.name(number + step, rest)
                tasks[name] = self._task(name, names, where)

    def _rests(self, output: OutputSlice, layers: Layers) -> dict[int, list[str]]:
        """Names of tensors inside of each layer of the first model of a slice."""
        found: dict[int, list[str]] = {}
        model = self._models[output.sources[0].model]
        tied = model.aliases()
        for name in model:
            place = layers.place(name)
            if place is not None and name not in tied:
                found.setdefault(place[0], []).append(place[1])
        return found

    def _task(self, name: str, names: Mapping[str, str], where: _Where) -> Task:
        base = self._base(where.output)
        if base is not None and base not in names:
            names = {**names, base: names[where.output.sources[0].model]}
        sources = tuple((model, own) for model, own in names.items() if model != base)
        named = self._recipe.base_model
        first = named if named is not None and named in names else next(iter(names))
        like = self._info(first, names[first])
        for model, own in names.items():
            info = self._info(model, own)
            if info.shape != like.shape:
                raise MergeError(
                    f"{model}: tensor '{own}': expected shape {like.shape} as in {first}, found {info.shape}; "
                    f"{_advice(like.shape, info.shape)}"
                )
            if info.dtype.is_floating_point != like.dtype.is_floating_point:
                raise MergeError(
                    f"{model}: tensor '{own}': expected numbers such as {like.dtype} as in {first}, "
                    f"found {info.dtype}; convert it first"
                )
        if not like.dtype.is_floating_point:
            return Task(name, like, ((first, names[first]),), None, None)
        wanted = self._recipe.out_dtype or self._recipe.dtype
        info = replace(like, dtype=DTYPES[wanted]) if wanted is not None else like
        if not sources:
            return Task(name, info, ((first, names[first]),), None, None)
        origin = None if base is None else (base, names[base])
        return Task(name, info, sources, origin, self._settings(name, sources, origin is not None, where))

    def _base(self, output: OutputSlice | None) -> str | None:
        """The base of a slice, where the method has a use for one."""
        if self._method.base == "none":
            return None
        return (None if output is None else output.base_model) or self._recipe.base_model

    def _info(self, model: str, name: str) -> TensorInfo:
        if name not in self._models[model]:
            raise MergeError(
                f"{model}: expected a tensor '{name}', which the others have, found none; merge models of one "
                "architecture"
            )
        return self._models[model].info(name)

    def _left_out(self) -> list[str]:
        """Notes on tensors that the first model lacks, which the merged model then lacks as well."""
        if self._recipe.models is None:
            return []  # slices leave out what they do not name
        first, *others = self._recipe.referenced
        notes = []
        for name in others:
            tied = self._models[name].aliases()
            more = [each for each in self._models[name] if each not in self._models[first] and each not in tied]
            if more:
                notes.append(f"{name}: left out are {_some(more)}, which {first} does not have")
        return notes

    # ------------------------------------------------------------------ options

    def _settings(self, name: str, sources: Sequence[tuple[str, str]], has_base: bool, where: _Where) -> Settings:
        options: dict[str, Value | Sequence[float]] = {}
        for option in self._method.options:
            if not option.per_model:
                found = self._value(option.name, None, name, where)
                options[option.name] = option.default if found is None else found  # pyright: ignore[reportArgumentType]
                continue
            values = [self._value(option.name, model, own, where) for model, own in sources]
            options[option.name] = [option.default if value is None else value for value in values]  # pyright: ignore[reportArgumentType]
        try:
            return settings_of(self._method, len(sources), has_base=has_base, options=options)
        except MergeError as error:
            raise MergeError(f"tensor '{name}': {error}") from error

    def _value(self, option: str, model: str | None, name: str, where: _Where) -> object:
        """What a recipe says, from the source over the slice and the module to the whole merge."""
        own = next((s.parameters for s in where.output.sources if s.model == model), None) if model else None
        for parameters in (own, where.output.parameters, where.module, self._recipe.parameters):
            if parameters and option in parameters:
                value = value_at(parameters[option], name, where.depth)
                if value is not None:
                    return value
        return None


def _copied(tasks: Sequence[Task]) -> list[str]:
    """A note on tensors that have no mean."""
    copied = [task for task in tasks if not task.info.dtype.is_floating_point]
    if not copied:
        return []
    models = ", ".join(dict.fromkeys(task.sources[0][0] for task in copied))
    return [f"not of real numbers, and so copied from {models}: {_some([task.name for task in copied])}"]


def _some(names: Sequence[str]) -> str:
    """The first of many names, and how many there are."""
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(f"'{name}'" for name in names[:3]) + more


def _is_embedding(name: str) -> bool:
    """Whether a tensor outside of the layers is read before them: nothing but its name tells, in a file of weights."""
    return any(part in name for part in ("embed", "wte", "wpe", "shared")) and "embed_out" not in name


def _advice(one: tuple[int, ...], other: tuple[int, ...]) -> str:
    if len(one) == len(other) and one[1:] == other[1:]:
        return "where vocabularies differ set tokenizer_source to union or base (--tokenizer without a recipe)"
    return "merge models of one architecture"
