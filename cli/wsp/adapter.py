"""`wsp adapter`: LoRA adapters as PEFT stores them, fused into a base, taken out of a fine-tune, merged."""

from __future__ import annotations

import typer

from wsp.adapter_extract import extract
from wsp.adapter_fuse import fuse
from wsp.adapter_merge import merge

app = typer.Typer(
    name="adapter",
    help="LoRA adapters (PEFT folders): fuse them into their base, extract one from a fine-tune, merge several. "
    "wsp transport brings one into the coordinates of another base.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.command()(fuse)
app.command()(extract)
app.command()(merge)
