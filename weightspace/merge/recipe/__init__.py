"""Recipes of merges, as YAML."""

from weightspace.merge.recipe.read import read_recipe, recipe_of, recipe_text
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
    "Recipe",
    "Setting",
    "TokenSource",
    "Tokenizer",
    "Zero",
    "read_recipe",
    "recipe_of",
    "recipe_text",
    "value_at",
]
