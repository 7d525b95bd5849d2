"""Loss and accuracy of a classifier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from weightspace.errors import DataError

if TYPE_CHECKING:
    from weightspace.data import Batch
    from weightspace.source import Program


@dataclass(frozen=True)
class Score:
    """How well a classifier does on some examples.

    Attributes:
        loss: Mean cross-entropy in nats.
        accuracy: Share of examples whose largest output is that of their class, 0 to 1.
        samples: Number of examples.
    """

    loss: float
    accuracy: float
    samples: int


def evaluate(program: Program, state: Mapping[str, Tensor], batches: Iterable[Batch]) -> Score:
    """Measure a classifier.

    Args:
        program: The network; its first output is taken as logits `(N, classes)`. Log-probabilities give the same loss.
        state: Its weights.
        batches: `(x, y)` with class indices `y` `(N,)`.

    Returns:
        Cross-entropy and accuracy, accumulated in float64.

    Raises:
        DataError: No examples, no labels, a label that the network has no output for, or outputs that are not
            `(N, classes)`.
    """
    loss, correct, samples = 0.0, 0, 0
    for x, y in batches:
        logits = program.prediction(state, x)
        labels = _checked_labels(logits, x, y).to(logits.device)
        loss += float(F.cross_entropy(logits.double(), labels, reduction="sum"))
        correct += int((logits.argmax(1) == labels).sum())
        samples += len(labels)
    if not samples:
        raise DataError("evaluation: expected at least one example, found none; give data with examples")
    return Score(loss / samples, correct / samples, samples)


def _checked_labels(logits: Tensor, x: Tensor, y: Tensor | None) -> Tensor:
    if y is None:
        raise DataError("evaluation: expected labels, found inputs alone; add an array y of class indices to the data")
    if logits.ndim != 2 or len(logits) != len(x):
        raise DataError(
            f"evaluation: expected outputs of shape ({len(x)}, classes), found {tuple(logits.shape)}; "
            "name a network that classifies its inputs"
        )
    if int(y.max()) >= logits.shape[1]:
        raise DataError(
            f"evaluation: expected labels below {logits.shape[1]}, the number of the network's outputs, "
            f"found {int(y.max())}; give the data that the network was trained for"
        )
    return y
