"""Maps inside of heads: both matrices of a product become its singular vectors times roots of its singular values."""

from __future__ import annotations

import torch

from tests.canonical.orbits import image, network, weights
from weightspace.canonical import canonicalize


def test_values_and_outputs_hold_the_singular_values():
    program, spec = network("llama")
    state = weights(program, spec)
    form = canonicalize(state, spec, ("linear",)).tensors
    heads, per_group, size, width = 3, 2, 8, 36

    def sides(tensors: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        prefix = "model.layers.0.self_attn"
        values = tensors[f"{prefix}.v_proj.weight"].reshape(heads, size, width)
        outputs = tensors[f"{prefix}.o_proj.weight"].reshape(width, heads, per_group, size)
        return values, outputs.permute(1, 3, 0, 2).reshape(heads, size, -1)

    values, outputs = sides(form)
    before, after = sides(state)
    expected = torch.linalg.svdvals(before.mT @ after)[:, :size]
    for side in (values, outputs):
        torch.testing.assert_close(side @ side.mT, torch.diag_embed(expected), rtol=1e-10, atol=1e-10)


def test_equal_singular_values_are_reported():
    program, spec = network("gpt2")
    state = weights(program, spec)
    name = "transformer.h.0.attn.c_attn"
    state[f"{name}.bias"].zero_()
    state[f"{name}.weight"].reshape(32, 3, 4, 8)[:, :2, 2] = torch.eye(32, 8, dtype=torch.float64).unsqueeze(1)
    form = canonicalize(image(spec, state, 0, ("linear",)), spec, ("linear",))
    loose = {gauge.name: gauge.unresolved for gauge in form.gauges if gauge.unresolved}
    assert loose == {f"{name}#2:linear": 8}  # all of head 2, and no other
