"""Recipes from YAML, and back; every mistake in one line that says where."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from weightspace.errors import MergeError
from weightspace.merge.recipe.recipe import Recipe

Kind = TypeVar("Kind", bound=BaseModel)


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe.

    Raises:
        MergeError: It cannot be read, is no YAML, or a field is missing, unknown or wrong.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise MergeError(f"{path}: expected a recipe, found that it cannot be read: {reason}") from error
    except yaml.YAMLError as error:
        raise MergeError(f"{path}: expected YAML, found: {' '.join(str(error).split())}") from error
    return recipe_of(content, str(path))


def recipe_of(content: object, where: str) -> Recipe:
    """A recipe from what YAML or JSON hold.

    Args:
        content: Mappings, lists, numbers and texts.
        where: What to call it in errors.

    Raises:
        MergeError: A field is missing, unknown or wrong.
    """
    if not isinstance(content, Mapping):
        raise MergeError(f"{where}: expected a recipe (fields such as merge_method and models), found {_kind(content)}")
    return part_of(Recipe, content, where)


def part_of(kind: type[Kind], content: Mapping[str, Any], where: str) -> Kind:
    """A part of a recipe, checked.

    Args:
        kind: What it has to be.
        content: Its fields.
        where: What to call it in errors.

    Raises:
        MergeError: A field is missing, unknown or wrong.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise MergeError(f"{where}: {_told(error, kind)}") from error


def recipe_text(recipe: Recipe) -> str:
    """The recipe as YAML; reading it gives the recipe back."""
    content = json.loads(recipe.model_dump_json(exclude_none=True, exclude_defaults=True))
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _told(error: ValidationError, whole: type[BaseModel]) -> str:
    """The first thing that is wrong, of alternatives the one that went furthest."""
    found = max(error.errors(), key=lambda each: (each["type"] == "extra_forbidden", len(each["loc"])))
    place = _place(found["loc"])
    if found["type"] == "extra_forbidden":
        name = str(found["loc"][-1])
        known = _fields_at(found["loc"][:-1], whole)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        return f"{place}: expected one of {', '.join(known) or 'none'}, found '{name}'" + (
            f"; did you mean '{near[0]}'?" if near else ""
        )
    if found["type"] == "missing":
        return f"{place}: expected it, found no such field; add it"
    if "parameters" in found["loc"][:-1]:
        at = found["loc"].index("parameters") + 2
        return (
            f"{_place(found['loc'][:at])}: expected a value, a list of values, or value and filter, found "
            f"{str(found['input'])[:60]!r}"
        )
    message = found["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    given = "" if message.startswith("expected") else f", found {str(found['input'])[:60]!r}"
    return f"{place + ': ' if place else ''}{message}{given}"


def _place(location: tuple[str | int, ...]) -> str:
    """Such as `slices[0].sources[1].layer_range`, without the names of types that pydantic puts between."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not part[:1].isupper() and "[" not in part:
            text += f".{part}" if text else part
    return text


def _fields_at(location: tuple[str | int, ...], whole: type[BaseModel]) -> list[str]:
    """Names of the fields where something unknown was found."""
    model: type[BaseModel] | None = whole
    for part in location:
        if model is None:
            break
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is not None:
            model = _model_in(field.annotation)
    return [*(model or whole).model_fields]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The part that a type of a field holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each)) is not None), None)


def _kind(content: object) -> str:
    return "nothing" if content is None else f"a {type(content).__name__}"
