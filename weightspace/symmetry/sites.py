"""Where a network multiplies activations by a whole parameter: matrix products and convolutions.

Such a layer is linear in its weights, so that the best weights for given inputs and outputs are found in closed form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.sequence import numbered
from weightspace.symmetry.trace import Trace, trace

_BATCH_NORMS = ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "batch_norm")
_RESHAPING = ("view", "_unsafe_view", "_reshape_copy")
_PRODUCTS = {"mm": ("self", "mat2"), "addmm": ("mat1", "mat2")}


@dataclass(frozen=True, slots=True)
class Convolution:
    """How a convolution slides, as `torch.nn.functional.unfold` and its kin take it."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


@dataclass(frozen=True, slots=True)
class Norm:
    """A batch norm that alone reads what a site gives.

    Attributes:
        number: Which operator of the sequence it is.
        scale: Name of its scale; empty where it has none.
        shift: Name of its shift, likewise.
        mean: Name of its running mean.
        variance: Name of its running variance.
        eps: What it adds to the variance.
    """

    number: int
    scale: str
    shift: str
    mean: str
    variance: str
    eps: float

    @property
    def affine(self) -> bool:
        """Whether it scales and shifts."""
        return bool(self.scale) and bool(self.shift)


@dataclass(frozen=True, slots=True)
class Site:
    """One multiplication of activations by a parameter.

    Attributes:
        number: Which operator of `Sites.sequence` it is.
        operand: Which of its arguments holds the activations.
        weight: Name of the parameter.
        bias: Name of the parameter that is added, None where there is none.
        transposed: Whether the parameter is (in, out), as in `transformers`' Conv1D, and not (out, in, kernel...).
        convolution: How it slides; None for a matrix product.
        norm: The batch norm that follows, None where there is none.
        sum: Which operator adds what comes out, after that norm, to another value, as at the end of a residual branch;
            None where none does.
    """

    number: int
    operand: int
    weight: str
    bias: str | None
    transposed: bool
    convolution: Convolution | None
    norm: Norm | None
    sum: int | None

    @property
    def made(self) -> int:
        """The axis of its weight along which it makes units."""
        return 1 if self.transposed else 0

    @property
    def read(self) -> int:
        """The axis of its weight that it sums over; those of the taps of a kernel come beside it."""
        return 1 - self.made

    @property
    def tensors(self) -> tuple[str, ...]:
        """Its weight and bias, and those of the batch norm after it."""
        own = [self.weight, self.bias]
        norm = [] if self.norm is None else [self.norm.scale, self.norm.shift, self.norm.mean, self.norm.variance]
        return tuple(name for name in (*own, *norm) if name)

    @property
    def last(self) -> int:
        """The last operator that belongs to it."""
        if self.sum is not None:
            return self.sum
        return self.number if self.norm is None else self.norm.number


@dataclass(frozen=True)
class Sites:
    """All sites of a network on inputs of some shape, in the order in which they run.

    Attributes:
        sequence: Names of the operators that run, without those that change no value.
        sites: The sites.
        whole: Names of the tensors that nothing else reads: weights and biases of the sites, and batch norms'.
    """

    sequence: tuple[str, ...]
    sites: tuple[Site, ...]
    whole: frozenset[str] = frozenset()

    @cached_property
    def alone(self) -> tuple[Site, ...]:
        """Sites that nothing else shares a tensor with: not tied to a table of embeddings, and run once."""
        uses = Counter(name for site in self.sites for name in site.tensors)
        return tuple(
            site for site in self.sites if all(name in self.whole and uses[name] == 1 for name in site.tensors)
        )

    @property
    def norms(self) -> tuple[int, ...]:
        """Which operators of the sequence are batch norms, after a site or elsewhere."""
        return tuple(number for number, name in enumerate(self.sequence) if name.split(".")[1] in _BATCH_NORMS)


