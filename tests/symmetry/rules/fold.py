"""Samples of unfolding, folding and pixel shuffling."""

import torch
import torch.nn.functional as F

from tests.symmetry.samples import sample

aten = torch.ops.aten

SAMPLES = [
    sample(aten.im2col.default, "n c . . -> n c*. .; c|n", lambda x: F.unfold(x, (2, 3), stride=2), (2, 3, 4, 5)),
    sample(aten.im2col.default, "c . . -> c*. .", lambda x: F.unfold(x, 2, padding=1), (3, 4, 4), case="one picture"),
    sample(
        aten.im2col.default,
        "n c . ., o c*. -> n o .",
        lambda x, w: w @ F.unfold(x, 2),
        (2, 3, 4, 4),
        (5, 12),
        case="a convolution by hand",
    ),
    sample(aten.col2im.default, "n c*. . -> n c . .; c|n", lambda x: F.fold(x, (4, 4), 2), (2, 12, 9)),
    sample(aten.col2im.default, "c*. . -> c . .", lambda x: F.fold(x, (4, 4), 2), (12, 9), case="one picture"),
    sample(
        aten.col2im.default,
        "n h*c*. . -> n h c . .; c|h c|n h|n",
        lambda x: F.fold(x, (4, 4), 2, stride=2).view(2, 2, 3, 4, 4),
        (2, 24, 4),
        case="in heads",
    ),
    sample(
        aten.col2im.default,
        "n . ., n . . -> n . . .",
        lambda x, y: F.fold(torch.cat([x, y], 1), (4, 4), 2),
        (2, 3, 9),
        (2, 9, 9),
        case="of a concatenation that does not fit",
    ),
    sample(aten.pixel_shuffle.default, "n c*. . . -> n c . .; c|n", lambda x: F.pixel_shuffle(x, 2), (2, 12, 3, 4)),
    sample(aten.pixel_unshuffle.default, "n c . . -> n c*. . .; c|n", lambda x: F.pixel_unshuffle(x, 2), (2, 3, 4, 6)),
    sample(
        None,
        "n c . . -> n c . .; c|n",
        lambda x: F.pixel_shuffle(F.pixel_unshuffle(x, 2).exp(), 2),
        (2, 3, 4, 6),
        case="there and back",
    ),
    sample(
        aten.unfold.default, "a*b c -> a c b; b|a c|a c|b", lambda x: x.unfold(0, 2, 2), (6, 3), case="side by side"
    ),
    sample(aten.unfold.default, "a . -> a . .", lambda x: x.unfold(1, 3, 1), (2, 6), case="overlapping"),
    sample(aten.unfold.default, "a . -> a . .", lambda x: x.unfold(-1, 2, 2), (2, 5), case="with a rest"),
    sample(
        aten.channel_shuffle.default,
        "n g*c s -> n c*g s; c|g c|n g|n s|c s|g s|n",
        lambda x: F.channel_shuffle(x, 2),
        (2, 6, 4),
    ),
]
