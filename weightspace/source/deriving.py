"""The symmetry of a source's network."""

from __future__ import annotations

from weightspace.errors import TraceError
from weightspace.source.base import Source
from weightspace.symmetry.derive import derive
from weightspace.symmetry.spec import Spec

LARGEST_HELD = 500_000_000
"""Parameters of a network that is built with weights of its own."""


def derived(source: Source) -> Spec:
    """Derive the symmetry of a source; no memory is spent on weights unless that fails.

    Raises:
        SourceError: The network cannot be built, or no input is known.
        TraceError: The network cannot be traced, or its own code fails: with weights, unless it is too large for that,
            the two can be told apart.
    """
    inputs = source.example_inputs()
    module = source.build(meta=True)
    try:
        try:
            return derive(module, inputs.args, inputs.kwargs)
        except TraceError:
            if sum(parameter.numel() for parameter in module.parameters()) > LARGEST_HELD:
                raise
            return derive(source.build(), inputs.args, inputs.kwargs)
    except TraceError as error:
        raise TraceError(f"{source.label}: {error}") from error
