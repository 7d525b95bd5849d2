"""Arguments and options that the commands of `wsp adapter` share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from wsp import options

Base = Annotated[Path, typer.Argument(metavar="BASE", help="The checkpoint that was trained on: a file or a folder.")]
Adapters = Annotated[list[Path], typer.Argument(metavar="ADAPTER", help="Folders with adapter_config.json.")]
OutputFolder = Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="The adapter: a folder.")]
Weight = Annotated[
    str | None,
    typer.Option("--weight", metavar="W,W", help="How much each adapter counts.", show_default=False),
]
Drop = Annotated[
    str | None,
    typer.Option(
        "--drop",
        metavar="NAME,...",
        help="Modules to leave out, by the last components of their names: classifier, layers.0.mlp.",
        show_default=False,
    ),
]
Rank = Annotated[
    int | None, typer.Option("--rank", min=1, metavar="R", help="Largest rank of a weight.", show_default=False)
]
Energy = Annotated[
    float | None,
    typer.Option(
        "--energy",
        metavar="SHARE",
        help="In place of --rank or below it: the least rank of each weight that keeps this share of the squared "
        "singular values, above 0 and at most 1.",
        show_default=False,
    ),
]


def names(option: str, text: str | None) -> tuple[str, ...]:
    """Names separated by commas, or none."""
    return () if text is None else options.names(option, text)


def weights(text: str | None, adapters: int) -> tuple[float, ...] | None:
    """The numbers of `--weight`, one for each adapter; None where none are given.

    Raises:
        typer.BadParameter: There are more or fewer.
    """
    found = options.floats("--weight", text)
    if found is not None and len(found) != adapters:
        raise typer.BadParameter(
            f"expected {adapters} numbers, one for each adapter, found {len(found)}", param_hint="--weight"
        )
    return found


def settings(given: Sequence[str]) -> dict[str, Any]:
    """Options of a merge method: numbers, true or false, or numbers separated by commas.

    Raises:
        typer.BadParameter: It is something else.
    """
    found: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"expected NAME=VALUE, found {text!r}", param_hint="--set")
        numbers = None if value in ("true", "false") else options.floats("--set", value)
        found[name] = value == "true" if numbers is None else numbers[0] if len(numbers) == 1 else numbers
    return found
