"""Samples of normalisation layers."""

import torch
import torch.nn.functional as F

from tests.symmetry.samples import sample, undecomposed

aten = torch.ops.aten
CHANNELS = ((2, 4, 5), (4,), (4,), (4,), (4,))  # input, scale, shift, mean, variance
PER_CHANNEL = "n c s, c, c, c, c -> n c s; n|c s|c s|n"


def batch_norm(overload, *options):
    """Batch norm by one overload: the variance is made positive."""
    return lambda x, weight, bias, mean, variance: overload(x, weight, bias, mean.clone(), variance.square(), *options)[
        0
    ]


def reference(x, weight, bias, mean, variance):
    return F.batch_norm(x, mean, variance.square(), weight, bias, eps=1e-5)


SAMPLES = [
    sample(
        aten.native_batch_norm.default,
        PER_CHANNEL,
        batch_norm(aten.native_batch_norm.default, False, 0.1, 1e-5),
        *CHANNELS,
    ),
    sample(
        aten.native_batch_norm.default,
        "n c s, c -> n c s; n|c s|c s|n",
        lambda x, weight: aten.native_batch_norm.default(x, weight, None, None, None, True, 0.1, 1e-5)[0],
        (3, 4, 5),
        (4,),
        case="moments of the batch",
    ),
    sample(
        aten.native_batch_norm.default,
        "n c s -> n c s; n|c s|c s|n",
        lambda x: aten.native_batch_norm.default(x, None, None, None, None, True, 0.1, 1e-5)[0],
        (3, 4, 5),
        case="moments of the batch, no parameters",
    ),
    sample(
        aten.cudnn_batch_norm.default,
        PER_CHANNEL,
        batch_norm(aten.cudnn_batch_norm.default, False, 0.1, 1e-5),
        *CHANNELS,
        real=reference,
    ),
    sample(
        aten._native_batch_norm_legit.default,
        PER_CHANNEL,
        batch_norm(aten._native_batch_norm_legit.default, False, 0.1, 1e-5),
        *CHANNELS,
    ),
    sample(
        aten._native_batch_norm_legit_no_training.default,
        PER_CHANNEL,
        batch_norm(aten._native_batch_norm_legit_no_training.default, 0.1, 1e-5),
        *CHANNELS,
    ),
    sample(
        aten._batch_norm_no_update.default,
        PER_CHANNEL,
        batch_norm(aten._batch_norm_no_update.default, 0.1, 1e-5),
        *CHANNELS,
        real=reference,
    ),
    sample(
        aten._native_batch_norm_legit_no_training.default,
        "n c -> n c; n|c",
        lambda x: aten._native_batch_norm_legit_no_training.default(
            x, None, None, torch.zeros(4).double(), torch.ones(4).double(), 0.1, 1e-5
        )[0],
        (3, 4),
        case="constant statistics",
    ),
    sample(
        None,
        "n*c s, c, c -> n*c s; n|c s|c s|n",
        lambda x, weight, bias: F.instance_norm(x.view(2, 4, 5), None, None, weight, bias).view(8, 5),
        (8, 5),
        (4,),
        (4,),
        case="instance norm",
    ),
    sample(
        aten.native_layer_norm.default,
        "n t c, c, c -> n t c; t|n",
        lambda x, weight, bias: F.layer_norm(x, (4,), weight, bias),
        (2, 3, 4),
        (4,),
        (4,),
    ),
    sample(
        aten.native_layer_norm.default,
        "n t c -> n t c; c|n c|t t|n",
        lambda x: F.layer_norm(x, (4,)),
        (2, 3, 4),
        case="no parameters",
    ),
    sample(
        aten.native_layer_norm.default,
        "n t c, t c, t c -> n t c; c|t",
        lambda x, weight, bias: F.layer_norm(x, (3, 4), weight, bias),
        (2, 3, 4),
        (3, 4),
        (3, 4),
        case="two dimensions",
    ),
    sample(
        None,
        "o i, i, i, p o -> p i",
        lambda w, weight, bias, v: v @ F.layer_norm(w, (4,), weight, bias),
        (3, 4),
        (4,),
        (4,),
        (5, 3),
        case="layer norm of a matrix",
    ),
    sample(
        aten._fused_rms_norm.default,
        "n t c, c -> n t c; t|n",
        undecomposed(lambda x, weight: aten._fused_rms_norm.default(x, (4,), weight, 1e-5)[0]),
        (2, 3, 4),
        (4,),
        real=lambda x, weight: F.rms_norm(x, (4,), weight, eps=1e-5),
    ),
    sample(None, "n c, c -> n c", lambda x, weight: F.rms_norm(x, (4,), weight), (3, 4), (4,), case="RMS norm"),
    sample(
        aten._weight_norm_interface.default,
        "o i k, o 1 1 -> o i k, o; i|o k|i k|o",
        lambda v, g: tuple(y.flatten() if y.shape[1] == 1 else y for y in aten._weight_norm_interface.default(v, g)),
        (3, 4, 5),
        (3, 1, 1),
    ),
    sample(
        aten._weight_norm_interface.default,
        "o i k, 1 1 k -> o i k; i|k i|o o|k",
        lambda v, g: torch._weight_norm(v, g, 2),
        (3, 4, 5),
        (1, 1, 5),
        case="last dimension",
    ),
    sample(
        aten.native_group_norm.default,
        "n g*c s, g*c, g*c -> n g*c s; n|g c|g s|n s|g s|c",
        lambda x, weight, bias: F.group_norm(x, 2, weight, bias),
        (2, 6, 5),
        (6,),
        (6,),
    ),
    sample(
        aten.native_group_norm.default,
        "n c s, c, c -> n c s; s|n s|c",
        lambda x, weight, bias: F.group_norm(x, 1, weight, bias),
        (2, 6, 5),
        (6,),
        (6,),
        case="one group",
    ),
    sample(
        aten.native_group_norm.default,
        "n c s, c, c -> n c s; n|c s|n s|c",
        lambda x, weight, bias: F.group_norm(x, 6, weight, bias),
        (2, 6, 5),
        (6,),
        (6,),
        case="a group per channel",
    ),
    sample(
        aten.native_group_norm.default,
        "n i s, g*c i 1, g*c -> n g*c s; c|g s|n",
        lambda x, w, weight: F.group_norm(F.conv1d(x, w), 2, weight),
        (2, 3, 5),
        (6, 3, 1),
        (6,),
        case="after a convolution",
    ),
    sample(
        aten.native_group_norm.default,
        "n [a+b] s, [a+b] -> n [a+b] s; s|n",
        lambda x, weight: F.group_norm(torch.cat([x[:, :3], x[:, 3:]], 1), 1, weight),
        (2, 7, 5),
        (7,),
        case="one group of two stretches",
    ),
    sample(
        aten.native_group_norm.default,
        "n . -> n .",
        lambda x: F.group_norm(F.pad(x, (2, 2)), 2),
        (3, 2),
        case="groups that straddle a padding",
    ),
    sample(
        aten.native_group_norm.default,
        "n ., n . -> n .",
        lambda x, y: F.group_norm(torch.cat([x, y], 1), 2),
        (2, 3),
        (2, 5),
        case="groups that straddle a concatenation",
    ),
]
