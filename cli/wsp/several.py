"""`wsp merge` of any number of networks: soups, RegMean, means by Fisher information."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsp.aligning import align_pair, on, show_alignment
from wsp.asked_pair import pair_request
from wsp.console import Console
from wsp.data import CommandData, command_data
from wsp.doubts import warn_of_data
from wsp.pair import Pair, opened

if TYPE_CHECKING:
    from torch import Tensor

    from weightspace.checkpoint import Checkpoint
    from weightspace.data import Batch
    from weightspace.merge.networks import NetworkMerge
    from weightspace.source import Program


@dataclass(frozen=True)
class Several:
    """Networks that are to be merged.

    Attributes:
        asked: What was asked for.
        pair: The first two, with their network and the data that were given for all.
        checkpoints: The models, the reference first.
        states: Their tensors in the coordinates of the reference, on the device to compute on.
        data: The data of every model; None where there are none.
        alignments: What was found about every alignment, without what differs from run to run.
    """

    asked: NetworkMerge
    pair: Pair
    checkpoints: Sequence[Checkpoint]
    states: Sequence[Mapping[str, Tensor]]
    data: Sequence[CommandData | None]
    alignments: Mapping[str, Any]

    @property
    def program(self) -> Program:
        """The network, where there are data to run it on."""
        assert self.pair.network is not None
        assert self.pair.network.program is not None
        return self.pair.network.program

    @property
    def given(self) -> list[tuple[CommandData, int]]:
        """The data of every model, and how many examples of them count; of a method that goes by data."""
        asked = zip(self.data, self.asked.data, strict=True)
        return [(data, each.samples) for data, each in asked if data is not None and each is not None]

    def statistics(self) -> Iterable[Batch] | None:
        """Batches to measure the statistics of batch norms on: of the data for all, or of those of all models."""
        samples = self.asked.options.reset_samples
        if self.pair.data is not None:
            return self.pair.data.statistics(samples)
        return chain.from_iterable(data.statistics(samples) for data, _ in self.given) if self.given else None


def opened_several(asked: NetworkMerge, console: Console, device: str) -> Several:
    """Opens, checks and aligns everything.

    Raises:
        WeightspaceError: Something is missing or does not fit.
    """
    first, *others = map(Path, asked.models)
    network = asked.align is not None or any(asked.data)
    pairs: list[Pair] = []
    states: list[Mapping[str, Tensor]] = []
    found: dict[str, Any] = {}
    for other in others:
        request = pair_request(asked.recipe, first, other, device=device)
        pair = opened(request, console, evaluates=asked.method.data == "labels", network=network)
        if not pairs:
            warn_of_data(pair, console)
            states.append(on(pair.device, pair.a.tensors()))
        if asked.align is None:
            states.append(on(pair.device, pair.b.tensors()))
        else:
            result = align_pair(pair, console)
            show_alignment(console, result, f"{other} aligned to {first}")
            states.append(on(pair.device, result.aligned))
            found[str(other)] = result.recipe()
        pairs.append(pair)
    checkpoints = [pairs[0].a, *(pair.b for pair in pairs)]
    return Several(asked, pairs[0], checkpoints, states, _data(asked, pairs[0], console), found)


def _data(asked: NetworkMerge, pair: Pair, console: Console) -> list[CommandData | None]:
    """The data of every model: its own, or those that were given for all."""
    source = None if pair.network is None else pair.network.source
    found: list[CommandData | None] = []
    for each in asked.data:
        if each is None or each == asked.recipe.data:
            found.append(pair.data)
            continue
        mean, std = (None if numbers is None else tuple(numbers) for numbers in (each.mean, each.std))
        found.append(command_data(Path(each.path), mean, std, source, console, seed=asked.recipe.seed))
    return found
