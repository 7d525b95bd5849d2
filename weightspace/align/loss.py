"""How bad a point between two networks is on data: what methods that learn an alignment minimise.

Without a loss of the caller's own: cross-entropy where calls carry labels; next-token cross-entropy where tokens go in
and scores for tokens come out; else, without any labels, the squared distance of the outputs from the mean of those of
the two networks, over its variance. Batch norms normalise by the batch, as they will once their statistics are reset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from weightspace.align.method import Loss
from weightspace.errors import DataError
from weightspace.source import Inputs, Labelled, Program
from weightspace.stats import by_batch

State = Mapping[str, Tensor]


class DataLoss:
    """Loss of a network between two others as a function of its weights."""

    def __init__(self, program: Program, a: State, b: State, loss: Loss | None = None) -> None:
        """Prepares a loss.

        Args:
            program: The network.
            a: One end.
            b: The other.
            loss: The caller's own, in place of the usual ones.
        """
        self._program, self._ends, self._loss = program, (a, b), loss

    def __call__(self, state: State, inputs: Inputs) -> Tensor:
        """The loss of some weights on a call, with gradients by those that ask for them.

        Raises:
            DataError: Labels do not fit the outputs.
        """
        with by_batch():
            outputs = self._program.outputs(state, inputs, differentiable=True)
        if self._loss is not None:
            return self._loss(outputs, inputs)
        if isinstance(inputs, Labelled):
            return _classification(outputs[0], inputs.labels)
        tokens = inputs.primary()
        if tokens is not None and _predicts(outputs[0], tokens):
            return _next_token(outputs[0], tokens)
        with by_batch():
            ends = [self._program.outputs(end, inputs) for end in self._ends]
        return torch.stack([_distance(*each) for each in zip(outputs, *ends, strict=True)]).mean()

    def mean(self, state: State, calls: Iterable[Inputs]) -> float:
        """The mean over calls, without gradients."""
        with torch.no_grad():
            losses = [float(self(state, inputs)) for inputs in calls]
        return sum(losses) / len(losses)


def endless(batches: Callable[[], Iterable[Inputs]]) -> Iterator[Inputs]:
    """Calls pass after pass; ends only where a pass holds none."""
    while True:
        empty = True
        for inputs in batches():
            yield inputs
            empty = False
        if empty:
            return


def _classification(logits: Tensor, labels: Tensor) -> Tensor:
    if logits.dim() != 2 or len(logits) != len(labels) or int(labels.max()) >= logits.shape[1]:
        raise DataError(
            f"loss: expected outputs (N, classes) for {len(labels)} labels up to {int(labels.max())}, found "
            f"{tuple(logits.shape)}; give the data that the network was trained for"
        )
    return F.cross_entropy(logits, labels.to(logits.device))


def _predicts(scores: Tensor, tokens: Tensor) -> bool:
    """Whether scores (N, T, vocabulary) may be those of the token after each of the tokens (N, T)."""
    return (
        not tokens.is_floating_point()
        and tokens.dim() == 2
        and scores.dim() == 3
        and scores.shape[:2] == tokens.shape
        and tokens.shape[1] > 1
        and int(tokens.max()) < scores.shape[2]
    )


def _next_token(scores: Tensor, tokens: Tensor) -> Tensor:
    return F.cross_entropy(scores[:, :-1].flatten(0, 1), tokens[:, 1:].flatten().to(scores.device))


def _distance(output: Tensor, a: Tensor, b: Tensor) -> Tensor:
    target = (a + b) / 2
    spread = (target - target.mean(0)).square().mean()
    return (output - target).square().mean() / spread.clamp(min=torch.finfo(spread.dtype).tiny)
