"""What it costs to run a network."""

from __future__ import annotations

from torch.utils.flop_counter import FlopCounterMode

from weightspace.source.program import Program


def flops(program: Program) -> int:
    """FLOPs of one example of the example call: those of products, convolutions and attention, as torch counts them."""
    primary = program.inputs.primary()
    with FlopCounterMode(display=False) as counter:
        program.outputs(program.state())
    return counter.get_total_flops() // (1 if primary is None else len(primary))
