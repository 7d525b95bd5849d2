"""Samples of distances, bilinear forms and linear systems."""

import torch
import torch.nn.functional as F

from tests.symmetry.samples import sample

aten = torch.ops.aten


def strong(x):
    """A matrix that can be inverted."""
    return x + 9 * torch.eye(3, dtype=x.dtype)


SAMPLES = [
    sample(aten._cdist_forward.default, "a k, b k -> a b", lambda x, y: torch.cdist(x, y, p=1), (3, 4), (5, 4)),
    sample(
        aten._cdist_forward.default,
        "n a k, b k -> n a b; a|n",
        lambda x, y: torch.cdist(x, y.expand(2, 5, 4), p=3.0),
        (2, 3, 4),
        (5, 4),
        case="in batches",
    ),
    sample(aten._euclidean_dist.default, "a k, b k -> a b", lambda x, y: aten._euclidean_dist(x, y), (3, 4), (5, 4)),
    sample(
        aten._trilinear.default,
        "n i, n j, o i j -> n o",
        lambda x, y, w: F.bilinear(x, y, w),
        (2, 3),
        (2, 4),
        (5, 3, 4),
    ),
    sample(
        aten.linalg_inv_ex.default,
        "n a b -> n b a; a|n b|n",
        lambda x: torch.linalg.inv(x),
        (2, 3, 3),
        case="in batches",
    ),
    sample(aten.linalg_inv_ex.default, "a a -> a a", lambda x: torch.linalg.inv(strong(x)), (3, 3), case="of a sum"),
    sample(aten._linalg_solve_ex.default, "a b, a c -> b c", torch.linalg.solve, (3, 3), (3, 4)),
    sample(
        aten._linalg_solve_ex.default,
        ". ., . . -> . .",
        lambda a, b: torch.linalg.solve(a, b, left=False),
        (3, 3),
        (4, 3),
        case="from the right",
    ),
    sample(
        aten.linalg_solve_triangular.default,
        ". ., . c -> . c",
        lambda a, b: torch.linalg.solve_triangular(strong(a), b, upper=False),
        (3, 3),
        (3, 4),
    ),
    sample(
        aten.linalg_solve_triangular.default,
        ". ., c . -> c .",
        lambda a, b: torch.linalg.solve_triangular(strong(a), b, upper=True, left=False),
        (3, 3),
        (4, 3),
        case="from the right",
    ),
    sample(aten.renorm.default, "a b c -> a b c; a|b c|a c|b", lambda x: x.renorm(2, 1, 0.5), (2, 3, 4)),
]
