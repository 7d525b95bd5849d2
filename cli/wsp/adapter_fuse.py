"""`wsp adapter fuse`: adapters in their base, for good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsp import adapter_options, options
from wsp.console import Console, counted
from wsp.dry_run import DryRun, stored, tell
from wsp.errors import reports_errors

if TYPE_CHECKING:
    from torch import Tensor

    from weightspace.checkpoint import Adapter, Checkpoint
    from weightspace.merge.adapters import Fused


@reports_errors
def fuse(
    base: adapter_options.Base,
    adapters: adapter_options.Adapters,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="The result: a .safetensors file, or a folder.")
    ],
    weight: adapter_options.Weight = None,
    drop: adapter_options.Drop = None,
    dry_run: DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Add what adapters learned to their base: a checkpoint that needs no PEFT, read and written tensor by tensor.

    Each weight W becomes W + the sum of weight * change, 1 by default. LoRA, rsLoRA and DoRA, of linear layers,
    convolutions and embeddings, trained biases and modules saved whole are understood; anything else is refused.
    """
    console = Console(as_json=as_json, quiet=quiet)
    with console.owning_stdout():
        from weightspace.checkpoint import TensorInfo, check_finite, check_output, open_adapter, open_checkpoint
        from weightspace.merge.adapters import fuse as fused
        from weightspace.merge.adapters import ties_of

        check_output(output, [base, *adapters])
        opened = [open_adapter(path) for path in adapters]
        checkpoint = open_checkpoint(base)
        for note in checkpoint.notes:
            console.note(f"{checkpoint.path}: {note}")
        without = adapter_options.names("--drop", drop)
        weights = adapter_options.weights(weight, len(opened)) or (1.0,) * len(opened)
        ties, doubt = ties_of(checkpoint)
        if doubt is not None:
            console.note(doubt)
        result = fused(checkpoint, opened, weights=weights, drop=without, ties=ties)
        check_finite(checkpoint)
        for name, shape in result.brought.items():
            known = tuple(checkpoint.info(name).shape) if name in checkpoint else "none"
            console.note(f"{name} {shape} is as the adapter brought it; the base has {known}")
        if dry_run:
            own = {name: result.tensors[name] for name in result.brought}
            brought = {name: TensorInfo(tuple(tensor.shape), tensor.dtype) for name, tensor in own.items()}
            tell(console, output, stored(checkpoint, brought))
            return
        _write_fused(console, output, checkpoint, opened, result, {"weights": list(weights), "drop": without})


def _write_fused(
    console: Console, output: Path, base: Checkpoint, adapters: Sequence[Adapter], result: Fused, recipe: dict[str, Any]
) -> None:
    from weightspace.checkpoint import Provenance, companions_of, write_checkpoint

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
        provenance=Provenance("wsp adapter fuse", recipe, inputs),
        aliases=base.aliases(), inputs=paths, companions=companions_of(base),
        max_shard_bytes=max(file.stat().st_size for file in base.files) if sharded else None,
    )  # fmt: skip
    console.document({
        "base": str(base.path), **recipe,
        "changed": list(result.changed), "brought": {name: list(shape) for name, shape in result.brought.items()},
        "output": str(output), "notes": console.notes,
    })  # fmt: skip
    console.line(f"{len(result.changed):,} of {counted(len(result.tensors), 'tensor')} changed; written to {output}")
