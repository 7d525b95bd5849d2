"""`wsp methods`: the merge methods and their options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsp import options
from wsp.console import Console
from wsp.errors import reports_errors

if TYPE_CHECKING:
    from weightspace.merge.methods import MergeMethod

_BASE = {"required": "needed", "optional": "may be given", "none": "not used"}


@reports_errors
def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A method, for its options.", show_default=False)
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List the methods that merge weights, or the options of one."""
    console = Console(as_json=as_json)
    with console.owning_stdout():
        from weightspace.merge.methods import MERGE_METHODS, known_merge_method

        listed = [*MERGE_METHODS.values()] if name is None else [known_merge_method(name)]
        console.document({"methods": [_document(method) for method in listed]})
        if name is None:
            console.table(
                ("method", "models", "base", "what it does"),
                [(each.name, _models(each), _BASE[each.base], each.about) for each in listed],
            )
            console.line("wsp methods NAME lists the options of one")
            return
        method = listed[0]
        console.line(f"{method.title}: {method.about} ({method.reference})")
        console.line(f"models: {_models(method)}; base: {_BASE[method.base]}")
        console.table(
            ("option", "for", "default", "what it is"),
            [
                (option.name, "each model" if option.per_model else "the merge", _shown(option.default), option.help)
                for option in method.options
            ],
        )


def _models(method: MergeMethod) -> str:
    least, most = method.models
    if most is None:
        return f"{least} or more"
    return f"{least}" if least == most else f"{least} to {most}"


def _shown(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def _document(method: MergeMethod) -> dict[str, Any]:
    options = [
        {"name": option.name, "default": option.default, "per_model": option.per_model, "help": option.help}
        for option in method.options
    ]
    return {
        "name": method.name, "title": method.title, "about": method.about, "reference": method.reference,
        "models": list(method.models), "base": method.base, "options": options,
    }  # fmt: skip
