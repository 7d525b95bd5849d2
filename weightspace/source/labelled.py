"""Which group lies along which dimension of every value that a graph computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, fx, nn

from weightspace.source.exported import Exported
from weightspace.source.generated import generated
from weightspace.symmetry import Spec
from weightspace.symmetry.axis import Axis
from weightspace.symmetry.derive import axes_of, is_free, named_spec
from weightspace.symmetry.label import Label, Varying, resolve
from weightspace.symmetry.propagate import propagate
from weightspace.symmetry.trace import trace


@dataclass(frozen=True)
class Labelled:
    """The axes of the values of a graph.

    Attributes:
        spec: The symmetry of the graph, its tensors under the names that they have there.
        axes: For every node that gives a tensor whose axes are known: these.
    """

    spec: Spec
    axes: Mapping[fx.Node, tuple[Axis, ...]]


def labelled(exported: Exported) -> Labelled:
    """Derives the axes of all values of a graph.

    Raises:
        TraceError: The graph cannot be followed.
    """
    network, values = generated(exported), dict[fx.Node, Tensor]()
    network.__class__ = _walking(type(network), exported.graph, values)
    call = exported.inputs
    recorded = trace(network, call.args, call.kwargs, keep=lambda: values)
    context = propagate(recorded)
    spec, names = named_spec(context, is_free)
    found = {}
    for node, ref in recorded.kept.items():
        labels = [resolve(label) for label in context.labels.get(ref.key, ())]
        if tuple(label.size for label in labels) == ref.shape and not any(map(_varies, labels)):
            found[node] = axes_of(labels, names)
    return Labelled(spec, found)


def _varies(label: Label) -> bool:
    return isinstance(label, Varying)


def _walking(kind: type[nn.Module], graph: fx.Graph, values: dict[fx.Node, Tensor]) -> type[nn.Module]:
    """A network of that kind that runs its graph node by node, and leaves behind what each gave."""

    def forward(self: nn.Module, *args: Tensor, **kwargs: Tensor) -> object:
        walk = fx.Interpreter(self, garbage_collect_values=False, graph=graph)
        results = walk.run(*args, *kwargs.values(), enable_io_processing=False)
        values.update((node, each) for node, each in walk.env.items() if isinstance(each, Tensor))
        return results

    return type(kind.__name__, (kind,), {"forward": forward})
