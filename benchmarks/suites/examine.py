"""What is found out about one network: its symmetry is derived, and then checked on numbers."""

from __future__ import annotations

import math
import time
import zlib
from collections import Counter
from functools import cache
from typing import Any

import suites
from suites import Build, Case
from weightspace.errors import WeightspaceError
from weightspace.source import Program
from weightspace.symmetry import Spec, derive, randomized, verify
from weightspace.symmetry.propagate import propagate
from weightspace.symmetry.spec import BESIDE_BOUNDARY, BOUNDARY_REASONS
from weightspace.symmetry.tightness import Tightness, missed_transpositions
from weightspace.symmetry.trace import trace

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
    return _derived(suite, by_name(suite)[name])[0]


def _derived(suite: str, case: Case) -> tuple[Record, Spec | None]:
    record: Record = {"suite": suite, "family": case.family, "name": case.name}
    try:
        module, inputs = (case.build_meta or case.build)()
    except Exception as error:  # a model whose own code fails is reported as such
        return record | {"derived": False, "reason": f"its own code fails: {_line(error)}"}, None
    record["parameters"] = sum(parameter.numel() for parameter in module.parameters())
    start = time.process_time()
    try:
        spec = derive(module, inputs.args, inputs.kwargs)
    except WeightspaceError as error:
        return record | {"derived": False, "reason": f"not derived: {_line(error)}"}, None
    record |= {"derived": True, "seconds": round(time.process_time() - start, 4)}
    return record | {
        "spec": spec.hash,
        "groups": len(spec.groups),
        "completeness": spec.completeness,
        "frozen": dict(
            Counter(why for axis in spec.frozen for why in axis.reasons if why not in EXPECTED).most_common()
        ),
        "unmoved": unmoved(spec),
    }, spec


def unmoved(spec: Spec) -> dict[str, int]:
    """Number of parameter elements that completeness counts and no group moves, by the reasons of their axes."""
    reasons: dict[str, set[str]] = {}
    for axis in spec.frozen:
        reasons.setdefault(axis.tensor, set()).update(axis.reasons)
    movable = {group.name for group in spec.groups}
    found = Counter[str]()
    for name, tensor in spec.tensors.items():
        elements = sum(math.prod(block.shape) for block in spec.blocks[name] if not block.groups & movable)
        why = reasons.get(name, {"single"})
        at_boundary = why & set(BOUNDARY_REASONS) and why <= {*BOUNDARY_REASONS, *BESIDE_BOUNDARY, "ordered"}
        if tensor.kind == "parameter" and elements and not at_boundary:
            found[" + ".join(sorted(why))] += elements
    return dict(found.most_common())


def examination(suite: str, name: str, verified_spec: str | None, thorough: bool, limit: float) -> Record:
    """Derives a network, and verifies what came out unless that has been done.

    Numbers are run in float64 with random weights and statistics, on the smallest inputs that prove something. A
    network that is built for smaller inputs, and so has other tensors, has a spec of its own: that is verified then.

    Args:
        suite: Of `suites.SUITES`.
        name: The network.
        verified_spec: Hash of the derived spec that has been verified; None for none.
        thorough: Check every group alone with its negative control; four of them otherwise.
        limit: Networks with as many parameters are not verified.
    """
    case = by_name(suite)[name]
    record, spec = _derived(suite, case)
    if spec is None or record["spec"] == verified_spec:
        return record
    if record["parameters"] >= limit:
        return record | {"reason": "not verified: above the limit of parameters"}
    found = _verified(case.build, spec, name, thorough)
    if found["insensitive"] and not found["wrong"] and case.build_larger is not None:
        found = _verified(case.build_larger, spec, name, thorough)
    return record | found


def _verified(build: Build, spec: Spec, name: str, thorough: bool) -> Record:
    start = time.perf_counter()
    module, inputs = build()
    program = Program(module, inputs)
    shapes = {tensor: tuple(value.shape) for tensor, value in program.state().items() if tensor not in spec.aliases}
    if shapes != {tensor: known.shape for tensor, known in spec.tensors.items()}:
        spec = derive(module, inputs.args, inputs.kwargs)
    seed = _seed(name)
    state = randomized(program.state(), spec, seed)
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


def tightness(suite: str, name: str, tries: int) -> Record:
    """Tries transpositions that the derived spec does not have, on the smallest inputs that the network takes.

    Where a kernel or a table of positions is larger than those, some of its entries are interchangeable that no larger
    input takes for equal: what is found missing must be missing there, too.
    """
    case = by_name(suite)[name]
    found = _missed(case.build, name, tries)
    if found.missed and case.build_larger is not None:
        found = _missed(case.build_larger, name, tries)
    return {
        "tried": found.tried,
        "missed": sum(entry.found for entry in found.missed),
        "missed_classes": [
            {"kind": entry.kind, "place": list(entry.places[0]), "size": entry.size, "reason": entry.reason,
             "found": entry.found, "tried": entry.tried}
            for entry in found.missed
        ],
        "idle": len(found.idle),
    }  # fmt: skip


def _missed(build: Build, name: str, tries: int) -> Tightness:
    module, inputs = build()
    program = Program(module, inputs)
    context = propagate(trace(module, inputs.args, inputs.kwargs))
    return missed_transpositions(context, [program.outputs], program.state(), tries=tries, seed=_seed(name))


def _seed(name: str) -> int:
    """Another one for every network: the four groups that are sampled are others in every member of a family."""
    return zlib.crc32(name.encode())


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
