"""`wsp adapter`: LoRA adapters as PEFT stores them, fused into a base, taken out of a fine-tune, merged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsp import options
from wsp.console import Console, counted
from wsp.errors import reports_errors

if TYPE_CHECKING:
    from torch import Tensor

    from weightspace.checkpoint import Adapter, Checkpoint
    from weightspace.merge.adapters import Fused, Layers, MadeAdapter
    from weightspace.source import Source

app = typer.Typer(
    name="adapter",
    help="LoRA adapters (PEFT folders): fuse them into their base, extract one from a fine-tune, merge several. "
    "wsp transport brings one into the coordinates of another base.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_Base = Annotated[Path, typer.Argument(metavar="BASE", help="The checkpoint that was trained on: a file or a folder.")]
_Adapters = Annotated[list[Path], typer.Argument(metavar="ADAPTER", help="Folders with adapter_config.json.")]
_OutputFolder = Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="The adapter: a folder.")]
_Weight = Annotated[
    str | None,
    typer.Option("--weight", metavar="W,W", help="How much each adapter counts.", show_default=False),
]
_Drop = Annotated[
    str | None,
    typer.Option(
        "--drop",
        metavar="NAME,...",
        help="Modules to leave out, by the last components of their names: classifier, layers.0.mlp.",
        show_default=False,
    ),
]
_Rank = Annotated[
    int | None, typer.Option("--rank", min=1, metavar="R", help="Largest rank of a weight.", show_default=False)
]
_Energy = Annotated[
    float | None,
    typer.Option(
        "--energy",
        metavar="SHARE",
        help="In place of --rank or below it: the least rank of each weight that keeps this share of the squared "
        "singular values, above 0 and at most 1.",
        show_default=False,
    ),
]


@app.command()
@reports_errors
def fuse(
    base: _Base,
    adapters: _Adapters,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="The result: a .safetensors file, or a folder.")
    ],
    weight: _Weight = None,
    drop: _Drop = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Add what adapters learned to their base: a checkpoint that needs no PEFT, read and written tensor by tensor.

    Each weight W becomes W + the sum of weight * change, 1 by default. LoRA, rsLoRA and DoRA, of linear layers,
    convolutions and embeddings, trained biases and modules saved whole are understood; anything else is refused.
    """
    console = Console(as_json=as_json, quiet=quiet)
    with console.owning_stdout():
        from weightspace.checkpoint import check_finite, check_output, open_adapter, open_checkpoint
        from weightspace.merge.adapters import fuse as fused

        check_output(output, [base, *adapters])
        opened = [open_adapter(path) for path in adapters]
        checkpoint = open_checkpoint(base)
        for note in checkpoint.notes:
            console.note(f"{checkpoint.path}: {note}")
        weights = _weights(weight, opened) or (1.0,) * len(opened)
        result = fused(
            checkpoint, opened, weights=weights, drop=_names(drop), ties=_ties(checkpoint, console)
        )  # fmt: skip
        check_finite(checkpoint)
        for name, shape in result.brought.items():
            known = tuple(checkpoint.info(name).shape) if name in checkpoint else "none"
            console.note(f"{name} {shape} is as the adapter brought it; the base has {known}")
        _write_fused(console, output, checkpoint, opened, result, {"weights": list(weights), "drop": _names(drop)})


def _write_fused(
    console: Console, output: Path, base: Checkpoint, adapters: Sequence[Adapter], result: Fused, recipe: dict[str, Any]
) -> None:
    from weightspace.checkpoint import companions_of, write_checkpoint

    def told() -> Iterator[tuple[str, Tensor]]:
        with console.progress("fusing") as step:
            for done, (name, tensor) in enumerate(result.tensors.items()):
                step(done, len(result.tensors), name)
                yield name, tensor

    paths = [base.path, *(adapter.path for adapter in adapters)]
    recipe = {"adapters": [str(each.path) for each in adapters], **recipe}
    inputs = {str(base.path): base.sha256()} | {str(each.path): each.tensors.sha256() for each in adapters}
    sharded = len(base.files) > 1 and output.suffix == ""
    write_checkpoint(
        output, told(),
        provenance=_provenance("fuse", recipe, inputs),
        aliases=base.aliases(), inputs=paths, companions=companions_of(base),
        max_shard_bytes=max(file.stat().st_size for file in base.files) if sharded else None,
    )  # fmt: skip
    console.document({
        "base": str(base.path), **recipe,
        "changed": list(result.changed), "brought": {name: list(shape) for name, shape in result.brought.items()},
        "output": str(output), "notes": console.notes,
    })  # fmt: skip
    console.line(f"{len(result.changed):,} of {counted(len(result.tensors), 'tensor')} changed; written to {output}")


