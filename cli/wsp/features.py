"""What methods of `wsp merge` that merge features share: an alignment by activations first, and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightspace.errors import DataError
from wsp.aligning import AlignedPair, on
from wsp.console import Console
from wsp.pair import Pair, PairRequest

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from weightspace.source import Program
    from weightspace.symmetry import Spec
    from wsp.data import CommandData

_ALIGNING = "activations"


@dataclass(frozen=True)
class Form:
    """How a merged network of another width is stored.

    Attributes:
        program: The network.
        companions: Files to be copied beside its weights.
        texts: Files that describe it, by name.
        dtypes: Types of its tensors, by name.
        as_it_was: Whether its tensors are those of its origins, but for their shapes.
        constants: Tensors that its code needs beside its weights.
    """

    program: Program
    companions: list[Path]
    texts: dict[str, str]
    dtypes: Mapping[str, torch.dtype]
    as_it_was: bool
    constants: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ByFeatures:
    """A merge by features.

    Attributes:
        title: Name of the method, as people write it.
        state: The merged weights under all their names, in float32 or wider.
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


def aligning_first(request: PairRequest, name: str) -> PairRequest:
    """The request for the alignment that a merge by features begins with.

    Raises:
        DataError: There are no data.
    """
    if request.data is None:
        raise DataError(
            f"--method {name}: expected --data with examples, of which no label is used, found none; give data, or "
            "choose --method weights, which needs none"
        )
    return replace(request, method=_ALIGNING)


def origins_of(pair: Pair, result: AlignedPair) -> Origins:
    """What is merged, of a pair that was aligned as `aligning_first` says."""
    network, data = pair.network, pair.data
    assert data is not None
    assert network is not None
    assert network.program is not None  # activation matching has run it
    spec = network.spec
    one, two = (on(pair.device, dict(network.under_spec_names(each))) for each in (result.a, result.aligned))
    a, b = ({name: tensor for name, tensor in each.items() if name not in spec.aliases} for each in (one, two))
    return Origins(network.program, spec, a, b, data)


def under_all_names(state: Mapping[str, Tensor], pair: Pair, result: AlignedPair, spec: Spec) -> dict[str, Tensor]:
    """Merged weights as a file holds them: tied ones under every name, what the network does not know averaged."""
    from weightspace.merge import interpolate

    whole = interpolate(on(pair.device, result.a), on(pair.device, result.aligned), 0.5)
    return {name: state.get(spec.aliases.get(name, name), tensor) for name, tensor in whole.items()}
