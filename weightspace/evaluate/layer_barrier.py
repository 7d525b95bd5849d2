"""Which layers stand between two networks: the loss with one layer at a time on its way from A to B."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from weightspace.errors import DataError
from weightspace.evaluate.barrier import Batches
from weightspace.evaluate.score import evaluate
from weightspace.merge import interpolate

if TYPE_CHECKING:
    from weightspace.source import Program
    from weightspace.symmetry import Spec

State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class LayerBarrier:
    """What becomes of A when one layer goes half the way, or all the way, to B.

    Attributes:
        layer: The module; vectors that follow a matrix (a norm after a convolution) belong to its layer.
        tensors: Its tensors.
        middle: Loss with the layer halfway to B as it is, less the loss of A.
        replaced: Loss with the layer of B as it is, less the loss of A.
        middle_aligned: Halfway to B aligned.
        replaced_aligned: With the layer of B aligned.
    """

    layer: str
    tensors: tuple[str, ...]
    middle: float
    replaced: float
    middle_aligned: float
    replaced_aligned: float

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {**asdict(self), "tensors": list(self.tensors)}


@dataclass(frozen=True)
class LayerBarriers:
    """All layers.

    Attributes:
        measure: `loss` (cross-entropy in nats), or `outputs` (squared distance from the outputs of A, relative to them)
            where the data have no labels that the network knows.
        layers: In the order of the weights.
    """

    measure: str
    layers: tuple[LayerBarrier, ...]

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {"measure": self.measure, "layers": [each.to_json() for each in self.layers]}


def layer_barriers(
    program: Program,
    a: State,
    b: State,
    aligned: State,
    spec: Spec,
    batches: Batches,
    *,
    progress: Callable[[int, int, str], None] | None = None,
) -> LayerBarriers:
    """Measures layer-wise linear connectivity (Adilova, Andriushchenko, Kamp, Fischer and Jaggi 2024).

    All other layers stay those of A. Statistics of batch norms go the way of their layer and are not measured again.

    Args:
        program: The network.
        a: Weights of A, on the device to compute on.
        b: Weights of B as they are.
        aligned: Weights of B in the coordinates of A.
        spec: The symmetry, which says what is a parameter or a statistic.
        batches: Gives the examples, the same at each call.
        progress: Called after each layer with how many are done, how many there are, and its name.

    Raises:
        DataError: The examples do not fit the network.
    """
    measure, of = _measure(program, a, batches)
    start = of(a)
    layers = layers_of(spec)
    rows: list[LayerBarrier] = []
    for layer, names in layers.items():
        risen = []
        for other in (b, aligned):
            moved = {**a, **{name: other[name].to(a[name]) for name in names if name in a}}
            risen += [of(state) - start for state in (interpolate(a, moved, 0.5), moved)]
        rows.append(LayerBarrier(layer, names, *risen))
        if progress is not None:
            progress(len(rows), len(layers), layer)
    return LayerBarriers(measure, tuple(rows))


def layers_of(spec: Spec) -> dict[str, tuple[str, ...]]:
    """Modules with a matrix of parameters, each with its tensors and the vectors that follow it."""
    layers: dict[str, list[str]] = {}
    early: list[str] = []
    current: str | None = None
    for name, tensor in spec.tensors.items():
        module = name.rpartition(".")[0] or name
        if tensor.kind == "parameter" and len(tensor.shape) > 1:
            current = module
            layers.setdefault(module, []).extend(early)
            early.clear()
        (early if current is None else layers[current]).append(name)
    if current is None and early:
        layers["weights"] = early
    return {layer: tuple(names) for layer, names in layers.items()}


def _measure(program: Program, a: State, batches: Batches) -> tuple[str, Callable[[State], float]]:
    try:
        evaluate(program, a, batches())
    except DataError:
        return "outputs", lambda state: _apart(program, a, state, batches)
    return "loss", lambda state: evaluate(program, state, batches()).loss


def _apart(program: Program, a: State, state: State, batches: Batches) -> float:
    apart = size = 0.0
    for batch in batches():
        expected = program.prediction(a, batch.x).double()
        apart += float((program.prediction(state, batch.x).double() - expected).square().sum())
        size += float(expected.square().sum())
    if not size:
        raise DataError("evaluation: expected outputs other than 0 of A, found none; give data with other inputs")
    return apart / size
