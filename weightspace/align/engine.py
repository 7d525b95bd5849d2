"""`align`: one call from two checkpoints and a spec to an alignment with its report."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from weightspace.align.alignment import Alignment, GroupReport
from weightspace.align.bound import upper_bound
from weightspace.align.check import check_kinds, check_restarts, check_state
from weightspace.align.contraction import inner_product
from weightspace.align.freedoms import freed
from weightspace.align.method import Loss, Progress, Request, check_method, check_needs
from weightspace.align.problem import Problem
from weightspace.source import Inputs, Program
from weightspace.symmetry import Element, Group, Spec, Transformation
from weightspace.symmetry.action import act_on_block
from weightspace.symmetry.verify import relative_error
from weightspace.views import TensorView

DEFAULT_RESTARTS = 10


def align(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    spec: Spec,
    *,
    method: str = "weights",
    restarts: int = DEFAULT_RESTARTS,
    seed: int = 0,
    device: str | torch.device = "cpu",
    forward: Callable[[Mapping[str, Tensor]], list[Tensor]] | None = None,
    program: Program | None = None,
    batches: Callable[[], Iterable[Inputs]] | None = None,
    loss: Loss | None = None,
    memory: int | None = None,
    journal: str | os.PathLike[str] | None = None,
    kinds: Sequence[str] = ("permutation",),
    bound: bool = False,
    progress: Progress | None = None,
) -> Alignment:
    """Finds the group element that brings B closest to A.

    Args:
        a: Weights of the reference, by the names of the spec (tied tensors under the spec's name for them).
        b: Weights of the model to be aligned.
        spec: The symmetry of their network.
        method: Name in `METHODS`.
        restarts: Number of starts of a search; the best result is kept.
        seed: Seed of everything random; equal seeds give equal results.
        device: Where costs are formed, in float32.
        forward: The network as a function of its weights on fixed inputs. When given, the change of the output of B
            under the element found is measured, in float64.
        program: The network, for methods that run it.
        batches: Starts a fresh pass over calls of the network, for methods that need data.
        loss: What methods that learn minimise; by default what `weightspace.align.loss` says.
        memory: Bytes of blocks and costs that may be held at a time, by default as `weightspace.align.memory` says;
            part of what decides the result, by rounding.
        journal: File in which a long search over weights notes every few minutes where it is. If it is there, the
            search goes on from it, and ends as if it had never been interrupted; it is removed at the end.
        kinds: Kinds of symmetry to use: permutation, and what else of `weightspace.symmetry.freedom.KINDS` the network
            is free to do. All weights are held then, in float32.
        bound: Also compute what no alignment exceeds (`weightspace.align.bound`); on large networks that takes longer
            than aligning.
        progress: Called with (steps done, steps in all, what is going on).

    Returns:
        The alignment; ``alignment.apply(b)`` are the aligned weights.

    Raises:
        AlignmentError: If the method or a kind is unknown or lacks something, or the weights hold NaN or infinity.
        CheckpointMismatchError: If a tensor of the spec is missing or has another shape.
    """
    chosen = check_method(method)
    check_restarts(restarts)
    freedoms = check_kinds(kinds)
    check_state(a, spec, "A")
    check_state(b, spec, "B")
    request = Request(
        a, b, spec, torch.device(device), restarts, seed, progress, program, batches, memory,
        None if journal is None else Path(journal), loss, freedoms,
    )  # fmt: skip
    check_needs(method, request)
    began = time.perf_counter()
    problem = request.problem(balance=chosen.balanced)
    before = problem.objective()
    found = chosen.match(request)
    transformation = found.freed or freed(request, found.element, permuting=found.by_weights, progress=progress)
    element = transformation.element
    if transformation.values:  # the objective is that of B as it has become, each group put back from there
        problem = Problem(request.a, transformation.apply(request.held("b")), spec, request.device,
                          balance=chosen.balanced, memory=memory)  # fmt: skip
    else:
        problem.move_to(element)
    result = Alignment(
        spec=spec,
        element=element,
        values=transformation.values,
        norms=transformation.norms,
        method=method,
        objective_before=before,
        objective_after=problem.objective(),
        objective_bound=upper_bound(problem) if bound and not transformation.values else None,
        preservation_error=None if forward is None else preservation_error(transformation, b, forward),
        groups=tuple(_report(problem, element, group) for group in spec.groups),
        sweeps=found.sweeps,
        seconds=time.perf_counter() - began,
        seed=seed,
        figures=found.figures,
    )
    if request.journal is not None:
        request.journal.unlink(missing_ok=True)
    return result


def preservation_error(
    transformation: Transformation, state: Mapping[str, Tensor], forward: Callable[[Mapping[str, Tensor]], list[Tensor]]
) -> float:
    """Relative change of the network's output under a transformation, with the weights in float64.

    Under permutations alone the weights are changed as `forward` reads them, so that it decides how many are held at a
    time.
    """
    spec = transformation.spec
    own = {name: name for name in state if name not in spec.aliases}
    before = TensorView(state, names=own, change=lambda _, tensor: _wide(tensor))
    if transformation.values:
        after = forward(transformation.apply(dict(before)))
    else:
        element = transformation.element
        after = forward(  # moved first, then widened: one wide copy at a time
            TensorView(state, names=own, change=lambda name, tensor: _wide(spec.apply_tensor(element, name, tensor)))
        )
    return relative_error(after, forward(before))


def _wide(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _report(problem: Problem, element: Element, group: Group) -> GroupReport:
    """What one group did; its gain is what the objective loses when this group alone is put back."""
    name = group.name
    perm = element.perm(name)
    back = Element(problem.spec.all_groups, {name: perm.argsort(dim=-1)} if name in element.perms else {})
    gain = math.fsum(
        problem.value(term)
        - term.weight * inner_product(problem.a(term), act_on_block(term.block, back, problem.b(term)))
        for term in problem.by_group[name]
    )
    return GroupReport(name, group.size, perm.numel() // group.size, element.moved(name), gain)
