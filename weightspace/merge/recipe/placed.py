"""Where the files lie that a recipe names: they may be relative to the recipe itself."""

from __future__ import annotations

from pathlib import Path

from weightspace.merge.recipe.recipe import Data, Recipe


def located(name: str, folder: Path | None) -> Path:
    """Where a file or folder lies: as written from the working directory, else from the folder of the recipe."""
    path = Path(name)
    if not path.exists() and folder is not None and (folder / name).exists():
        return folder / name
    return path


def placed(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe of whole models with all its paths from the working directory, so that it may be written elsewhere.

    Args:
        recipe: The recipe.
        folder: Where it was read.
    """

    def of_data(data: Data | None) -> Data | None:
        return None if data is None else data.model_copy(update={"path": str(located(data.path, folder))})

    models = [
        each.model_copy(update={"model": str(located(each.model, folder)), "data": of_data(each.data)})
        for each in recipe.models or ()
    ]
    code, colon, function = (recipe.arch or "").partition(":")
    arch = f"{located(code, folder)}{colon}{function}" if code else recipe.arch
    return recipe.model_copy(update={"models": models or None, "data": of_data(recipe.data), "arch": arch})
