"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_RESET_SAMPLES = 5000
DEFAULT_RESTARTS = 10
DEFAULT_MATCH_SAMPLES = 2500
DEFAULT_KINDS = "permutation"

A = Annotated[Path, typer.Argument(metavar="A", help="Checkpoint that is the reference: a file or a folder.")]
B = Annotated[Path, typer.Argument(metavar="B", help="Checkpoint of the same architecture.")]
Models = Annotated[
    list[Path],
    typer.Argument(metavar="A B ... | RECIPE.yml", help="Checkpoints of one architecture, or a recipe naming them."),
]
Base = Annotated[
    Path | None,
    typer.Option("--base", metavar="PATH", help="What task vectors start from, for methods that use one."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="An option of the method, such as density=0.5, or with commas one value for each model; may be repeated.",
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="NAME",
        help="Type of the merged weights: float16, bfloat16, float32, float64; else kept.",
    ),
]
ShardSize = Annotated[
    float | None,
    typer.Option(
        "--shard-size",
        min=1e-6,
        metavar="GB",
        help="Of a streamed merge into a folder: the tensors in one file take no more. Default: 5.",
        show_default=False,
    ),
]
Vocabulary = Annotated[
    str | None,
    typer.Option(
        "--tokenizer",
        metavar="NAME",
        help="Vocabulary of a streamed merge where those of the models differ: base, union, intersection, or the "
        "folder of a tokenizer; as tokenizer_source in a recipe. Default: that of the base, ids merged as they are.",
        show_default=False,
    ),
]
Arch = Annotated[
    str | None,
    typer.Option(
        "--arch",
        metavar="SOURCE",
        help="Where the network comes from: timm:NAME, a transformers folder, FILE.py:function, "
        "package.module:function, or a saved spec.json. Default: the config.json beside the checkpoint, else its "
        "layers are read off its tensors.",
        show_default=False,
    ),
]
Activation = Annotated[
    str | None,
    typer.Option(
        "--activation",
        metavar="NAME",
        help="What stands between the layers of an architecture that was read off the tensors: relu, tanh, gelu, ...",
        show_default=False,
    ),
]
InputShape = Annotated[
    str | None,
    typer.Option(
        "--input-shape", metavar="C,H,W", help="Shape of one input without the batch, where the source leaves it open."
    ),
]
_DATA = typer.Option(
    "--data",
    metavar="DATA",
    help="Labelled data: a .npz with x and y, MNIST-style idx .gz files, a folder of images by class, or a folder with "
    "train and test parts of these.",
    show_default=False,
)
Data = Annotated[Path | None, _DATA]
RequiredData = Annotated[Path, _DATA]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean",
        metavar="M,M,M",
        help="Mean per channel of inputs in [0, 1]. Default: that of the model's own configuration.",
        show_default=False,
    ),
]
Std = Annotated[
    str | None,
    typer.Option("--std", metavar="S,S,S", help="Standard deviation per channel, with --mean.", show_default=False),
]
ResetSamples = Annotated[
    int,
    typer.Option(
        "--reset-samples",
        min=1,
        metavar="N",
        help="Examples, of the training part if there is one, to measure the statistics of batch norms on.",
    ),
]
Method = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="NAME",
        help="weights (balanced weight matching) or git-rebasin (the sum of the paper); on --data: activations "
        "(correlation after activation functions; also -pre, -all, -inner), weights-activations (weights with one more "
        "start there), ste, sinkhorn-loss (learned on the loss); sinkhorn (soft permutations, no data).",
    ),
]
Kinds = Annotated[
    str,
    typer.Option(
        "--kinds",
        metavar="K,K",
        help="Symmetries to use: permutation, and what else the network has of scale, sign, linear (maps inside of "
        "attention heads), rotation (of a residual stream; see wsp untie), rotary.",
    ),
]
MatchSamples = Annotated[
    int,
    typer.Option(
        "--match-samples",
        min=1,
        metavar="N",
        help="Examples, of the training part if there is one, for methods that go by data.",
    ),
]
Restarts = Annotated[
    int, typer.Option("--restarts", min=1, metavar="N", help="Starts of the search, of which the best is kept.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Seed of everything random.")]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="Where to compute: cpu, cuda or cuda:N.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors (and the document of --json).")]


def floats(option: str, text: str | None) -> tuple[float, ...] | None:
    """Numbers separated by commas.

    Raises:
        typer.BadParameter: Something else.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"expected numbers separated by commas, found {text!r}", param_hint=option) from None


def names(option: str, text: str) -> tuple[str, ...]:
    """Names separated by commas, each once.

    Raises:
        typer.BadParameter: There are none.
    """
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise typer.BadParameter("expected at least one name, found none", param_hint=option)
    return found


def positive_integers(option: str, text: str | None) -> tuple[int, ...] | None:
    """Positive whole numbers separated by commas or by x.

    Raises:
        typer.BadParameter: Something else.
    """
    if text is None:
        return None
    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise typer.BadParameter(
            f"expected positive whole numbers separated by commas, found {text!r}", param_hint=option
        )
    return tuple(int(part) for part in parts)