@app.command()
@reports_errors
def extract(
    base: _Base,
    tuned: Annotated[Path, typer.Argument(metavar="TUNED", help="A fine-tune of it.")],
    output: _OutputFolder,
    rank: _Rank = None,
    energy: _Energy = None,
    drop: _Drop = None,
    whole: Annotated[
        str | None,
        typer.Option(
            "--whole", metavar="NAME,...", help="Modules to save whole where they changed.", show_default=False
        ),
    ] = None,
    arch: options.Arch = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make an adapter out of what fine-tuning changed, by truncated singular value decompositions.

    Linear layers, convolutions and embeddings get factors of low rank, and biases with them; whatever else changed
    (norms, heads) is saved whole, so that only what the ranks cut off is lost. The table says how much that is.
    """
    console = Console(as_json=as_json, quiet=quiet)
    if rank is None and energy is None:
        raise typer.BadParameter("expected one of both, found neither", param_hint="--rank or --energy")
    with console.owning_stdout():
        from weightspace.checkpoint import check_adapter_output, check_finite, open_checkpoint, write_adapter
        from weightspace.merge.adapters import extract as extracted

        check_adapter_output(output, [base, tuned])
        first, second = open_checkpoint(base), open_checkpoint(tuned)
        for checkpoint in (first, second):
            for note in checkpoint.notes:
                console.note(f"{checkpoint.path}: {note}")
            check_finite(checkpoint)
        layers = _layers(_source(arch, first, second))
        with console.progress("decomposing") as step:
            result = extracted(
                first, second, layers,
                rank=rank, energy=energy, drop=_names(drop), whole=_names(whole), task=_task(second), progress=step,
            )  # fmt: skip
        for names, told in ((result.dropped, "stay as in the base"), (result.only_base, "are in the base alone")):
            if names:
                console.note(f"{counted(len(names), 'tensor')} {told}: {_shown(names)}")
        recipe = {"rank": rank, "energy": energy, "drop": _names(drop), "whole": _names(whole)}
        inputs = {str(first.path): first.sha256(), str(second.path): second.sha256()}
        write_adapter(
            output, result.adapter.tensors, result.adapter.config(base=str(base)),
            provenance=_provenance("extract", recipe, inputs), inputs=[base, tuned],
        )  # fmt: skip
        told = {"base": str(base), "tuned": str(tuned), **recipe, "dropped": result.dropped, "error": result.error}
        _tell(console, output, result.adapter, told)
        console.line(f"lost of all differences: {result.error:.2%} of their norm")
        console.line(f"written to {output}")


@app.command()
@reports_errors
def merge(
    adapters: _Adapters,
    output: _OutputFolder,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="How: linear is the weighted mean of what the adapters add, exactly; any other merge method sees "
            "these in full, and its result is cut to a rank, by default the sum of theirs.",
        ),
    ] = "linear",
    weight: _Weight = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of the method; may be repeated."),
    ] = None,
    rank: _Rank = None,
    energy: _Energy = None,
    drop: _Drop = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Merge adapters of one base into one, whatever their ranks and the modules that they change.

    An adapter that leaves a weight alone counts with zeros there. Modules saved whole are averaged.
    """
    console = Console(as_json=as_json, quiet=quiet)
    with console.owning_stdout():
        from weightspace.checkpoint import check_adapter_output, open_adapter, write_adapter
        from weightspace.merge.adapters import merge_adapters

        check_adapter_output(output, adapters)
        opened = [open_adapter(path) for path in adapters]
        weights = _weights(weight, opened)
        given = _settings(settings or []) | ({} if weights is None else {"weight": weights})
        with console.progress("merging") as step:
            result = merge_adapters(
                opened, method=method, options=given, rank=rank, energy=energy, drop=_names(drop), seed=seed,
                progress=step,
            )  # fmt: skip
        bases = list(dict.fromkeys(each.config.get("base_model_name_or_path") for each in opened))
        if len(bases) > 1:
            console.warn(f"the adapters name different bases: {', '.join(map(str, bases))}; the first is kept")
        if result.partial:
            console.note(f"saved whole by some adapters only, and kept: {_shown(result.partial)}")
        recipe = {"method": method, "options": given, "rank": rank, "energy": energy, "drop": _names(drop)}
        inputs = {str(each.path): each.tensors.sha256() for each in opened}
        write_adapter(
            output, result.adapter.tensors, result.adapter.config(base=bases[0]),
            provenance=_provenance("merge", recipe, inputs, seed), inputs=adapters,
        )  # fmt: skip
        _tell(console, output, result.adapter, {"adapters": [str(path) for path in adapters], **recipe})
        console.line(f"{counted(len(opened), 'adapter')} merged by {method}; written to {output}")


def _tell(console: Console, output: Path, made: MadeAdapter, told: dict[str, Any]) -> None:
    """The table of an adapter's weights, or the document."""
    layers = [
        {"module": layer.module, "shape": list(layer.shape), "rank": layer.rank, "error": layer.error}
        for layer in made.layers
    ]
    console.document({
        **told, "layers": layers, "modules_to_save": list(made.modules_to_save), "output": str(output),
        "notes": console.notes,
    })  # fmt: skip
    rows = [
        [layer.module, " x ".join(map(str, layer.shape)), str(layer.rank), f"{layer.error:.2%}"]
        for layer in made.layers
    ]
    if rows:
        console.table(["module", "#shape", "#rank", "#lost"], rows, title="low ranks, and what they lose of the norm")
    if made.modules_to_save:
        console.line(f"saved whole: {_shown(made.modules_to_save)}")


def _provenance(verb: str, recipe: dict[str, Any], inputs: dict[str, str], seed: int | None = None) -> Any:
    from weightspace.checkpoint import Provenance

    return Provenance(f"wsp adapter {verb}", recipe, inputs, seed)


def _weights(text: str | None, adapters: Sequence[Adapter]) -> tuple[float, ...] | None:
    found = options.floats("--weight", text)
    if found is not None and len(found) != len(adapters):
        raise typer.BadParameter(
            f"expected {len(adapters)} numbers, one for each adapter, found {len(found)}", param_hint="--weight"
        )
    return found


def _names(text: str | None) -> tuple[str, ...]:
    return () if text is None else options.names("--drop or --whole", text)


def _settings(given: Sequence[str]) -> dict[str, Any]:
    """Options of a merge method: numbers, true or false, or numbers separated by commas."""
    found: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"expected NAME=VALUE, found {text!r}", param_hint="--set")
        numbers = None if value in ("true", "false") else options.floats("--set", value)
        found[name] = value == "true" if numbers is None else numbers[0] if len(numbers) == 1 else numbers
    return found


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


