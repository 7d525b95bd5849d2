"""Samples of views by strides."""

import torch

from tests.symmetry.samples import sample

aten = torch.ops.aten
STRIDED = aten.as_strided.default

SAMPLES = [
    sample(STRIDED, "a 1 b -> a 1 b; b|a", lambda x: x.as_strided((2, 1, 3), (3, 7, 1)), (2, 1, 3), case="of ones"),
    sample(STRIDED, "a b -> b a; b|a", lambda x: x.as_strided((3, 2), (1, 3)), (2, 3), case="transposed"),
    sample(
        STRIDED,
        "a . b -> a . . b; b|a",
        lambda x: x.as_strided((2, 3, 4, 5), (40, 10, 5, 1)),
        (2, 8, 5),
        case="overlapping windows",
    ),
    sample(STRIDED, "a b . -> a b; b|a", lambda x: x.as_strided((2, 3), (12, 4)), (2, 3, 4), case="every fourth"),
    sample(STRIDED, "a . -> a . .", lambda x: x.as_strided((2, 2, 3), (6, 3, 1)), (2, 6), case="taken apart"),
    sample(STRIDED, ". a -> . a", lambda x: x.as_strided((2, 4), (4, 1)), (3, 4), case="fewer rows"),
    sample(STRIDED, ". . -> . .", lambda x: x.as_strided((3, 4), (3, 1)), (3, 4), case="round the rows"),
    sample(STRIDED, "[1+.] . -> . .", lambda x: x[1:].as_strided((2, 4), (4, 1), 0), (3, 4), case="beside a slice"),
    sample(
        STRIDED, "a b -> b a; b|a", lambda x: x.exp().as_strided((3, 2), (1, 3), 0), (2, 3), case="from the first entry"
    ),
    sample(
        aten.as_strided_.default,
        "a 1 b -> a 1 b; b|a",
        lambda x: x.clone().as_strided_((2, 1, 3), (3, 1, 1)),
        (2, 1, 3),
    ),
]
