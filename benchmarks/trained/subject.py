"""A pair, loaded, with everything that is measured on it."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import mkdtemp

import torch
import torch.nn.functional as F
from torch import Tensor

from trained.pairs import Pair
from weightspace.align.loss import DataLoss
from weightspace.checkpoint import Checkpoint, Provenance, open_checkpoint, write_checkpoint
from weightspace.data import Batch, open_data
from weightspace.evaluate import evaluate
from weightspace.source import Inputs, Program, resolve_source, untie
from weightspace.stats import has_batchnorm, reset_batchnorm
from weightspace.symmetry import derive

BATCH = 500
MATCHED = 100  # examples in a batch of a method that goes by data
ROW = 128  # characters
MEASURED_CHARACTERS = 65_536

State = Mapping[str, Tensor]


class Subject:
    """Two networks and their data.

    Attributes:
        program: The network.
        spec: Its symmetry.
        a: Weights of the reference.
        b: Weights of the other.
        resets: Whether it has statistics that can be measured again.
        measure: What `score` gives, see `Pair`.
        measured: Number of examples that `score` goes by.
    """

    def __init__(self, pair: Pair, samples: int) -> None:
        """Loads a pair.

        Args:
            pair: Which.
            samples: How many examples methods and resets go by, and measurements on large data.
        """
        first, second = (_opened(path, untied=pair.untied) for path in (pair.a, pair.b))
        stack = pair.arch is None and first.config_path is None
        source = resolve_source(pair.arch, checkpoint=first, activation="relu" if stack else None)
        inputs = source.example_inputs()
        self._pair, self._samples = pair, samples
        self.program = Program.from_source(source)
        self.spec = derive(source.build(meta=True), inputs.args, inputs.kwargs)
        # Those of ACAS Xu also hold the box of their inputs.
        self.a, self.b = (
            {name: each[name] for name in each if name in self.program.state_names} for each in (first, second)
        )
        self.resets = has_batchnorm(self.program)
        self._labelled = open_data(pair.data) if pair.measure == "accuracy" and pair.data is not None else None
        self._rows = _rows_of_text(pair) if pair.measure == "nats" else None
        self.measure = pair.measure
        self.measured = self._count()

    def score(self, state: State, program: Program | None = None) -> float:
        """How good a network is, in the measure of the pair: a merged one may have a program of its own."""
        program = program or self.program
        if self._labelled is not None:
            return 100 * evaluate(program, state, self.labelled()).accuracy
        calls = list(self._drawn(1000, 0, 10)) if self._rows is None else list(self._calls(self._rows[1], 64))
        if program is self.program:
            return DataLoss(self.program, self.a, self.b).mean(state, calls)
        return self._loss(lambda inputs: program.outputs(state, program.call_of(inputs))[0])

    def ensemble(self) -> float:
        """How good the mean of the outputs of both networks is, in the same measure."""
        if self._labelled is not None:
            right = 0
            for x, y in self.labelled():
                assert y is not None
                right += int((self._mean_output(self.program.inputs_for(x)).argmax(-1) == y).sum())
            return 100 * right / self.measured
        if self._rows is None:
            return 0.0  # the mean of the outputs is what distances are measured from
        return self._loss(self._mean_output)

    def _loss(self, outputs: Callable[[Inputs], Tensor]) -> float:
        """Loss of a text in nats, or distance from the mean outputs over their variance."""
        if self._rows is None:
            far = spread = 0.0
            for inputs in self._drawn(1000, 0, 10):
                target = self._mean_output(inputs)
                far += float((outputs(inputs) - target).square().mean())
                spread += float(target.var(correction=0))
            return far / spread
        losses = []
        for rows in self._rows[1].split(64):
            scores = outputs(self.program.inputs_for(rows))
            losses.append(F.cross_entropy(scores[:, :-1].flatten(0, 1), rows[:, 1:].flatten()))
        return float(torch.stack(losses).mean())

    def _mean_output(self, inputs: Inputs) -> Tensor:
        return (self.program.outputs(self.a, inputs)[0] + self.program.outputs(self.b, inputs)[0]) / 2

    def reset(self, state: State, program: Program | None = None) -> dict[str, Tensor]:
        """A network with its statistics measured again."""
        return reset_batchnorm(program or self.program, state, self.statistics())

    def statistics(self) -> Iterator[Batch]:
        """Shuffled training examples to measure statistics on."""
        assert self._labelled is not None
        split, normalization = self._labelled.statistics, self._pair.normalization
        return split.batches(BATCH, samples=self._samples, shuffle_seed=0, normalization=normalization)

    def labelled(self) -> Iterator[Batch]:
        """The test examples."""
        assert self._labelled is not None
        limit = self._samples if self._pair.large else None
        return self._labelled.evaluation.batches(BATCH, samples=limit, normalization=self._pair.normalization)

    def calls(self, seed: int) -> Iterable[Inputs]:
        """Calls on training examples, with labels where there are any, for methods that go by data."""
        if self._labelled is not None:
            split, normalization = self._labelled.statistics, self._pair.normalization
            batches = split.batches(MATCHED, samples=self._samples, shuffle_seed=seed, normalization=normalization)
            return (self.program.inputs_for(x, y) for x, y in batches)
        if self._rows is None:
            return self._drawn(MATCHED, 1 + seed, -(-self._samples // MATCHED))
        order = torch.randperm(len(self._rows[0]), generator=torch.Generator().manual_seed(seed))
        return self._calls(self._rows[0][order[: max(1, self._samples // 8)]], 32)

    def _calls(self, rows: Tensor, size: int) -> Iterator[Inputs]:
        return (self.program.inputs_for(each) for each in rows.split(size))

    def _drawn(self, size: int, seed: int, count: int) -> Iterator[Inputs]:
        """Uniform inputs between -1/2 and 1/2, where normalised inputs of ACAS Xu lie."""
        example = self.program.inputs.primary()
        assert example is not None
        generator = torch.Generator().manual_seed(seed)
        shape = (size, *example.shape[1:])
        return (self.program.inputs_for(torch.rand(shape, generator=generator) - 0.5) for _ in range(count))

    def _count(self) -> int:
        if self._labelled is not None:
            size = len(self._labelled.evaluation)
            return min(size, self._samples) if self._pair.large else size
        return 10_000 if self._rows is None else len(self._rows[1])


def _opened(path: Path, *, untied: bool) -> Checkpoint:
    if not untied:
        return open_checkpoint(path)
    result = untie(open_checkpoint(path))
    folder = Path(mkdtemp(prefix="untied-"))  # weights are read when they are asked for
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    provenance = Provenance("benchmarks/real_pairs.py", {}, {})
    write_checkpoint(
        folder / path.name, result.tensors, provenance=provenance, aliases=result.aliases,
        texts={"config.json": result.config},
    )  # fmt: skip
    return open_checkpoint(folder / path.name)


def _rows_of_text(pair: Pair) -> tuple[Tensor, Tensor]:
    """Rows of characters, numbered as in the folder's README: of the first nine tenths, and of what comes after."""
    assert pair.data is not None
    text = pair.data.read_text(encoding="utf-8")
    number = {character: at for at, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([number[character] for character in text])
    cut = int(0.9 * len(ids))
    train = ids[: cut // ROW * ROW].reshape(-1, ROW)
    return train, ids[cut : cut + MEASURED_CHARACTERS].reshape(-1, ROW)
