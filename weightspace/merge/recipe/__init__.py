"""Recipes of merges, as YAML."""

from weightspace.merge.recipe.placed import Place, located, place_of, placed
from weightspace.merge.recipe.read import part_of, read_recipe, recipe_of, recipe_text
from weightspace.merge.recipe.recipe import (
    Alignment,
    Data,
    InputModel,
    InputSlice,
    ModelToken,
    Module,
    OutputSlice,
    Parameters,
    Recipe,
    Tokenizer,
    TokenSource,
    Zero,
)
from weightspace.merge.recipe.setting import Conditional, Setting, value_at

__all__ = [
    "Alignment",
    "Conditional",
    "Data",
    "InputModel",
    "InputSlice",
    "ModelToken",
    "Module",
    "OutputSlice",
    "Parameters",
    "Place",
    "Recipe",
    "Setting",
    "TokenSource",
    "Tokenizer",
    "Zero",
    "located",
    "part_of",
    "place_of",
    "placed",
    "read_recipe",
    "recipe_of",
    "recipe_text",
    "value_at",
]
