"""A merge and what becomes of the statistics of its batch norms."""

import numpy as np
import pytest
import torch
from torch import nn

from weightspace.data import Split
from weightspace.merge import interpolate, merge, merge_interpolate
from weightspace.source import Inputs, Program
from weightspace.stats import reset_batchnorm

SPLIT = Split.from_arrays(np.random.default_rng(0).normal(size=(64, 3, 5, 5)).astype(np.float32))


def network(seed, *, norm=True):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4) if norm else nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)
    )


def program_of(module):
    return Program(module, Inputs((torch.zeros(2, 3, 5, 5),)))


def batches():
    return SPLIT.batches(16, shuffle_seed=0)


def test_with_data_the_statistics_are_measured_on_the_merge():
    program = program_of(network(0))
    a, b = network(0).state_dict(), network(1).state_dict()
    merged = merge(a, b, t=0.25, program=program, batches=batches())
    expected = reset_batchnorm(program, interpolate(a, b, 0.25), batches())
    assert merged.statistics == "measured"
    assert merged.notes == ()
    assert all(torch.equal(merged.tensors[name], expected[name]) for name in a)
    assert not torch.allclose(merged.tensors["1.running_mean"], torch.zeros(4))


@pytest.mark.parametrize("with_program", [True, False])
def test_without_data_the_merge_says_that_it_interpolated_them(with_program):
    a, b = network(0).state_dict(), network(1).state_dict()
    merged = merge(a, b, program=program_of(network(0)) if with_program else None)
    assert merged.statistics == "interpolated"
    assert "give data to measure them" in merged.notes[0]
    expected = merge_interpolate(a, b)
    assert all(torch.equal(merged.tensors[name], expected[name]) for name in a)


@pytest.mark.parametrize("with_program", [True, False])
def test_without_batch_norms_there_is_nothing_to_say(with_program):
    a, b = network(0, norm=False).state_dict(), network(1, norm=False).state_dict()
    program = program_of(network(0, norm=False)) if with_program else None
    merged = merge(a, b, program=program, batches=batches() if with_program else None)
    assert (merged.statistics, merged.notes) == ("none", ())


def test_half_precision_is_measured_in_single_and_stored_in_half():
    a, b = network(0).half().state_dict(), network(1).half().state_dict()
    program = program_of(network(0))
    merged = merge(a, b, program=program, batches=batches())
    exact = reset_batchnorm(program, interpolate(a, b, 0.5), batches())
    for name, tensor in merged.tensors.items():
        assert tensor.dtype == a[name].dtype
        assert torch.equal(tensor, exact[name].to(tensor.dtype))
