from __future__ import annotations

import numpy as np
import pytest
import torch

from weightspace.stats import CrossMoments
from weightspace.stats import cross as cross_module


def streams(samples: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(samples, 1, 3, generator=generator)
    a = torch.cat([common, torch.randn(samples, 1, 2, generator=generator)], -1) * 3 + 100
    return a, a.flip(-1) * 2 + torch.randn(samples, 1, 5, generator=generator)


@pytest.mark.parametrize("chunk", [1, 7, 2**20])
def test_equals_numpy_on_all_samples_at_once(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_module, "_CHUNK", 5 * chunk)
    a, b = streams()
    moments = CrossMoments()
    for start, stop in ((0, 50), (50, 53), (53, 200)):
        moments.add(a[start:stop], b[start:stop])
    x, y = a[:, 0].double().numpy(), b[:, 0].double().numpy()
    expected = np.corrcoef(x, y, rowvar=False)[:5, 5:]
    np.testing.assert_allclose(moments.correlation()[0].numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(moments.product()[0].numpy(), x.T @ y / len(x), rtol=1e-10)
    assert moments.count == 200


def test_copies_do_not_mix() -> None:
    a, b = streams()
    both, alone = CrossMoments(), CrossMoments()
    both.add(torch.cat([a, b], 1), torch.cat([b, a], 1))
    alone.add(a, b)
    torch.testing.assert_close(both.correlation()[0], alone.correlation()[0])
    torch.testing.assert_close(both.correlation()[1], alone.correlation()[0].T)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_dead_and_constant_units_have_no_correlation(constant: float) -> None:
    a, b = streams()
    a[..., 2] = constant
    b[..., 4] = constant
    moments = CrossMoments()
    for part in zip(a.split(33), b.split(33), strict=True):
        moments.add(*part)
    found = moments.correlation()[0]
    assert bool(torch.isfinite(found).all())
    assert float(found[2].abs().max()) == 0.0
    assert float(found[:, 4].abs().max()) == 0.0
    assert float(found[1, 3].abs()) > 0.1


def test_large_means_do_not_cancel() -> None:
    a, b = streams()
    plain, shifted = CrossMoments(), CrossMoments()
    plain.add(a.double(), b.double())
    shifted.add(a.double() + 1e5, b.double() - 1e5)
    torch.testing.assert_close(plain.correlation(), shifted.correlation(), rtol=1e-6, atol=1e-6)


def test_without_samples_there_is_nothing_to_say() -> None:
    with pytest.raises(ValueError, match="no samples"):
        CrossMoments().correlation()
