"""What a merge method that needs networks asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weightspace.merge.networks.options import OfModel, Options


@dataclass(frozen=True)
class NetworkMethod:
    """A merge method.

    Attributes:
        name: As recipes write it.
        title: As people write it.
        about: What it does, in a line.
        reference: The paper.
        models: Least and largest number of models; None for any.
        data: What it needs of data: none of them, examples, or examples with labels; `optional` examples are for the
            statistics of batch norms alone.
        align: How models are aligned where nobody says; None for not at all.
        aligned: Whether they have to be.
        options: What can be set.
        of_model: What can be set for every model.
        own_data: Whether every model may have data of its own.
    """

    name: str
    title: str
    about: str
    reference: str
    models: tuple[int, int | None]
    data: Literal["optional", "examples", "labels"]
    align: str | None
    options: type[Options]
    aligned: bool = False
    of_model: type[OfModel] = OfModel
    own_data: bool = False
