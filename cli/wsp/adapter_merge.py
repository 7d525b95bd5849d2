"""`wsp adapter merge`: one adapter out of several."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from wsp import adapter_options, options
from wsp.adapter_report import shown, tell
from wsp.console import Console, counted
from wsp.dry_run import DryRun
from wsp.dry_run import tell as tell_dry_run
from wsp.errors import reports_errors

if TYPE_CHECKING:
    from weightspace.checkpoint import TensorInfo


@reports_errors
def merge(
    adapters: adapter_options.Adapters,
    output: adapter_options.OutputFolder,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="How: linear is the weighted mean of what the adapters add, exactly; any other merge method sees "
            "these in full, and its result is cut to a rank, by default the sum of theirs.",
        ),
    ] = "linear",
    weight: adapter_options.Weight = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of the method; may be repeated."),
    ] = None,
    rank: adapter_options.Rank = None,
    energy: adapter_options.Energy = None,
    drop: adapter_options.Drop = None,
    seed: options.Seed = 0,
    dry_run: DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Merge adapters of one base into one, whatever their ranks and the modules that they change.

    An adapter that leaves a weight alone counts with zeros there. Modules saved whole are averaged.
    """
    console = Console(as_json=as_json, quiet=quiet)
    with console.owning_stdout():
        from weightspace.checkpoint import Provenance, check_adapter_output, open_adapter, write_adapter
        from weightspace.merge.adapters import merge_adapters

        check_adapter_output(output, adapters)
        opened = [open_adapter(path) for path in adapters]
        without = adapter_options.names("--drop", drop)
        weights = adapter_options.weights(weight, len(opened))
        given = adapter_options.settings(settings or []) | ({} if weights is None else {"weight": weights})
        if dry_run:
            infos = [_largest(name, each.tensors.info(name), rank) for each in opened for name in each.tensors]
            tell_dry_run(console, output, infos, at_most=True)
            return
        with console.progress("merging") as step:
            result = merge_adapters(
                opened, method=method, options=given, rank=rank, energy=energy, drop=without, seed=seed,
                progress=step,
            )  # fmt: skip
        bases = list(dict.fromkeys(each.config.get("base_model_name_or_path") for each in opened))
        if len(bases) > 1:
            console.warn(f"the adapters name different bases: {', '.join(map(str, bases))}; the first is kept")
        if result.partial:
            console.note(f"saved whole by some adapters only, and kept: {shown(result.partial)}")
        recipe = {"method": method, "options": given, "rank": rank, "energy": energy, "drop": without}
        inputs = {str(each.path): each.tensors.sha256() for each in opened}
        write_adapter(
            output, result.adapter.tensors, result.adapter.config(base=bases[0]),
            provenance=Provenance("wsp adapter merge", recipe, inputs, seed), inputs=adapters,
        )  # fmt: skip
        tell(console, output, result.adapter, {"adapters": [str(path) for path in adapters], **recipe})
        console.line(f"{counted(len(opened), 'adapter')} merged by {method}; written to {output}")


def _largest(name: str, info: TensorInfo, rank: int | None) -> TensorInfo:
    """What a tensor of an adapter may add to the merged one, in the type that is computed in."""
    import math

    import torch

    elements = math.prod(info.shape)
    if rank is not None and "lora_" in name:
        elements *= math.ceil(rank / max(1, min(info.shape, default=1)))
    return replace(info, shape=(elements,), dtype=torch.promote_types(info.dtype, torch.float32))
