"""Where the files lie that a recipe names: they may be relative to the recipe itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weightspace.merge.recipe.recipe import Data, Recipe


def located(name: str, folder: Path | None) -> Path:
    """Where a file or folder lies: as written from the working directory, else from the folder of the recipe."""
    path = Path(name)
    if not path.exists() and folder is not None and (folder / name).exists():
        return folder / name
    return path


@dataclass(frozen=True)
class Place:
    """Where a model lies.

    Attributes:
        path: Its weights.
        adapter: The adapter that is to be fused into them; None for none.
    """

    path: Path
    adapter: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All that is read."""
        return (self.path,) if self.adapter is None else (self.path, self.adapter)


def place_of(model: str, folder: Path | None) -> Place:
    """Where a model of a recipe lies; `PATH+ADAPTER`, as mergekit writes it, is one with an adapter in it.

    Args:
        model: As the recipe names it. A path may have a plus in its name.
        folder: Where it is looked for beside the working directory.
    """
    whole = located(model, folder)
    parts = model.split("+")
    if whole.exists() or len(parts) == 1:
        return Place(whole)
    cuts = [("+".join(parts[:at]), "+".join(parts[at:])) for at in range(1, len(parts))]
    found = [Place(located(base, folder), located(adapter, folder)) for base, adapter in cuts]
    return next((each for each in found if all(path.exists() for path in each.paths)), found[0])


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
