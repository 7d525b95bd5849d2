"""`wsp merge --size`: a merged network of another width, and how it is described for whoever loads it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from weightspace.errors import OutputError
from wsp.console import Console, counted
from wsp.features import Origins
from wsp.outcome import Form

if TYPE_CHECKING:
    from torch import Tensor

    from weightspace.merge import Pleas, Sized
    from weightspace.merge.networks import PleasOptions
    from weightspace.merge.stored import Stored
    from weightspace.source import Source
    from wsp.pair import Pair

CODE = "network.py"
_CONFIG = "config.json"
_ROUNDING = 1e-4  # of outputs in float32
_MEASURED = 400  # examples on which it is decided what is kept apart


@dataclass(frozen=True)
class Sizing:
    """What the user asked for: a size, or shares of some groups."""

    size: float | None
    by: Literal["parameters", "flops"]
    shares: Mapping[str, float] | None


def sizing_of(options: PleasOptions, output: Path) -> Sizing | None:
    """How large the merged network is to be; None for the size of one network.

    Raises:
        typer.BadParameter: A share is none, or a size and shares are given.
        OutputError: The output is a single file, which could not say what network it is of.
    """
    if options.size is None and options.apart is None:
        return None
    if options.size is not None and options.apart is not None:
        raise typer.BadParameter("expected --size or --apart, found both", param_hint="--size")
    check_folder(output)
    return Sizing(options.size, options.size_by, None if options.apart is None else _shares(options.apart))


def check_folder(output: Path) -> None:
    """Checks that there is room for a description.

    Raises:
        OutputError: The output is a single file, which could not say what network it is of.
    """
    from weightspace.checkpoint.guard import is_single_file

    if is_single_file(output):
        raise OutputError(
            f"{output}: expected a folder, since a network of another width needs a description beside its weights, "
            f"found a file; name a folder, such as {output.with_suffix('')}"
        )


def sized_network(origins: Origins, sizing: Sizing, source: Source | None, console: Console) -> Sized:
    """Decides which units are kept apart."""
    from weightspace.merge import sized
    from weightspace.source.width_config import widened_config

    program = origins.program
    calls = [program.inputs_for(x) for x, _ in origins.data.training(_MEASURED)]
    with console.progress("choosing what is kept apart"):
        return sized(
            program, (origins.a, origins.b), origins.spec, calls,
            size=sizing.size, shares=sizing.shares, measure=sizing.by,
            configured=lambda shapes: source is not None and widened_config(source, shapes) is not None,
        )  # fmt: skip


def form_of(stored: Stored, state: Mapping[str, Tensor], pair: Pair) -> Form:
    """How a merged network of another width is stored: as its library builds it, else with code of its own.

    Args:
        stored: The merged network.
        state: Its weights.
        pair: What it was merged from.
    """
    from weightspace.checkpoint import companions_of
    from weightspace.source import Program
    from weightspace.source.generated import code_of
    from weightspace.source.width_config import widened_config
    from weightspace.symmetry.verify import relative_error

    assert pair.network is not None
    source = pair.network.source
    shapes = {name: tuple(state[name].shape) for name in stored.exported.parameters}

    def same(candidate: Source) -> bool:
        program = Program.from_source(candidate)
        inputs = stored.program.call_of(program.inputs)
        outputs = (program.outputs(state), stored.program.outputs(state, inputs))
        return relative_error(*outputs) < _ROUNDING

    config = None if source is None or stored.parts else widened_config(source, shapes, same)
    companions = [path for path in companions_of(pair.a) if path.name != _CONFIG]
    dtypes = pair.dtypes
    if config is not None:
        return Form(stored.program, companions, {_CONFIG: json.dumps(config, indent=2) + "\n"}, dtypes, as_it_was=True)
    dtypes |= {part: dtypes[name] for name, parts in stored.parts.items() for part in parts if name in dtypes}
    about = f"{pair.network.label} with more units, merged by wsp merge."
    constants = {name: stored.exported.tensors[name] for name in sorted(stored.exported.constants)}
    code = code_of(stored.exported, about=" ".join(about.split()).replace('"', "'").replace("\\", "/"))
    return Form(stored.program, companions, {CODE: code}, dtypes, as_it_was=False, constants=constants)


def sizing_recipe(sized: Sized, found: Pleas, pair: Pair) -> dict[str, Any]:
    """What was chosen and what it costs, as JSON values."""
    from weightspace.source.cost import flops

    assert pair.network is not None
    assert pair.network.program is not None
    one = pair.network.program
    return {
        "size": found.program.parameters / one.parameters,
        "parameters": [one.parameters, found.program.parameters],
        "flops": [flops(one), flops(found.program)],
        "apart": dict(sized.budget.shares),
        "groups_refused": dict(sized.refused),
    }


def show_sizing(console: Console, sized: Sized, recipe: Mapping[str, Any]) -> None:
    """The same, for people."""
    homes, shares = sized.wide.homes, sized.budget.shares
    sizes = {group.name: group.size for group in homes.spec.groups if group.name in shares}
    rows = [
        (name, f"{size:,}", f"{homes.sizes.get(name, size) - size:,}", f"{shares[name]:.0%}")
        for name, size in sizes.items()
    ]
    console.table(("group", "#units", "#kept apart", "#share"), rows, title="what was kept apart")
    for reason, count in Counter(sized.refused.values()).items():
        console.line(f"{counted(count, 'group')} may not grow: {reason}")
    for what, (before, after) in (("parameters", recipe["parameters"]), ("FLOPs of an example", recipe["flops"])):
        console.line(f"{what}: {before:,} in one network, {after:,} in the merged one ({after / before:.3f}x)")


def _shares(text: str) -> dict[str, float]:
    shares = {}
    for part in text.split(","):
        name, _, share = part.rpartition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            name = ""
        if not name or not 0.0 <= shares[name.strip()] <= 1.0:
            raise typer.BadParameter(
                f"expected GROUP=SHARE with shares from 0 to 1, found {part!r}", param_hint="--apart"
            )
    return shares
