"""What is found out about one network: its symmetry is derived, and then checked on numbers."""

from __future__ import annotations

import math
import time
import zlib
from collections import Counter
from functools import cache
from typing import Any

from torch import nn

import suites
from suites import Case
from weightspace.errors import WeightspaceError
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec, derive, randomized, verify
from weightspace.symmetry.spec import BOUNDARY_REASONS

Record = dict[str, Any]
EXPECTED = (*BOUNDARY_REASONS, "single")  # reasons for frozen axes that are no shortfall


@cache
def by_name(suite: str) -> dict[str, Case]:
    return {case.name: case for case in suites.cases(suite)}


def derivation(suite: str, name: str) -> Record:
    """Derives a network as it is used, on the meta device where its suite offers that.

    The seconds are those of the processor, on one thread, so that what else runs on the machine does not count;
    building the network is left out.
    """
    case = by_name(suite)[name]
    record: Record = {"suite": suite, "family": case.family, "name": name}
    try:
        module, inputs = (case.build_meta or case.build)()
    except Exception as error:  # a model whose own code fails is reported as such
        return record | {"derived": False, "reason": f"its own code fails: {_line(error)}"}
    record["parameters"] = sum(parameter.numel() for parameter in module.parameters())
    start = time.process_time()
    try:
        spec = derive(module, inputs.args, inputs.kwargs)
    except WeightspaceError as error:
        return record | {"derived": False, "reason": f"not derived: {_line(error)}"}
    return record | {
        "derived": True,
        "spec": spec.hash,
        "groups": len(spec.groups),
        "completeness": spec.completeness,
        "seconds": round(time.process_time() - start, 4),
        "frozen": dict(Counter(axis.reason for axis in spec.frozen if axis.reason not in EXPECTED).most_common()),
        "unmoved": unmoved(spec),
    }


def unmoved(spec: Spec) -> dict[str, int]:
    """Number of parameter elements that no group moves and that completeness counts, by the reasons of their axes."""
    reasons: dict[str, set[str]] = {}
    for axis in spec.frozen:
        reasons.setdefault(axis.tensor, set()).add(axis.reason)
    movable = {group.name for group in spec.groups}
    found = Counter[str]()
    for name, tensor in spec.tensors.items():
        elements = sum(math.prod(block.shape) for block in spec.blocks[name] if not block.groups & movable)
        why = reasons.get(name, {"single"}) - set(BOUNDARY_REASONS)
        if tensor.kind == "parameter" and elements and why:
            found[" + ".join(sorted(why))] += elements
    return dict(found.most_common())


def verification(suite: str, name: str, thorough: bool) -> Record:
    """Verifies a network in float64 with random weights and statistics, on the smallest inputs that it takes.

    Args:
        suite: Of `suites.SUITES`.
        name: The network.
        thorough: Check every group alone with its negative control; four of them otherwise.
    """
    case = by_name(suite)[name]
    start = time.perf_counter()
    module, inputs = case.build()
    spec = derive(module, inputs.args, inputs.kwargs)
    # Another seed for every network: the four groups are others in every member of a family.
    seed = zlib.crc32(name.encode())
    program, state = _program(module, inputs, spec, seed)
    del module
    found = verify(
        spec, program.outputs, state, seed=seed, elements=2 if thorough else 1, groups=None if thorough else 4
    )
    primary = inputs.primary()
    return {
        "verified": found.verified,
        "max_error": found.max_error,
        "noise": found.noise,
        "tolerance": found.tolerance,
        "thorough": thorough,
        "groups_checked": len(found.groups),
        "wrong": list(found.wrong),
        "insensitive": list(found.insensitive),
        "input": list(primary.shape) if primary is not None else None,
        "verified_spec": spec.hash,
        "verification_seconds": round(time.perf_counter() - start, 2),
    }


def _program(module: nn.Module, inputs: Inputs, spec: Spec, seed: int) -> tuple[Program, dict[str, Any]]:
    program = Program(module, inputs)
    return program, randomized(program.state(), spec, seed)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
