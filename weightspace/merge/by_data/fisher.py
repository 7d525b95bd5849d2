"""Means by Fisher information: a weight counts as much as the predictions of its model depend on it.

Matena and Raffel 2022, Merging Models with Fisher-Weighted Averaging, section 3.2 (eq. 2 and 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from weightspace.errors import DataError, MergeError
from weightspace.merge.interpolate import average
from weightspace.source import Program

if TYPE_CHECKING:
    from weightspace.data import Batch

State = Mapping[str, Tensor]


def fisher_information(
    program: Program,
    state: State,
    batches: Iterable[Batch],
    *,
    given: bool = False,
    draws: int = 1,
    seed: int = 0,
) -> dict[str, Tensor]:
    """The diagonal of the Fisher information of a classifier: the mean square of the gradient of log p(y | x).

    Args:
        program: The network; its first output is taken as logits (N, classes).
        state: Its weights, tied ones once.
        batches: Examples; of labels there is no need unless they are `given`.
        given: Whether y is the label of the data (the empirical Fisher information), and not drawn from the predictions
            of the network itself.
        draws: Labels that are drawn for an example; 0 for the mean over all classes, weighted by their probabilities.
            A network that is sure draws what it does not believe hardly ever, and then all hangs on that one draw.
        seed: Seed of what is drawn.

    Returns:
        For every parameter float64 of its shape.

    Raises:
        DataError: No examples, no labels where they are needed, or outputs that are not (N, classes).
    """
    learned = {
        name: state[name].detach().to(torch.promote_types(state[name].dtype, torch.float32)).requires_grad_()
        for name in program.parameter_names
        if name in state and state[name].is_floating_point()
    }
    whole = {**state, **learned}
    squares = {name: torch.zeros_like(tensor, dtype=torch.float64) for name, tensor in learned.items()}
    generator, count = torch.Generator().manual_seed(seed), 0
    for x, y in batches:
        # The gradients of examples are needed one by one: the square of their sum is another number.
        for number in range(len(x)):
            inputs = program.inputs_for(x[number : number + 1])
            logits = program.outputs(whole, inputs, differentiable=True)[0]
            if logits.ndim != 2 or len(logits) != 1:
                raise DataError(
                    f"Fisher information: expected outputs of shape (1, classes) for an example, found "
                    f"{tuple(logits.shape)}; name a network that classifies its inputs"
                )
            logs = logits[0].log_softmax(0)
            labels = {_given(y, number, len(logs)): 1.0} if given else _drawn(logs, draws, generator)
            for done, (label, share) in enumerate(labels.items(), 1):
                gradients = torch.autograd.grad(
                    logs[label], list(learned.values()), allow_unused=True, retain_graph=done < len(labels)
                )
                for total, gradient in zip(squares.values(), gradients, strict=True):
                    if gradient is not None:
                        total.add_(gradient.double().square(), alpha=share)
        count += len(x)
    if not count:
        raise DataError("Fisher information: expected at least one example, found none; give data with examples")
    return {name: total / count for name, total in squares.items()}


def fisher_mean(
    models: Sequence[State],
    information: Iterable[Mapping[str, Tensor]],
    *,
    weights: Sequence[float] | None = None,
    floor: float = 1e-6,
) -> dict[str, Tensor]:
    """The mean of networks where every number counts by its information; what has none, such as tables, equally.

    Args:
        models: Weights in one coordinate system, tied ones once.
        information: For every model what `fisher_information` gives, made one at a time where it is a generator.
        weights: How much a model counts, equally by default.
        floor: The least information, so that numbers that no prediction depends on are plain means.

    Returns:
        Floating tensors in the wider of their own type and float32.

    Raises:
        MergeError: The numbers of models and weights differ, or no weight is positive.
        CheckpointMismatchError: The models differ in a name or a shape.
    """
    shares = [1.0] * len(models) if weights is None else list(weights)
    if len(shares) != len(models) or min(shares) < 0 or not sum(shares) > 0:
        raise MergeError(f"Fisher mean: expected {len(models)} weights of at least 0, not all 0, found {shares}")
    mean = average(models)
    above: dict[str, Tensor] = {}
    below: dict[str, Tensor] = {}
    for model, share, known in zip(models, shares, information, strict=True):
        for name, values in known.items():
            counts = share * values.clamp(min=floor)
            # From the mean on: equal models give themselves back to the last bit.
            change = counts * (model[name].double() - mean[name].double())
            above[name] = above[name] + change if name in above else change
            below[name] = below[name] + counts if name in below else counts
    merged = {name: (mean[name].double() + above[name] / below[name]).to(mean[name].dtype) for name in above}
    return {**mean, **merged}


def _given(y: Tensor | None, number: int, classes: int) -> int:
    if y is None:
        raise DataError(
            "Fisher information: expected labels, found inputs alone; add an array y of class indices to the data, or "
            "let labels be drawn from the predictions"
        )
    label = int(y[number])
    if not 0 <= label < classes:
        raise DataError(
            f"Fisher information: expected labels below {classes}, the number of the network's outputs, found {label}; "
            "give the data that the network was trained for"
        )
    return label


def _drawn(logs: Tensor, draws: int, generator: torch.Generator) -> dict[int, float]:
    """Labels, and how much each counts."""
    probabilities = logs.detach().double().exp().cpu()
    if not draws:
        return dict(enumerate(probabilities.tolist()))
    labels = torch.multinomial(probabilities, draws, replacement=True, generator=generator).tolist()
    return {label: labels.count(label) / draws for label in labels}
