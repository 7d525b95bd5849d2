"""What is to be merged and how: by a recipe, or by the flags of the command, which make one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from weightspace.errors import MergeError
from wsp import options

if TYPE_CHECKING:
    from weightspace.merge.recipe import Recipe

SUFFIXES = (".yml", ".yaml")
_BESIDE = {"models", "output", "shard_size", "dry_run", "device", "as_json", "quiet"}


def given_options(context: typer.Context) -> frozenset[str]:
    """Names of what stands on the command line."""
    found = (name for name in context.params if getattr(context.get_parameter_source(name), "name", "") != "DEFAULT")
    return frozenset(found)


def given_recipe(models: Sequence[Path], given: Collection[str] = ()) -> Recipe | None:
    """The recipe, where that is what was given in place of models.

    Args:
        models: What was given.
        given: Names of all options that were.

    Raises:
        MergeError: It cannot be read, or is wrong, or flags say more than where to write and compute.
    """
    if not any(path.suffix in SUFFIXES for path in models):
        return None
    from weightspace.merge.recipe import read_recipe

    if len(models) != 1:
        raise MergeError(f"{models[0]}: expected a recipe or models, found both; list the models in the recipe")
    more = sorted(set(given) - _BESIDE)
    if more:
        raise MergeError(f"{models[0]}: expected all in the recipe, found {_flag(more[0])} beside it; write it there")
    return read_recipe(models[0])


def recipe_of_flags(
    models: Sequence[Path],
    method: str,
    *,
    base: Path | None,
    settings: Sequence[str],
    dtype: str | None,
    seed: int,
    more: Mapping[str, Any] | None = None,
    flags: Mapping[str, Any] | None = None,
    given: Collection[str] = (),
) -> Recipe:
    """What the command line says, as a recipe.

    Args:
        models: The models.
        method: How they are merged.
        base: What task vectors start from.
        settings: Options of the method: NAME=VALUE, or NAME=VALUE,VALUE with one for every model.
        dtype: Type of the merged weights.
        seed: Seed of everything random.
        more: Further fields of the recipe.
        flags: Options that have a flag of their own.
        given: Names of all options that were given.

    Raises:
        MergeError: An option or the type is wrong.
    """
    from weightspace.merge.networks import NETWORK_METHODS, check_merge_method
    from weightspace.merge.recipe import recipe_of

    check_merge_method(method)
    network = NETWORK_METHODS.get(method)
    if network is None and base is None and _starts_at_first(method):
        base = models[0]
    listed: list[dict[str, Any]] = [{"model": str(model)} for model in models]
    parameters = _of_flags(method, flags or {}, given)
    for setting in settings:
        name, _, text = setting.partition("=")
        values = [_value(setting, each) for each in text.split(",")]
        if len(values) == 1:
            parameters[name] = values[0]
            continue
        others = [each for each in listed if base is None or each["model"] != str(base)]
        if len(values) != len(others):
            raise MergeError(f"--set {setting}: expected one value for each of {len(others)} models, not {len(values)}")
        for each, value in zip(others, values, strict=True):
            each.setdefault("parameters", {})[name] = value
    content = {"merge_method": method, "models": listed, "seed": seed, **(more or {})}
    content |= {"parameters": parameters} if parameters else {}
    content |= {} if base is None else {"base_model": str(base)}
    content |= {} if dtype is None else {"dtype": dtype}
    return recipe_of(content, "the command line")


def fields_of_flags(
    method: str,
    align: str | None,
    kinds: str,
    restarts: int,
    samples: int,
    data: Path | None,
    mean: str | None,
    std: str | None,
    arch: str | None,
    activation: str | None,
    input_shape: str | None,
) -> dict[str, Any]:
    """What the flags about networks, alignments and data say, as fields of a recipe; see `wsp.options`."""
    from weightspace.merge.networks import NETWORK_METHODS

    network = NETWORK_METHODS.get(method)
    if align is None and network is not None:
        align = network.align
    shape = options.positive_integers("--input-shape", input_shape)
    found: dict[str, Any] = {"arch": arch, "activation": activation, "input_shape": shape and list(shape)}
    found = {name: value for name, value in found.items() if value is not None}
    if align not in (None, "none") or (align is not None and network is not None):
        named = {"method": align, "kinds": list(options.names("--kinds", kinds)), "restarts": restarts}
        found["align"] = {**named, "samples": samples}
    numbers = {"mean": options.floats("--mean", mean), "std": options.floats("--std", std)}
    if data is not None:
        given = {name: list(values) for name, values in numbers.items() if values is not None}
        found["data"] = {"path": str(data), "samples": samples, **given}
    elif mean is not None or std is not None:
        raise MergeError("--mean and --std: expected --data beside them, found none; give --data or drop them")
    return found


def _starts_at_first(method: str) -> bool:
    """Whether a method goes from a base to one model: between two models the first is where the path begins."""
    from weightspace.merge.methods import known_merge_method

    found = known_merge_method(method)
    return found.base == "required" and found.models == (1, 1)


def _of_flags(method: str, flags: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """The flags that are options of the method.

    Raises:
        MergeError: One was given that is an option of other methods.
    """
    from weightspace.merge.networks import NETWORK_METHODS

    takes = {name: set(each.options.model_fields) for name, each in NETWORK_METHODS.items()}
    known = takes.get(method, set())
    for name in flags:
        if name in given and name not in known:
            others = " and ".join(each for each, names in takes.items() if name in names)
            raise MergeError(f"--method {method}: expected no {_flag(name)}, which --method {others} can take; drop it")
    return {name: value for name, value in flags.items() if name in known and value is not None}


def _flag(name: str) -> str:
    return {"settings": "--set"}.get(name, f"--{name.replace('_', '-')}")


def _value(setting: str, text: str) -> float | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(
            f"expected NAME=VALUE with numbers, true or false, found {setting!r}", param_hint="--set"
        ) from None