def _source(arch: str | None, base: Checkpoint, tuned: Checkpoint) -> Source:
    from weightspace.source import resolve_source

    if arch is None and tuned.config_path is None and base.config_path is not None:
        return resolve_source(str(base.config_path.parent), checkpoint=tuned)
    return resolve_source(arch, checkpoint=tuned)


def _layers(source: Source) -> Layers:
    from weightspace.merge.adapters import layers_of

    return layers_of(source.build(meta=True))


def _ties(base: Checkpoint, console: Console) -> dict[str, str]:
    """Names that stand for another's tensor: in the file, and in the network that lies beside it."""
    from weightspace.errors import SourceError
    from weightspace.source import resolve_source

    ties = base.aliases()
    if base.config_path is None:
        return ties
    try:
        return {**_layers(resolve_source(None, checkpoint=base)).ties, **ties}
    except SourceError as error:
        console.note(f"{base.path}: cannot tell whether its head is tied to its embeddings: {error}")
        return ties


def _task(tuned: Checkpoint) -> str | None:
    """PEFT's name of the task, from the configuration beside a fine-tune."""
    import json

    from weightspace.errors import SourceError
    from weightspace.merge.adapters import task_of

    if tuned.config_path is None:
        return None
    try:
        settings = json.loads(tuned.config_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{tuned.config_path}: expected JSON, found: {error}; restore the file") from error
    return task_of(settings.get("architectures") or ()) if isinstance(settings, dict) else None