def derive_sites(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> Sites:
    """Finds the sites of a network, on inputs of the shape of the given ones.

    A parameter that is cut or computed with first (fused projections that are split, standardised weights) has none.

    Args:
        module: As for `weightspace.symmetry.derive.derive`.
        args: Inputs; of floating ones only the shape counts.
        kwargs: Further inputs by name.

    Raises:
        TraceError: If the forward pass cannot be recorded.
    """
    recorded = trace(module, args, kwargs)
    sequence, calls = numbered(recorded)
    loud = [(number, call) for number, call in calls if number is not None]
    finder = _Finder(recorded, loud)
    found = [site for number, call in loud if (site := finder.site(number, call)) is not None]
    return Sites(sequence, tuple(found), finder.whole(found))


class _Finder:
    def __init__(self, recorded: Trace, numbered: list[tuple[int, Call]]) -> None:
        self._tensors, self._numbered = recorded.tensors, numbered
        self._names = {ref.storage: name for name, ref in recorded.tensors.items()}
        written = {ref.storage for call in recorded.calls for ref in call.written}
        self._parameters = {name for name in recorded.parameters if recorded.tensors[name].storage not in written}
        self._readers: dict[int, list[tuple[int, Call]]] = {}
        for number, call in numbered:
            for ref in call.inputs:
                self._readers.setdefault(ref.key, []).append((number, call))
        self._returned = {ref.key for ref in recorded.outputs}

    def whole(self, sites: Iterable[Site]) -> frozenset[str]:
        """Tensors that only sites and batch norms read."""
        own = {site.number: {site.weight, site.bias} for site in sites}
        known, elsewhere = set(), set()
        for number, call in self._numbered:
            if call.op.is_view:
                continue
            names = {self._names[ref.storage] for ref in call.inputs if ref.storage in self._names}
            mine = names if call.name in _BATCH_NORMS else own.get(number, set()) & names
            known |= mine
            elsewhere |= names - mine
        return frozenset(name for name in known if name is not None) - elsewhere

    def site(self, number: int, call: Call) -> Site | None:
        if call.name in _PRODUCTS:
            left, right = (call[name] for name in _PRODUCTS[call.name])
            name, transposed = self._whole(right), not self._turned(right)
            bias = self._whole(call["self"]) if call.name == "addmm" else None
            if name is None or self._name(left) is not None:
                return None
            if call.name == "addmm" and (bias is None or call["beta"] != 1 or call["alpha"] != 1):
                return None
            operand = 0 if call.name == "mm" else 1
            return Site(number, operand, name, bias, transposed, None, *self._after(call))
        if call.name == "convolution" and not call["transposed"]:
            name = self._whole(call["weight"])
            bias = None if call["bias"] is None else self._whole(call["bias"])
            if name is None or self._name(call["input"]) is not None or (bias is None) != (call["bias"] is None):
                return None
            stride, padding, dilation = (tuple(call[key]) for key in ("stride", "padding", "dilation"))
            convolution = Convolution(self._tensors[name].shape[2:], stride, padding, dilation, call["groups"])
            return Site(number, 0, name, bias, False, convolution, *self._after(call))
        return None

    def _name(self, ref: TensorRef | None) -> str | None:
        return None if ref is None else self._names.get(ref.storage)

    def _whole(self, ref: TensorRef) -> str | None:
        """The parameter that a tensor is, as it is or transposed."""
        name = self._name(ref)
        if name is None or name not in self._parameters:
            return None
        own = self._tensors[name]
        return name if (ref.shape, ref.stride) == (own.shape, own.stride) or self._turned(ref) else None

    def _turned(self, ref: TensorRef) -> bool:
        """Whether a tensor is the transpose of a parameter."""
        name = self._name(ref)
        own = None if name is None else self._tensors[name]
        return (
            own is not None
            and own.stride is not None
            and (ref.shape, ref.stride) == (own.shape[::-1], own.stride[::-1])
        )

    def _after(self, call: Call) -> tuple[Norm | None, int | None]:
        """What follows a multiplication: a batch norm, and a sum."""
        reader = self._only_reader(call.output)
        norm = None if reader is None else self._norm(*reader)
        if norm is not None and reader is not None:
            reader = self._only_reader(reader[1].output)
        if reader is None or reader[1].name not in ("add", "add_") or reader[1].arguments.get("alpha") != 1:
            return norm, None
        operands = [reader[1][key] for key in ("self", "other")]
        equal = all(isinstance(each, TensorRef) and each.shape == reader[1].output.shape for each in operands)
        return norm, reader[0] if equal and operands[0].key != operands[1].key else None

    def _only_reader(self, output: TensorRef) -> tuple[int, Call] | None:
        """The one operator that reads a value, seen through changes of its shape."""
        while output.key not in self._returned:
            readers = self._readers.get(output.key, [])
            if len(readers) != 1:
                return None
            if readers[0][1].name not in _RESHAPING:
                return readers[0]
            output = readers[0][1].output
        return None

    def _norm(self, number: int, call: Call) -> Norm | None:
        if call.name not in _BATCH_NORMS or call.arguments.get("training"):
            return None
        scale, shift, mean, variance = (
            self._name(call[key]) or "" for key in ("weight", "bias", "running_mean", "running_var")
        )
        return Norm(number, scale, shift, mean, variance, float(call["eps"])) if mean and variance else None
