"""The specs of many networks: derived once for all that are built alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

from torch import Tensor

from weightspace.checkpoint import Checkpoint
from weightspace.errors import CheckpointMismatchError, SourceError
from weightspace.source import Program, Source, resolve_source
from weightspace.source.deriving import derived
from weightspace.source.mismatch import mismatches
from weightspace.symmetry import Spec

Check = Callable[[Mapping[str, Tensor]], None]


class Architectures:
    """Finds the spec of networks, and checks that weights are of it."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[Spec, Check]] = {}
        self._kept: list[Spec | Source | str | None] = []  # alive, so that what a key says of one stays true

    def spec_of(self, weights: Mapping[str, Tensor], architecture: Spec | Source | str | None) -> Spec:
        """The spec of a network.

        Args:
            weights: Of the network.
            architecture: As in `weightspace.graph.datasets.Network`.

        Raises:
            SourceError: The network cannot be found or built.
            TraceError: Its symmetry cannot be derived.
            CheckpointMismatchError: The weights are not those of the network.
        """
        key = _key(weights, architecture)
        if key not in self._known:
            self._known[key] = _found(weights, architecture)
            self._kept.append(architecture)
        spec, check = self._known[key]
        check(weights)
        return spec


def _key(weights: Mapping[str, Tensor], architecture: Spec | Source | str | None) -> Hashable:
    """The same for weights of the same architecture: a source in words is fitted to the shapes of a checkpoint."""
    if isinstance(architecture, Spec):
        return architecture.hash
    if isinstance(architecture, Source):
        return type(architecture), repr(architecture)  # not every one is hashable: options may be lists
    if not isinstance(weights, Checkpoint):
        return architecture
    beside = weights.config_path if architecture is None else None
    config = None if beside is None else beside.read_bytes()
    return architecture, config, tuple((name, tuple(weights.info(name).shape)) for name in weights)


def _found(weights: Mapping[str, Tensor], architecture: Spec | Source | str | None) -> tuple[Spec, Check]:
    if isinstance(architecture, Spec):
        return architecture, lambda state: _check(state, architecture)
    if isinstance(architecture, Source):
        source = architecture
    else:
        if architecture is None and not isinstance(weights, Checkpoint):
            raise SourceError("expected a spec or a source beside a state dict, found none; give its architecture")
        source = resolve_source(architecture, checkpoint=weights if isinstance(weights, Checkpoint) else None)
    advice = "give the source that these weights were trained with"
    program = Program.from_source(source, meta=True)
    return derived(source), lambda state: program.check_state(state, advice=advice)


def _check(weights: Mapping[str, Tensor], spec: Spec) -> None:
    """Checks weights against a spec; buffers, which no graph carries, may be missing."""
    carried = {name: tensor for name, tensor in spec.tensors.items() if tensor.kind != "buffer"}
    aliases = {alias: carried[name] for alias, name in spec.aliases.items() if name in carried}
    problems = mismatches(weights, carried | aliases, spec.aliases, lambda name: name in spec.tensors)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CheckpointMismatchError(f"{problems[0]}{more}; give the spec of this network")
