"""`wsp methods`: the merge methods and their options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsp import options
from wsp.console import Console
from wsp.errors import reports_errors

if TYPE_CHECKING:
    from weightspace.merge.methods import MergeMethod
    from weightspace.merge.networks import NetworkMethod

_BASE = {"required": "needed", "optional": "may be given", "none": "not used"}
_FOR = {True: "each model", False: "the merge"}
_DATA = {"none": "not used", "optional": "for batch norms", "examples": "examples", "labels": "with labels"}


@reports_errors
def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A method, for its options.", show_default=False)
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List the methods that merge models, or the options of one."""
    console = Console(as_json=as_json)
    with console.owning_stdout():
        from weightspace.merge.methods import MERGE_METHODS
        from weightspace.merge.networks import NETWORK_METHODS, check_merge_method

        if name is None:
            listed = [*NETWORK_METHODS.values(), *MERGE_METHODS.values()]
        else:
            check_merge_method(name)
            listed = [NETWORK_METHODS.get(name) or MERGE_METHODS[name]]
        documents = [described(method) for method in listed]
        console.document({"methods": documents})
        if name is None:
            console.table(
                ("method", "models", "base", "data", "what it does"),
                [(m["name"], _count(m["models"]), _BASE[m["base"]], _DATA[m["data"]], m["about"]) for m in documents],
            )
            console.line("wsp methods NAME lists the options of one")
            return
        (method,) = documents
        console.line(f"{method['title']}: {method['about']} ({method['reference']})")
        console.line(
            f"models: {_count(method['models'])}; base: {_BASE[method['base']]}; data: {_DATA[method['data']]}"
        )
        console.table(
            ("option", "for", "default", "what it is"),
            [
                (
                    each["name"],
                    "each model" if each["per_model"] else "the merge",
                    _shown(each["default"]),
                    each["help"],
                )
                for each in method["options"]
            ],
        )


def described(method: MergeMethod | NetworkMethod) -> dict[str, Any]:
    """A method as JSON values."""
    common = {
        "name": method.name, "title": method.title, "about": method.about, "reference": method.reference,
        "models": list(method.models),
    }  # fmt: skip
    from weightspace.merge.networks import NetworkMethod

    return common | (_of_networks(method) if isinstance(method, NetworkMethod) else _of_weights(method))


def _of_weights(method: MergeMethod) -> dict[str, Any]:
    options = [
        {"name": option.name, "default": option.default, "per_model": option.per_model, "help": option.help}
        for option in method.options
    ]
    return {"base": method.base, "data": "none", "options": options}


def _of_networks(method: NetworkMethod) -> dict[str, Any]:
    options = [
        {"name": name, "default": field.default, "per_model": part is method.of_model, "help": field.description}
        for part in (method.options, method.of_model)
        for name, field in part.model_fields.items()
    ]
    return {"base": "none", "data": method.data, "options": options}


def _count(models: Sequence[int | None]) -> str:
    least, most = models
    if most is None:
        return f"{least} or more"
    return f"{least}" if least == most else f"{least} to {most}"


def _shown(value: float | bool | str | None) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else f"{value:g}"
