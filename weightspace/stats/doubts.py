"""Whether data are such as a network was trained on, as far as its activations tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import torch
from torch import Tensor

from weightspace.errors import DataError, SourceError, TraceError
from weightspace.source import Inputs, Program
from weightspace.stats.batchnorm import observe_batchnorm
from weightspace.stats.moments import ChannelMoments
from weightspace.symmetry.taps import Tap

State = Mapping[str, Tensor]
# Medians over all channels of real ResNets (20, 32 and 56 layers, CIFAR-10) and a small CNN: 0.01 to 0.09 deviations
# and a factor of 1.02 to 1.18 on their own data, 0.07 to 0.12 and up to 1.5 on one class of these; without the
# normalisation that they were trained with 0.25 to 0.29 and 2.1 to 3.1, with noise 0.33 to 0.36 and 1.8 to 2.1, with
# values up to 255 more than 11 and 160.
_SHIFT, _FACTOR = 0.3, 2.0
_CONSTANT = 0.5  # share of the units of a group; of real networks up to 0.4
_FEW = 16  # examples, too few to judge by


def doubts_about(program: Program, state: State, batches: Callable[[], Iterable[Inputs]]) -> list[str]:
    """What speaks against data that a network is to be measured on, one line each; nothing where all is well.

    Inputs of batch norms that are far from the running statistics, units that are constant, examples that are equal.

    Args:
        program: The network.
        state: Weights as they were trained.
        batches: Starts a pass over a few calls of the network, some dozens of examples in all; fewer than 16 are only
            checked for being finite and equal.

    Raises:
        DataError: What the network gives is not finite.
    """
    calls = list(batches())
    moments, outputs = observe_batchnorm(program, state, calls)
    if not all(bool(output.isfinite().all()) for output in outputs):
        raise DataError(
            "the data: expected finite outputs of the network, found others; check the examples and their scale"
        )
    count = _examples(calls)
    if count > 1 and _equal(calls):
        return [f"the data: all {count} examples that were looked at are equal, so nothing can be measured on them"]
    if count < _FEW:
        return []
    found = list(_off_statistics(state, moments))
    with suppress(SourceError, TraceError):  # a network that cannot be followed along its trace
        found += _constant_units(program, state, calls)
    return found


def _off_statistics(state: State, moments: Mapping[tuple[str, str], ChannelMoments]) -> Iterator[str]:
    shifts, factors = [], []
    for (mean, variance), seen in moments.items():
        assert seen.mean is not None
        spread = state[variance].double().clamp(min=0) + torch.finfo(torch.float32).eps
        shifts.append((seen.mean - state[mean].double()).abs() / spread.sqrt())
        factors.append(((seen.variance(unbiased=False) + torch.finfo(torch.float32).eps) / spread).log().abs())
    if not shifts:
        return
    shift, factor = float(torch.cat(shifts).median()), math.exp(float(torch.cat(factors).median()))
    if shift > _SHIFT or factor > _FACTOR:
        yield (
            f"the data: inputs of batch norms lie {shift:.2g} deviations from their running means, and their variances "
            f"differ by a factor of {factor:.2g} (medians over channels): such data the network was not trained on; "
            "check the normalisation"
        )


def _constant_units(program: Program, state: State, calls: Sequence[Inputs]) -> Iterator[str]:
    """Says of which group most units are constant wherever they are read."""
    seen: dict[str, dict[int, ChannelMoments]] = {}
    for inputs in calls:
        taps = program.taps(inputs).chosen("read")
        places = {tap: at for at, tap in enumerate(taps.taps)}

        def add(tap: Tap, values: Tensor, places: Mapping[Tap, int] = places) -> None:
            seen.setdefault(tap.group, {}).setdefault(places[tap], ChannelMoments()).add(values.flatten(1))

        program.visit(state, inputs, taps, add)
    worst, share = None, _CONSTANT
    for group, moments in seen.items():
        constant = torch.stack([each.deviation() == 0 for each in moments.values()]).all(0)
        if float(constant.double().mean()) > share:
            worst, share = (group, int(constant.sum()), len(constant)), float(constant.double().mean())
    if worst is not None:
        yield (
            f"the data: {worst[1]} of {worst[2]} units of group '{worst[0]}' are constant on the examples that were "
            "looked at; check the examples and their scale"
        )


def _examples(calls: Sequence[Inputs]) -> int:
    return sum(len(primary) for inputs in calls if (primary := inputs.primary()) is not None)


def _equal(calls: Sequence[Inputs]) -> bool:
    """Whether all examples of the primary tensor are the same."""
    first = calls[0].primary()
    return first is not None and all(bool((inputs.primary() == first[:1]).all()) for inputs in calls)
