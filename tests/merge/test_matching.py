"""Features matched by gradients: what counts, what stays zero, and that features come nearer."""

from __future__ import annotations

import pytest
import torch

from tests.align.networks import cnn, gpt2, resnet20
from tests.merge.test_homes import apart, made
from tests.merge.test_refit import calls_of, error, perceptron
from weightspace.align import align
from weightspace.evaluate import interpolate
from weightspace.merge import Homes, Wide, distill
from weightspace.merge.blocks import masks_of
from weightspace.merge.matching import FeatureMatching
from weightspace.source.walking import Plan
from weightspace.source.watching import Passing


@pytest.mark.parametrize("build", [cnn, resnet20, gpt2])
def test_the_end_of_a_site_is_what_a_watched_run_shows_there(build):
    program, _, _, a, _ = made(build)
    sites = program.sites(program.inputs)
    expected: dict[str, Passing] = {}
    program.watch(a, program.inputs, sites, sites.alone, lambda site, passing: expected.update({site.weight: passing}))
    outputs, ends = Plan(program.exported(), sites.alone).ends(a, program.inputs)
    torch.testing.assert_close(outputs, program.outputs(a))
    assert ends.keys() == expected.keys()
    for name, passing in expected.items():
        torch.testing.assert_close(ends[name].reshape(passing.summed.shape), passing.summed)


@pytest.mark.parametrize(("build", "count"), [(perceptron, 0), (cnn, 1), (resnet20, 9), (gpt2, 4)])
def test_of_equal_networks_features_do_not_differ(build, count):
    program, _, _, a, b = made(build)
    matching = FeatureMatching(program, (a, a), program, None, program.inputs)
    assert len(matching.names) == count
    if count:
        targets = matching.targets(program.inputs)
        assert float(matching.run(a, program.inputs, targets)[1]) < 1e-20
        assert float(matching.run(b, program.inputs, targets)[1]) > 1e-3


def test_features_come_nearer_when_they_count():
    program, spec, _, a, b = made(cnn)
    aligned = align(a, b, spec).apply(b)
    calls = calls_of(program, 6, 16)
    start = interpolate(a, aligned, 0.5)
    matching = FeatureMatching(program, (a, aligned), program, None, calls[0])
    far = []
    for weight in (0.0, 5.0):
        found = distill(program, (a, aligned), start, lambda: calls, passes=6, features=weight).state
        far.append(sum(float(matching.run(found, each, matching.targets(each))[1]) for each in calls))
    assert far[1] < far[0]


def test_what_lies_between_units_of_different_networks_stays_zero():
    program, spec, widening, a, b = made(cnn)
    wide = Wide.of(widening, Homes.partial(spec, apart(spec, widening.groups, 0.5)), (a, b))
    calls = calls_of(program, 4, 16)
    found = distill(program, (a, b), wide.state, lambda: calls, passes=4, wide=wide)
    assert min(found.losses) < found.losses[0]
    masks = masks_of(wide)
    assert masks
    for name, mask in masks.items():
        assert bool((mask == 0).any())
        assert not bool(found.state[name][mask == 0].any())
    assert error(program, found.state, [a, b], calls, wide.program) < error(
        program, wide.state, [a, b], calls, wide.program
    )
