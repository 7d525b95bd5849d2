"""Samples of pooling, resampling and padding of space."""

import torch
import torch.nn.functional as F

from tests.symmetry.samples import sample, undecomposed

aten = torch.ops.aten
D1, D2, D3 = (2, 3, 6), (2, 3, 4, 6), (2, 3, 4, 4, 4)
S1, S2, S3 = "n c . -> n c .; c|n", "n c . . -> n c . .; c|n", "n c . . . -> n c . . .; c|n"
TWO = "n c . . -> n c . ., n c . .; c|n"

SAMPLES = [
    sample(aten._adaptive_avg_pool2d.default, S2, lambda x: F.adaptive_avg_pool2d(x, (2, 3)), D2),
    sample(aten._adaptive_avg_pool3d.default, S3, lambda x: F.adaptive_avg_pool3d(x, 2), D3),
    sample(aten.adaptive_max_pool2d.default, S2, lambda x: F.adaptive_max_pool2d(x, 2), D2),
    sample(
        aten.adaptive_max_pool2d.default,
        TWO,
        lambda x: F.adaptive_max_pool2d(x, 2, True),
        D2,
        case="with indices",
    ),
    sample(aten.adaptive_max_pool3d.default, S3, lambda x: F.adaptive_max_pool3d(x, 2), D3),
    sample(aten.avg_pool1d.default, S1, undecomposed(lambda x: aten.avg_pool1d.default(x, 2)), D1),
    sample(aten.avg_pool2d.default, S2, lambda x: F.avg_pool2d(x, 3, 2, 1), D2),
    sample(aten.avg_pool2d.default, "c . . -> c . .", lambda x: F.avg_pool2d(x, 2), (3, 4, 6), case="one picture"),
    sample(aten.avg_pool3d.default, S3, lambda x: F.avg_pool3d(x, 2), D3),
    sample(
        aten.avg_pool2d.default,
        "n c . d -> n c . d; c|n d|c d|n",
        lambda x: F.avg_pool2d(x, (2, 1), (2, 1), ceil_mode=True),
        (2, 3, 5, 6),
        case="over the steps of a sequence",
    ),
    sample(aten.avg_pool2d.default, S2, lambda x: F.avg_pool2d(x, (2, 1), (2, 2)), D2, case="of every other column"),
    sample(
        aten.avg_pool3d.default,
        "n c a . b -> n c a . b; a|c a|n b|a b|c b|n c|n",
        lambda x: F.avg_pool3d(x, (1, 2, 1)),
        D3,
        case="one way",
    ),
    sample(aten.max_pool2d_with_indices.default, S2, lambda x: F.max_pool2d(x, 3, 2, 1), D2),
    sample(
        aten.max_pool2d_with_indices.default,
        TWO,
        lambda x: F.max_pool2d(x, 2, return_indices=True),
        D2,
        case="with indices",
    ),
    sample(aten.max_pool3d_with_indices.default, S3, lambda x: F.max_pool3d(x, 2), D3),
    sample(aten.reflection_pad1d.default, S1, lambda x: F.pad(x, (1, 2), "reflect"), D1),
    sample(aten.reflection_pad2d.default, S2, lambda x: F.pad(x, (1, 2, 0, 1), "reflect"), D2),
    sample(aten.replication_pad2d.default, S2, lambda x: F.pad(x, (1, 2, 0, 1), "replicate"), D2),
    sample(aten.reflection_pad3d.default, S3, lambda x: F.pad(x, (1, 1, 0, 1, 1, 0), "reflect"), D3),
    sample(aten.replication_pad1d.default, S1, lambda x: F.pad(x, (1, 2), "replicate"), D1),
    sample(aten.replication_pad3d.default, S3, lambda x: F.pad(x, (1, 1, 0, 1, 1, 0), "replicate"), D3),
    sample(
        aten._upsample_bicubic2d_aa.default,
        S2,
        lambda x: F.interpolate(x, (7, 5), mode="bicubic", antialias=True),
        D2,
    ),
    sample(
        aten._upsample_bilinear2d_aa.default,
        S2,
        lambda x: F.interpolate(x, (3, 5), mode="bilinear", antialias=True),
        D2,
    ),
    sample(
        aten._upsample_nearest_exact1d.default,
        S1,
        undecomposed(lambda x: aten._upsample_nearest_exact1d.default(x, [9])),
        D1,
    ),
    sample(
        aten._upsample_nearest_exact2d.default,
        S2,
        undecomposed(lambda x: aten._upsample_nearest_exact2d.default(x, [7, 9])),
        D2,
    ),
    sample(
        aten.upsample_nearest3d.default, S3, undecomposed(lambda x: aten.upsample_nearest3d.default(x, [5, 6, 7])), D3
    ),
    sample(aten.upsample_trilinear3d.default, S3, lambda x: F.interpolate(x, (5, 6, 7), mode="trilinear"), D3),
    sample(aten.upsample_bicubic2d.default, S2, lambda x: F.interpolate(x, (7, 5), mode="bicubic"), D2),
    sample(aten.upsample_bilinear2d.default, S2, lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), D2),
    sample(aten.upsample_linear1d.default, S1, lambda x: F.interpolate(x, 9, mode="linear"), D1),
    sample(aten.upsample_nearest1d.default, S1, undecomposed(lambda x: aten.upsample_nearest1d.default(x, [9])), D1),
    sample(aten.upsample_nearest2d.default, S2, undecomposed(lambda x: aten.upsample_nearest2d.default(x, [7, 9])), D2),
    sample(
        None,
        "h*d . . -> h . . d; d|h",
        lambda x: F.avg_pool2d(x.view(2, 3, 4, 6), 2).permute(0, 2, 3, 1),
        (6, 4, 6),
        case="pooling of channels in heads",
    ),
    sample(
        aten._upsample_nearest_exact3d.default,
        "a b . . . -> a b . . .; b|a",
        lambda x: F.interpolate(x, scale_factor=2, mode="nearest-exact"),
        (2, 3, 2, 2, 2),
    ),
    sample(
        aten.grid_sampler_2d.default,
        "n c . ., n h w . -> n c h w; c|n h|n w|h w|n",
        lambda x, g: F.grid_sample(x, g.tanh(), align_corners=False),
        (2, 3, 4, 4),
        (2, 3, 5, 2),
    ),
    sample(
        aten.grid_sampler_3d.default,
        "n c . . ., n d h w . -> n c d h w; c|n d|n h|d h|n h|w w|d w|n",
        lambda x, g: F.grid_sample(x, g.tanh(), align_corners=False),
        (2, 3, 2, 2, 2),
        (2, 2, 3, 2, 3),
    ),
    sample(
        aten.affine_grid_generator.default,
        "n . . -> n . . .",
        lambda t: F.affine_grid(t, [2, 1, 3, 4], align_corners=False),
        (2, 2, 3),
    ),
]
