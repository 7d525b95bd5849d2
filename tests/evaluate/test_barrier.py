"""The barrier: its definition on known curves, and on networks where it is known."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from weightspace.data import Split
from weightspace.errors import CheckpointMismatchError, WeightspaceError
from weightspace.evaluate import Curve, evaluate, loss_curve, measure_barriers
from weightspace.merge import interpolate
from weightspace.source import Inputs, Program
from weightspace.stats import reset_batchnorm

RNG = np.random.default_rng(0)
SPLIT = Split.from_arrays(RNG.normal(size=(60, 3, 5, 5)).astype(np.float32), RNG.integers(0, 4, 60))


def curve(loss, accuracy=None):
    t = tuple(i / (len(loss) - 1) for i in range(len(loss)))
    return Curve(t, tuple(loss), tuple(accuracy or [0.5] * len(loss)), 10)


def batches():
    return SPLIT.batches(32)


def network(seed, *, norm=True):
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8) if norm else nn.Identity(), nn.ReLU(), nn.Flatten(), nn.Linear(72, 4)
    )
    for name, buffer in module.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 2)
    return module.eval()


def program_of(module):
    return Program(module, Inputs((torch.zeros(2, 3, 5, 5),)))


def test_the_two_definitions_on_a_known_curve():
    known = curve([1.0, 4.0, 2.0, 3.0, 2.0], [0.9, 0.2, 0.5, 0.6, 0.7])
    assert known.barrier == pytest.approx(4 - 1.25)  # chord 1.25 at t = 1/4
    assert known.barrier_over_mean == pytest.approx(4 - 1.5)
    assert known.accuracy_barrier == pytest.approx(0.85 - 0.2)
    assert known.accuracy_barrier_over_mean == pytest.approx(0.8 - 0.2)


def test_a_curve_below_its_chord_has_no_barrier():
    assert curve([2.0, 0.1, 0.2]).barrier == 0.0
    assert curve([2.0, 0.1, 0.2]).barrier_over_mean == pytest.approx(0.9)
    assert curve([1.0, 1.0, 1.0], [0.1, 0.9, 0.3]).accuracy_barrier == 0.0


@given(st.floats(0, 100), st.floats(0, 100), st.integers(3, 40))
def test_a_straight_line_has_no_barrier(start, end, points):
    line = [start + i / (points - 1) * (end - start) for i in range(points)]
    assert curve(line).barrier <= 1e-12


@given(st.floats(0, 1e3), st.integers(3, 40))
def test_a_flat_curve_has_exactly_none(level, points):
    flat = curve([level] * points)
    assert (flat.barrier, flat.barrier_over_mean, flat.accuracy_barrier) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_broken_loss_is_not_hidden(bad):
    broken = curve([1.0, bad, 1.0])
    assert not math.isfinite(broken.barrier)
    document = json.loads(json.dumps(broken.to_json(), allow_nan=False))
    assert document["loss"] == [1.0, None, 1.0]
    assert document["barrier"] is None


def test_the_curve_is_that_of_each_point_alone():
    program = program_of(network(0))
    a, b = network(0).state_dict(), network(1).state_dict()
    measured = loss_curve(program, a, b, batches, points=5)
    assert measured.t == (0.0, 0.25, 0.5, 0.75, 1.0)
    for t, loss, accuracy in zip(measured.t, measured.loss, measured.accuracy, strict=True):
        score = evaluate(program, interpolate(a, b, t), batches())
        assert (loss, accuracy, measured.samples) == (score.loss, score.accuracy, 60)
    assert measured.loss[0] == evaluate(program, a, batches()).loss
    assert measured.loss[-1] == evaluate(program, b, batches()).loss


def test_the_reset_takes_place_at_every_point():
    program = program_of(network(0))
    a, b = network(0).state_dict(), network(1).state_dict()
    measured = loss_curve(program, a, b, batches, points=3, reset=batches)
    for t, loss in zip(measured.t, measured.loss, strict=True):
        state = reset_batchnorm(program, interpolate(a, b, t), batches())
        assert loss == evaluate(program, state, batches()).loss


@pytest.mark.parametrize("reset", [None, batches])
def test_a_permuted_copy_once_aligned_has_exactly_no_barrier(reset):
    program = program_of(network(0))
    a = network(0).state_dict()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))

    def permuted(state, order):
        moved = {name: t[order] if name.startswith(("0.", "1.")) and t.ndim else t for name, t in state.items()}
        return moved | {"4.weight": state["4.weight"].reshape(4, 8, 9)[:, order].reshape(4, 72)}

    b = permuted(a, order)
    assert evaluate(program, b, batches()).loss == pytest.approx(evaluate(program, a, batches()).loss, rel=1e-6)
    assert len(set(loss_curve(program, a, b, batches, points=3).loss)) > 1
    aligned = loss_curve(program, a, permuted(b, order.argsort()), batches, reset=reset)
    assert len(aligned.t) == 25
    assert len(set(aligned.loss)) == len(set(aligned.accuracy)) == 1
    assert aligned.barrier == aligned.accuracy_barrier == aligned.barrier_over_mean == 0.0


def test_networks_that_differ_are_refused():
    a = network(0).state_dict()
    with pytest.raises(CheckpointMismatchError, match=r"found \(8, 3, 3, 3\) and \(8, 3, 3\)"):
        loss_curve(program_of(network(0)), a, a | {"0.weight": a["0.weight"][..., 0]}, batches)


def test_a_path_needs_a_point_between_its_ends():
    a = network(0).state_dict()
    with pytest.raises(WeightspaceError, match="expected at least 3"):
        loss_curve(program_of(network(0)), a, a, batches, points=2)


def test_the_report_of_a_network_with_batch_norm():
    program = program_of(network(0))
    a, b, c = (network(seed).state_dict() for seed in range(3))
    steps = []
    report = measure_barriers(
        program,
        a,
        b,
        c,
        batches,
        batches,
        points=3,
        progress=lambda name, done, total: steps.append((name, done, total)),
    )
    assert report.naive == loss_curve(program, a, b, batches, points=3)
    assert report.aligned == loss_curve(program, a, c, batches, points=3)
    assert report.aligned_reset == loss_curve(program, a, c, batches, points=3, reset=batches)
    assert list(report.curves()) == ["naive", "aligned", "aligned_reset"]
    assert steps == [(name, i, 3) for name in report.curves() for i in (1, 2, 3)]
    document = json.loads(json.dumps(report.to_json()))
    assert list(document) == ["naive", "aligned", "aligned_reset"]
    for name, values in document.items():
        assert values["t"] == [0.0, 0.5, 1.0]
        assert len(values["loss"]) == len(values["accuracy"]) == 3
        assert values["barrier"] == report.curves()[name].barrier


def test_without_batch_norm_the_reset_changes_nothing():
    def never():
        raise AssertionError("there is nothing to measure statistics for")

    a, b, c = (network(seed, norm=False).state_dict() for seed in range(3))
    report = measure_barriers(program_of(network(0, norm=False)), a, b, c, batches, never, points=3)
    assert not report.has_reset
    assert list(report.curves()) == ["naive", "aligned"]
    assert report.to_json()["aligned_reset"] == report.to_json()["aligned"]
