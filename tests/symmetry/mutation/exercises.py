"""Networks on which a wrong rule can show: every sample of an operator between parameters, and small real networks."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from tests.symmetry import networks
from tests.symmetry.samples import Sample, sample
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec, randomized, verify
from weightspace.symmetry.derive import named_spec
from weightspace.symmetry.propagate import propagate
from weightspace.symmetry.rules import covered
from weightspace.symmetry.trace import Trace, trace
from weightspace.symmetry.verify import Forward

REAL = (
    networks.mlp,
    networks.vgg,
    networks.dense,
    networks.residual,
    networks.grouped_convolutions,
    networks.depthwise_separable,
    networks.norms,
    networks.autoencoder,
    networks.gru,
    networks.lstm,
    networks.attention,
    networks.cross_attention,
    networks.encoder,
    networks.slopes,
    networks.gpt2,
    networks.llama,
)
SQUARES = (4, 6, 2, 3)  # sizes to which all sizes of a sample are set, so that no shape tells dimensions apart


@dataclass(frozen=True, eq=False)
class Exercise:
    """A network whose derived symmetry is right.

    Attributes:
        name: For the tables.
        recorded: Its trace.
        spec: Its symmetry.
        forward: Its outputs from its weights.
        state: Random weights, for a seed.
        sample: The sample that it was made from, if it was.
    """

    name: str
    recorded: Trace
    spec: Spec
    forward: Forward
    state: Callable[[int], dict[str, Tensor]]
    sample: Sample | None = None

    @property
    def operators(self) -> set[torch._ops.OpOverload]:
        return {call.op for call in self.recorded.calls}


class Read(nn.Module):
    """The results of a sample, each read by a random linear map, so that their axes may move and the output stays."""

    def __init__(self, run: Callable[..., Any], operands: list[Tensor], results: list[Tensor]) -> None:
        super().__init__()
        self.run = run
        for number, value in enumerate(operands):
            self.register_parameter(f"operand{number}", nn.Parameter(value, requires_grad=False))
        for number, value in enumerate(results):
            shape = (2, *value.shape)
            self.register_parameter(f"reader{number}", nn.Parameter(torch.ones(shape, dtype=torch.float64)))

    def forward(self) -> list[Tensor]:
        parameters = dict(self.named_parameters())
        # A sample may write into its operands.
        operands = [value.clone() for name, value in parameters.items() if name.startswith("operand")]
        results = tensors(self.run(*operands))
        readers = [value for name, value in parameters.items() if name.startswith("reader")]
        return [read(reader, result) for reader, result in zip(readers, results, strict=True)]


def read(reader: Tensor, result: Tensor) -> Tensor:
    """A linear function of a result, with weights of shape (2, *shape of the result)."""
    if not result.is_floating_point():
        result = torch.view_as_real(result).sum(-1) if result.is_complex() else result.to(reader.dtype)
    return (reader * result).sum(tuple(range(1, reader.dim()))) if result.dim() else reader * result


def permutations(recorded: Trace) -> Spec:
    """The spec of a trace, without the freedoms beside permutations."""
    return named_spec(propagate(recorded), lambda atom: atom.frozen is None)[0]


def tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def of_sample(entry: Sample) -> Exercise:
    """The exercise of a sample.

    Raises:
        AssertionError: If its symmetry cannot be verified: its values are not finite, say.
    """
    compute = entry.real or entry.run
    results = tensors(compute(*(value.clone() for value in entry.values)))
    module = Read(entry.run, entry.values, results).eval()
    computing = Read(compute, entry.values, results).eval()

    def forward(state: Mapping[str, Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return torch.func.functional_call(computing, dict(state), ())

    own = {name: value.detach() for name, value in module.named_parameters()}

    def state(seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return {
            # Some operators need numbers of the size that the sample gives them.
            name: torch.randn(value.shape, generator=generator, dtype=value.dtype)
            if value.is_floating_point() and (name.startswith("reader") or isinstance(entry.operands[number], tuple))
            else value
            for number, (name, value) in enumerate(own.items())
        }

    recorded = trace(module, ())
    return checked(Exercise(str(entry), recorded, permutations(recorded), forward, state, entry))


def checked(exercise: Exercise) -> Exercise:
    """The exercise, if its symmetry is right and would be seen not to be."""
    found = verify(exercise.spec, exercise.forward, exercise.state(0))
    assert not found.wrong, f"{exercise.name}: {found.wrong} change the function under the rules as they are"
    assert found.noise < 1e-9, f"{exercise.name}: nothing can be seen above its noise of {found.noise:.1e}"
    return exercise


def squared(entry: Sample) -> Iterator[Sample]:
    """The sample with all sizes equal, where it runs so."""
    if not all(isinstance(operand, tuple) for operand in entry.operands):
        return
    for size in SQUARES:
        shapes = tuple(tuple(size if n > 1 else 1 for n in operand) for operand in entry.operands)  # pyright: ignore[reportGeneralTypeIssues]
        square = dataclasses.replace(entry, operands=shapes, case=f"{entry.case} {size}x".strip())
        try:
            (entry.real or entry.run)(*square.values)
            trace(Read(entry.run, square.values, []).eval(), ())
        except Exception:  # its constants fit no such size
            continue
        yield square
        return


@cache
def samples() -> tuple[Sample, ...]:
    """All samples of all families of rules, and one of an operator that has no rule."""
    found = [
        sample(
            torch.ops.aten._linalg_det.default,
            "",
            lambda u, v, w: u @ v @ (w * torch.linalg.det(w)),
            (3, 4),
            (4, 4),
            (4, 4),
            case="no rule",
        )
    ]
    for module in pkgutil.iter_modules(importlib.import_module("tests.symmetry.rules").__path__):
        found += importlib.import_module(f"tests.symmetry.rules.{module.name}").SAMPLES
    return tuple(found)


def overloads() -> tuple[torch._ops.OpOverload, ...]:
    """Every overload with a rule of its own, and those with samples that have a default one."""
    return tuple(dict.fromkeys([*covered(), *(entry.op for entry in samples() if entry.op is not None)]))


def of_samples(
    wanted: Collection[torch._ops.OpOverload] | None = None,
) -> tuple[tuple[Exercise, ...], Mapping[str, str]]:
    """The exercises of the samples of some overloads, of all by default.

    Returns:
        The exercises, and the samples of which none can be made with the reason.
    """
    found, without = [], {}
    for entry in samples():
        if wanted is None or entry.op in wanted:
            for each in (entry, *squared(entry)):
                try:
                    found.append(of_sample(each))
                except Exception as error:
                    without[str(each)] = (str(error).splitlines() or [type(error).__name__])[0]
    return tuple(found), without


def of_networks(builds: Sequence[Callable[[], networks.Network]] = REAL) -> tuple[Exercise, ...]:
    """The exercises of small real networks."""
    found = []
    for build in builds:
        torch.manual_seed(0)
        module, args, kwargs = build()
        program = Program(module.eval(), Inputs(args, kwargs))
        recorded = trace(module, args, kwargs)
        spec = permutations(recorded)
        state = partial(randomized, program.state(), spec)
        found.append(checked(Exercise(build.__name__, recorded, spec, program.outputs, state)))
    return tuple(found)
