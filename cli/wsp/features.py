"""What methods of `wsp merge` that merge features share: an alignment first, and data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wsp.aligning import AlignedPair, on
from wsp.console import Console
from wsp.outcome import Form, Outcome
from wsp.pair import Pair

if TYPE_CHECKING:
    from torch import Tensor

    from weightspace.source import Program
    from weightspace.symmetry import Spec
    from wsp.data import CommandData


@dataclass(frozen=True)
class ByFeatures:
    """A merge by features.

    Attributes:
        title: Name of the method, as people write it.
        state: The merged weights by the names of the spec, tied ones once, in float32 or wider; by those of the form,
            where there is one.
        recipe: What the merge was and achieved, as JSON values.
        show: Shows that to people.
        form: How it is stored; None for a network as those that it is made of.
    """

    title: str
    state: dict[str, Tensor]
    recipe: dict[str, Any]
    show: Callable[[Console], None]
    form: Form | None = None


Merging = Callable[[Pair, AlignedPair, Console], ByFeatures]


@dataclass(frozen=True)
class Origins:
    """Two networks aligned to each other, on the device to compute on, and what they run on.

    Attributes:
        program: The network.
        spec: Its symmetry.
        a: Weights of the reference, tied ones once.
        b: Weights of the other network, likewise.
        data: The data.
    """

    program: Program
    spec: Spec
    a: dict[str, Tensor]
    b: dict[str, Tensor]
    data: CommandData


def origins_of(pair: Pair, result: AlignedPair) -> Origins:
    """What is merged, of a pair with a network and data."""
    network, data = pair.network, pair.data
    assert data is not None
    assert network is not None
    assert network.program is not None
    a, b = (on(pair.device, network.untied(each)) for each in (result.a, result.aligned))
    return Origins(network.program, network.spec, a, b, data)


def by_features(pair: Pair, result: AlignedPair, console: Console, merging: Merging, *, samples: int) -> Outcome:
    """Merges two aligned networks, and measures the statistics of batch norms on so many examples."""
    from weightspace.merge import finished, interpolate

    found = merging(pair, result, console)
    assert pair.network is not None
    assert pair.network.program is not None
    assert pair.data is not None
    state, form = found.state, found.form
    if form is None or form.as_it_was:  # what the network does not know is averaged
        whole = interpolate(on(pair.device, result.a), on(pair.device, result.aligned), 0.5)
        state = pair.network.under_all_names(state, whole)
    dtypes, program = (pair.dtypes, pair.network.program) if form is None else (form.dtypes, form.program)
    merged = finished(state, dtypes, program, pair.data.statistics(samples))
    return Outcome(f"by {found.title}", merged, {"aligned": True, **found.recipe}, found.show, form)
