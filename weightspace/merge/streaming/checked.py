"""What is wrong with a recipe whatever its models are: names, values, how many models; before any is opened."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from weightspace.align import check_kinds, check_method
from weightspace.errors import MergeError, WeightspaceError
from weightspace.merge.methods.method import MergeMethod
from weightspace.merge.methods.option import Option
from weightspace.merge.methods.registry import MERGE_METHODS, known_merge_method
from weightspace.merge.methods.settings import check_models
from weightspace.merge.recipe.recipe import Module, OutputSlice, Parameters, Recipe
from weightspace.merge.recipe.setting import Conditional, Scalar, Setting


def check_recipe(recipe: Recipe) -> tuple[str, ...]:
    """Checks a recipe by itself.

    Returns:
        Notes on options of other methods, which have no effect.

    Raises:
        MergeError: The method, an option, a value, the number of models or the alignment is wrong.
    """
    method = known_merge_method(recipe.merge_method)
    notes = _check_options(recipe, method)
    for module in modules_of(recipe):
        _check_numbers(recipe, module, method)
    if recipe.align is not None:
        try:
            needed = check_method(recipe.align.method).needs
            check_kinds(recipe.align.kinds)
        except WeightspaceError as error:
            raise MergeError(f"align: {error}") from error
        if "batches" in needed and recipe.data is None:
            raise MergeError(f"align: method '{recipe.align.method}': expected data, found none; add data: PATH")
    return notes


def modules_of(recipe: Recipe) -> list[Module]:
    """What a recipe lists, once for every part of the network."""
    if recipe.modules is not None:
        return [*recipe.modules.values()]
    return [Module(slices=recipe.slices, models=recipe.models)]


def _check_options(recipe: Recipe, method: MergeMethod) -> tuple[str, ...]:
    known = [option.name for option in method.options]
    others = {option.name for method in MERGE_METHODS.values() for option in method.options}
    listed = f"'{method.name}' ({', '.join(known) or 'none'})"
    notes = {}
    for parameters in _all_parameters(recipe):
        for name, setting in parameters.items():
            option = method.option(name)
            if option is not None:
                _check_values(option, setting)
            elif name in others:
                notes[name] = f"parameter '{name}' has no effect: it is none of method {listed}"
            else:
                raise MergeError(f"parameter '{name}': expected one of method {listed}{_near(name, known)}")
    return tuple(notes.values())


def _check_values(option: Option, setting: Setting) -> None:
    for value in _values(setting):
        option.checked(value)


def _values(setting: Setting) -> Iterator[Scalar]:
    if isinstance(setting, Conditional):
        yield from _values(setting.value)
    elif isinstance(setting, list):
        if not setting:
            raise MergeError("parameters: expected a value, or some, found an empty list; add one or drop it")
        for each in setting:
            yield from _values(each)
    else:
        yield setting


def _check_numbers(recipe: Recipe, module: Module, method: MergeMethod) -> None:
    if module.slices is None and module.models is None:
        raise MergeError("modules: expected models or slices in each, found neither; add one")
    _check_number([each.model for each in module.models or ()], recipe.base_model, method)
    for output in module.slices or ():
        _check_number([each.model for each in output.sources], output.base_model or recipe.base_model, method)


def _check_number(models: Sequence[str], base: str | None, method: MergeMethod) -> None:
    for number, name in enumerate(models):
        if name in models[:number]:
            raise MergeError(f"{name}: expected every model once in a merge, found it twice; add up its weights")
    # A base alone is copied.
    used = None if method.base == "none" else base
    if models and [*models] != [used]:
        check_models(method, len([name for name in models if name != used]), has_base=used is not None)


def _all_parameters(recipe: Recipe) -> Iterator[Parameters]:
    yield recipe.parameters or {}
    for module in modules_of(recipe):
        yield module.parameters or {}
        for each in module.models or ():
            yield each.parameters or {}
        for output in module.slices or ():
            yield from _parameters_of(output)


def _parameters_of(output: OutputSlice) -> Iterator[Parameters]:
    yield output.parameters or {}
    for source in output.sources:
        yield source.parameters or {}


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
