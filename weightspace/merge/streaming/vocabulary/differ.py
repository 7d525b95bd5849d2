"""Models that are merged number by number, though their numbers mean other tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from weightspace.errors import WeightspaceError
from weightspace.merge.streaming.vocabulary.read import LISTS, TOKENIZER, read_vocabulary


def unlike_tokens(folders: Mapping[str, Path]) -> tuple[str, ...]:
    """Notes on models whose tokens are others than those of the first; none where files are the same.

    Args:
        folders: Where the models lie, the base first; those without a tokenizer are passed over.
    """
    found = {name: path for name, folder in folders.items() if (path := _listed(folder)) is not None}
    notes = []
    for name, path in [*found.items()][1:]:
        first, other = next(iter(found.items()))
        if path.read_bytes() != other.read_bytes():
            notes += _compared(first, other.parent, name, path.parent)
    return tuple(notes)


def _listed(folder: Path) -> Path | None:
    return next((folder / name for name in (TOKENIZER, *LISTS) if (folder / name).is_file()), None)


def _compared(first: str, one: Path, second: str, other: Path) -> list[str]:
    try:
        of_one, of_other = ({n: t for t, n in read_vocabulary(folder).ids.items()} for folder in (one, other))
    except WeightspaceError as error:
        return [f"tokenizers of {first} and {second} differ; their tokens are not compared: {error}"]
    unlike = sorted(number for number in of_one.keys() | of_other.keys() if of_one.get(number) != of_other.get(number))
    if not unlike:
        return []
    told = (f"'{tokens[unlike[0]]}'" if unlike[0] in tokens else "no token" for tokens in (of_one, of_other))
    return [
        f"{len(unlike)} of {len(of_one.keys() | of_other.keys())} numbers mean other tokens in {second} than in "
        f"{first}: {unlike[0]} is {' there and '.join(reversed([*told]))} here; set tokenizer_source to union or base"
    ]
