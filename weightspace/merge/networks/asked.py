"""From a recipe to what a merge of networks needs; what does not go together is refused here, before any work."""

from __future__ import annotations

from dataclasses import dataclass

from weightspace.errors import DataError, MergeError
from weightspace.merge.networks.method import NetworkMethod
from weightspace.merge.networks.options import OfModel, Options
from weightspace.merge.networks.registry import NETWORK_METHODS
from weightspace.merge.recipe.read import part_of
from weightspace.merge.recipe.recipe import Alignment, Data, Recipe

# Fields of recipes that only methods on weights can follow.
_OF_WEIGHTS = (
    "slices",
    "modules",
    "base_model",
    "dtype",
    "out_dtype",
    "tokenizer_source",
    "tokenizer",
    "chat_template",
)


@dataclass(frozen=True)
class NetworkMerge:
    """A merge of networks.

    Attributes:
        recipe: The recipe, with its alignment and all options written out: reading it again gives the same merge.
        method: How networks are merged.
        models: Where they lie, the reference first.
        options: Options of the method.
        of_models: Those of every model.
        data: Examples for every model; None where there are none.
    """

    recipe: Recipe
    method: NetworkMethod
    models: tuple[str, ...]
    options: Options
    of_models: tuple[OfModel, ...]
    data: tuple[Data | None, ...]

    @property
    def align(self) -> Alignment | None:
        """How models are aligned to the first; None for not at all."""
        return self.recipe.align if self.recipe.aligns else None


def network_merge(recipe: Recipe) -> NetworkMerge:
    """What a recipe asks for.

    Args:
        recipe: Its method is one of `NETWORK_METHODS`.

    Raises:
        MergeError: A field or an option is not one of the method, has a wrong value, or the number of models is wrong.
        DataError: There are no data, and the method goes by them.
    """
    method = NETWORK_METHODS[recipe.merge_method]
    where = f"method {method.name}"
    for name in _OF_WEIGHTS:
        if getattr(recipe, name) is not None:
            raise MergeError(f"{where}: expected no {name}, which methods on weights alone take, found one; drop it")
    listed = recipe.models or []
    least, most = method.models
    if len(listed) < least or (most is not None and len(listed) > most):
        expected = "two" if most == least else f"{least} or more"
        raise MergeError(f"{where}: expected {expected} models, found {len(listed)}; list {expected}")
    options = part_of(method.options, recipe.parameters or {}, where)
    of_models = tuple(part_of(method.of_model, each.parameters or {}, f"{where}: {each.model}") for each in listed)
    own = [each.model for each in listed if each.data is not None]
    if own and not method.own_data:
        raise MergeError(f"{where}: expected data of all models together, found some of {own[0]}; write data once")
    data = tuple(each.data or recipe.data for each in listed)
    if None in data:
        _check_no_data(method, options, where)
    align = recipe.align or (None if method.align is None else Alignment(method=method.align))
    if method.aligned and align is not None and align.method == "none":
        raise DataError(f"{where}: expected aligned networks, found --align none; drop it")
    written = options.model_dump(exclude_none=True)
    return NetworkMerge(
        recipe.model_copy(update={"align": align, "parameters": written}), method,
        tuple(each.model for each in listed), options, of_models, data,
    )  # fmt: skip


def _check_no_data(method: NetworkMethod, options: Options, where: str) -> None:
    if options.goes_by_data:
        raise DataError(
            "--repair: expected --data with examples, of which no label is used, found none; give data, or drop it"
        )
    if method.data != "optional":
        which = "labels" if method.data == "labels" else "examples, of which no label is used"
        raise DataError(
            f"{where}: expected data (--data) with {which}, found none; give data, or choose --method rebasin or "
            "linear, which need none"
        )
