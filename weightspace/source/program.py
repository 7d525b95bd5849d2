"""A network as a function of its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn
from torch.func import functional_call

from weightspace.errors import CheckpointMismatchError, DataError, SourceError, WeightspaceError
from weightspace.outputs import result_tensors
from weightspace.source.base import Inputs, Labelled, Source
from weightspace.source.exported import Exported, export
from weightspace.source.following import following
from weightspace.source.generated import generated
from weightspace.source.mismatch import COUNTER, mismatches
from weightspace.source.precision import InDouble
from weightspace.source.random_state import fixed_random_state
from weightspace.source.streamed import Streamed
from weightspace.source.tapping import Tapping, Visit
from weightspace.source.user_error import describe
from weightspace.source.watching import Enough, Watch, Watching
from weightspace.structure import disposable
from weightspace.symmetry.sites import Site, Sites, derive_sites
from weightspace.symmetry.taps import Taps, derive_taps

if TYPE_CHECKING:
    from torch import Tensor

Kind = TypeVar("Kind")


class Program:
    """The network as a function of a state dict: `outputs(state)`, in evaluation mode, deterministic, stateless.

    Every call runs on a fresh copy of the module's structure with the given tensors in place of its own, so nothing
    that one call caches on the module (attention biases, masks) can reach the next. Random operations see a fixed seed.

    Attributes:
        state_names: Names of the module's state dict, aliases of tied tensors included.
        aliases: Tied names: alias -> canonical name, the first one in the order of the state dict.
        parameter_names: Names of the parameters, each tied one once under its canonical name.
        inputs: The example call.
    """

    def __init__(
        self,
        module: nn.Module,
        inputs: Inputs,
        *,
        label: str = "the network",
        ignores: Callable[[str], bool] = lambda name: False,
    ) -> None:
        """Wrap a module.

        Args:
            module: The network, with real tensors; put in evaluation mode, otherwise untouched.
            inputs: A call that it takes.
            label: What messages call the network.
            ignores: Names of tensors that a checkpoint may hold and that are of no use here.
        """
        self._ignores = ignores
        self._module = module.eval()
        self._label = label
        self.inputs = inputs
        own = {n: t for n, t in module.state_dict(keep_vars=True).items() if isinstance(t, torch.Tensor)}
        first: dict[int, str] = {}
        for name, tensor in own.items():
            first.setdefault(id(tensor), name)
        self.state_names: tuple[str, ...] = tuple(own)
        self.aliases: dict[str, str] = {n: first[id(t)] for n, t in own.items() if first[id(t)] != n}
        parameters = {id(parameter) for parameter in module.parameters()}
        self.parameter_names = tuple(n for n, t in own.items() if id(t) in parameters and n not in self.aliases)
        self._own = {name: tensor.detach() for name, tensor in own.items()}
        # Tables and masks that belong to the architecture: no checkpoint needs to hold them, though old ones do.
        self._constants = {name: buffer for name, buffer in module.named_buffers() if name not in own}
        self._taps: dict[tuple[torch.Size, ...], Taps] = {}
        self._sites: dict[tuple[torch.Size, ...], Sites] = {}
        self._exported: Exported | None = None

    @classmethod
    def from_source(cls, source: Source, seed: int = 0, *, meta: bool = False) -> Program:
        """Build the network of a source, with example inputs of the given seed.

        Args:
            source: Where the network comes from.
            seed: Seed of the example inputs.
            meta: Spend no memory on weights; the program then knows names, ties and shapes but cannot run.

        Raises:
            SourceError: The network cannot be built, or no input is known.
        """
        return cls(
            source.build(meta=meta), source.example_inputs(seed=seed), label=source.label, ignores=source.ignores
        )

    @classmethod
    def from_exported(cls, exported: Exported, label: str = "the network") -> Program:
        """The network of a graph, with the tensors of the graph."""
        program = cls(generated(exported), exported.inputs, label=label)
        program._exported = exported
        return program

    @property
    def parameters(self) -> int:
        """Number of parameters, each tied one once."""
        return sum(parameter.numel() for parameter in self._module.parameters())

    def state(self) -> dict[str, Tensor]:
        """The module's own tensors under all their names; not copies."""
        return dict(self._own)

    def outputs(
        self, state: Mapping[str, Tensor], inputs: Inputs | None = None, *, differentiable: bool = False
    ) -> list[Tensor]:
        """Run the network and list its floating outputs, in the order in which it returns them.

        What counts is what `weightspace.outputs.result_tensors` finds: of a transformers model not its hidden states.

        Args:
            state: Weights by name; a tied tensor may be given under any one of its names. Half precision runs in
                float32, float64 in float64 throughout, even where the code casts to less on the way. The device of the
                weights is where the network runs.
            inputs: The call; the example call by default. Floating tensors are cast to the type of the weights.
            differentiable: Keep what gradients by the weights need.

        Raises:
            CheckpointMismatchError: A tensor is missing.
            SourceError: The network's own code fails.
        """
        return self._floating(self._run(state, inputs or self.inputs, differentiable=differentiable))

    def streamed(
        self, state: Mapping[str, Tensor], *, dtype: torch.dtype = torch.float64, device: str | torch.device = "cpu"
    ) -> dict[str, Tensor]:
        """Weights for `outputs` that are read while the network runs, one at a time.

        Args:
            state: A lazy mapping, such as a checkpoint; every floating tensor is read whenever the network uses it.
            dtype: Type in which the network is to run.
            device: Where it is to run.

        Raises:
            CheckpointMismatchError: A tensor is missing.
        """
        device = torch.device(device)
        given: dict[str, Tensor] = {}
        for name in self.state_names:
            canonical = self.aliases.get(name, name)
            own = self._own[canonical]
            if canonical in given or name not in state:
                continue
            if own.is_floating_point():
                given[canonical] = Streamed(own.shape, dtype, device, lambda name=name: state[name].to(device, dtype))
            else:
                given[canonical] = state[name].to(device)
        return given

    def prediction(self, state: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """First output on a batch.

        Args:
            state: As for `outputs`.
            x: Batch of shape (N, ...). Samples whose shape differs from the example's but which have as many values
                are reshaped, so that images fit a network that takes flat pixels.

        Returns:
            For a classifier the logits, (N, classes).

        Raises:
            DataError: The network does not take such samples.
        """
        try:
            return self.outputs(state, self.inputs_for(x))[0]
        except SourceError as error:
            example = self.inputs.primary()
            if example is None or x.shape[1:] == example.shape[1:]:
                raise
            raise DataError(
                f"the data: expected samples of shape {tuple(example.shape[1:])} as {self._label} takes them, found "
                f"{tuple(x.shape[1:])}; give other data, or the right --input-shape ({error})"
            ) from error

    def inputs_for(self, x: Tensor, labels: Tensor | None = None) -> Inputs:
        """The example call with a batch in place of its primary tensor, reshaped as for `prediction`."""
        primary = self.inputs.primary()
        if primary is not None and x.shape[1:] != primary.shape[1:] and x[:1].numel() == primary[:1].numel():
            x = x.reshape(len(x), *primary.shape[1:])
        call = self.inputs.map_tensors(lambda tensor: x if tensor is primary else tensor)
        return call if labels is None else Labelled(call.args, call.kwargs, labels=labels)

    def call_of(self, inputs: Inputs) -> Inputs:
        """A call of another form of the network, with the same tensors, in the form in which this one takes it."""
        return self.inputs.with_tensors(inputs.tensors())

    def taps(self, inputs: Inputs) -> Taps:
        """Where the groups of the network can be seen in a call with inputs of these shapes.

        Raises:
            TraceError: The forward pass cannot be recorded.
        """
        return self._derived(self._taps, derive_taps, inputs)

    def visit(self, state: Mapping[str, Tensor], inputs: Inputs, taps: Taps, visit: Visit) -> list[Tensor]:
        """Run the network without gradients and show the values at the taps as they come into being.

        Args:
            state: As for `outputs`.
            inputs: The call.
            taps: Those of `taps(inputs)`, or some of them.
            visit: Called with every tap and its values, (samples, sizes of the outer groups..., n).

        Returns:
            As `outputs`.

        Raises:
            SourceError: The network runs other operators than its trace, or its own code fails.
        """
        return self._floating(self._run(state, inputs, lambda: following(Tapping(taps, visit, self._label))))

    def sites(self, inputs: Inputs) -> Sites:
        """Where the network multiplies by its parameters in a call with inputs of these shapes.

        Raises:
            TraceError: The forward pass cannot be recorded.
        """
        return self._derived(self._sites, derive_sites, inputs)

    def watch(
        self, state: Mapping[str, Tensor], inputs: Inputs, sites: Sites, chosen: Sequence[Site], watch: Watch
    ) -> None:
        """Run the network without gradients, up to the last of some sites, and show what goes in and comes out there.

        Args:
            state: As for `outputs`.
            inputs: The call.
            sites: Those of `sites(inputs)`.
            chosen: Some of them.
            watch: Called with every site as its output comes into being.

        Raises:
            SourceError: The network runs other operators than its trace, or its own code fails.
        """
        with suppress(Enough):
            self._run(state, inputs, lambda: following(Watching(sites, chosen, watch, self._label)))

    def exported(self) -> Exported:
        """The network as a graph of operators, with its own weights.

        Raises:
            SourceError: `torch.export` does not understand its code.
        """
        if self._exported is None:
            self._exported = export(self._module, self.inputs, self._label)
        return self._exported

    def check_state(
        self, state: Mapping[str, Any], *, advice: str = "pass the --arch that these weights were trained with"
    ) -> None:
        """Check that a state dict or checkpoint has the tensors of the network; reads no data of a `Checkpoint`.

        A tied tensor may be given under one of its names. Counters of seen batches may be missing (files older than
        torch 0.4.1); tables that belong to the architecture, and what `ignores` names, may be present.

        Args:
            state: The tensors by name.
            advice: What the message says to do.

        Raises:
            CheckpointMismatchError: A tensor is missing, superfluous or of another shape.
        """
        problems = mismatches(
            state, self._own, self.aliases, lambda name: name in self._constants or self._ignores(name)
        )
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            path = getattr(state, "path", None)
            where = f"{path}: " if path is not None else ""
            raise CheckpointMismatchError(f"{where}{problems[0]} in {self._label}{more}; {advice}")

    def _floating(self, result: Any) -> list[Tensor]:
        found = [tensor for tensor in result_tensors(result) if tensor.is_floating_point() or tensor.is_complex()]
        if not found:
            raise SourceError(
                f"{self._label}: expected the network to return floating tensors, found none; return them"
            )
        return found

    def _derived(self, known: dict[tuple[torch.Size, ...], Kind], derive: Callable[..., Kind], inputs: Inputs) -> Kind:
        """What is derived from the trace of a call, once for inputs of the same shapes."""
        shapes = tuple(tensor.shape for tensor in inputs.tensors())
        if shapes not in known:
            call = inputs.cast(torch.float32, "cpu")
            known[shapes] = derive(self._module, call.args, call.kwargs)
        return known[shapes]

    def _run(
        self,
        state: Mapping[str, Tensor],
        inputs: Inputs,
        within: Callable[[], AbstractContextManager[None]] = nullcontext,
        *,
        differentiable: bool = False,
    ) -> Any:
        tensors = self._tensors(state)
        anchor = next((t for t in tensors.values() if t.is_floating_point()), torch.empty(0))
        call = inputs.cast(anchor.dtype, anchor.device)
        precision = InDouble() if anchor.dtype == torch.float64 else nullcontext()
        module = disposable(self._module)
        with torch.set_grad_enabled(differentiable), fixed_random_state(anchor.device), precision:
            try:
                with within():
                    return functional_call(module, tensors, call.args, dict(call.kwargs), tie_weights=True)
            except WeightspaceError:
                raise
            except Exception as error:
                primary = call.primary()
                shape = f" on an input of shape {tuple(primary.shape)}" if primary is not None else ""
                raise SourceError(f"{self._label}: the network's own code fails{shape}: {describe(error)}") from error

    def _tensors(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the module's names stand for in this call: canonical names, one floating type, one device."""
        given: dict[str, Tensor] = {}
        for name in self.state_names:
            canonical = self.aliases.get(name, name)
            if canonical not in given and name in state:
                given[canonical] = state[name]
        for name in self.state_names:
            if self.aliases.get(name, name) not in given:
                if not name.endswith(COUNTER):
                    raise CheckpointMismatchError(
                        f"{name}: expected in the weights of {self._label}, found none; add it"
                    )
                given[name] = self._own[name]
        dtype = torch.float32
        for tensor in given.values():
            if tensor.is_floating_point() and tensor.dtype.itemsize > dtype.itemsize:
                dtype = tensor.dtype
        device = next((t.device for t in given.values() if t.is_floating_point()), torch.device("cpu"))
        return {
            name: tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)
            for name, tensor in (self._constants | given).items()
        }
