"""The application: its commands, and nothing heavy, so that `wsp --help` answers at once."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from weightspace import __version__
from wsp.adapter import app as adapter
from wsp.align import align
from wsp.barrier import barrier
from wsp.canonicalize import canonicalize
from wsp.check import check
from wsp.diff import diff
from wsp.merge import merge
from wsp.methods import methods
from wsp.spec import spec
from wsp.transport import transport
from wsp.untie import untie

app = typer.Typer(
    name="wsp",
    help=(
        "Derive the symmetries of neural networks from the networks themselves; align, merge and compare their "
        "checkpoints.\n\n"
        "A checkpoint is a .safetensors or PyTorch file, or a folder of shards or of transformers. Its architecture "
        "comes from --arch: timm:NAME, a transformers folder, FILE.py:function, or a saved spec. Transformers folders "
        "and plain stacks of linear and convolution layers need none."
    ),
    epilog="Exit status: 0 fine, 1 something is wrong with the input (one line says what), 2 wrong usage.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(spec)
app.command()(align)
app.command()(merge)
app.command()(check)
app.command()(methods)
app.command()(diff)
app.command()(barrier)
app.command()(canonicalize)
app.command()(transport)
app.command()(untie)
app.add_typer(adapter)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wsp {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the application itself; its help is given above."""


def main() -> None:
    """Entry point of the console script."""
    # The libraries behind timm: and hf: sources must neither reach out nor talk over our own messages.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    app(prog_name="wsp")
