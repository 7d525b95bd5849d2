"""Samples of complex numbers and Fourier transforms."""

import torch

from tests.symmetry.samples import sample

aten = torch.ops.aten


def rotated(x, angle):
    """Pairs of features turned, as rotary embeddings on complex numbers do."""
    turn = torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(torch.view_as_complex(x.view(3, 2, 2)) * turn).flatten(1)


SAMPLES = [
    sample(aten.view_as_complex.default, "a b . -> a b; b|a", lambda x: torch.view_as_complex(x).abs(), (3, 4, 2)),
    sample(
        aten.view_as_real.default,
        "a b . -> a b .; b|a",
        lambda x: torch.view_as_real(torch.view_as_complex(x)),
        (3, 4, 2),
    ),
    sample(aten.polar.default, "a b, b -> a b; a|b", lambda x, y: torch.polar(x, y).real, (3, 4), (4,)),
    sample(aten.polar.default, "a b*., b -> a b*.; a|b", rotated, (3, 4), (2,), case="rotary embedding"),
    sample(aten._conj.default, "a b . -> a b; b|a", lambda x: (torch.view_as_complex(x).conj() * 2j).real, (3, 4, 2)),
    sample(aten._fft_r2c.default, "a . -> a .", lambda x: torch.fft.rfft(x).abs(), (3, 4)),
    sample(
        aten._fft_c2r.default,
        "a . b -> a . b; b|a",
        lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=1), dim=1),
        (2, 4, 3),
    ),
    sample(aten._fft_c2c.default, ". . b -> . . b", lambda x: torch.fft.fft2(x + 0j, dim=(0, 1)).real, (2, 4, 3)),
]
