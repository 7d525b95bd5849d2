"""Prices by a Jacobi auction: all rows without a column bid at once, for all matrices of a batch together."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = (0.2, 0.2 / 6, 0.2 / 36, 1e-3)  # in units of the scale of the scores
CUT = 0.02  # a step ends when this share of rows is left: the last few would bid for hundreds of rounds
ROUNDS = 300  # of one step at most
BLOCK = 2**27  # scores looked at together


def auction_prices(scores: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """An auction with a falling step (Bertsekas 1988), cut short: a start for an exact method.

    Rows of zeros do not bid, as they would all bid for one column. Noise as large as the step, new in every step, keeps
    other rows that are equal apart.

    Args:
        scores: (b, n, m) with n <= m, any floating dtype and device, finite.
        seed: Of the noise.

    Returns:
        Prices float64 (b, m) and columns int64 (b, n) on the device of the scores; -1 for rows without a column.
    """
    count, n, m = scores.shape
    device = scores.device
    if scores.dtype != torch.float64:
        scores = scores.float()
    flat = scores.reshape(count * n, m)
    live = (flat != 0).any(1)
    scale = (flat.amax(1) - flat.mean(1)).reshape(count, n).double().sum(1) / live.reshape(count, n).sum(1).clamp(min=1)
    prices = torch.zeros(count * m, dtype=torch.float64, device=device)
    column = torch.full((count * n,), -1, device=device)
    generator = torch.Generator().manual_seed(seed)
    enough = int(CUT * int(live.sum()))
    for share in STEPS:
        step = share * scale
        noise = [torch.randint(2**31, (size,), generator=generator, dtype=torch.int32).to(device) for size in (n, m)]
        owner = torch.full((count * m,), -1, device=device)
        asking = live.nonzero().squeeze(1)
        for round_ in range(ROUNDS):
            if asking.numel() <= enough:
                break
            wanted, bid, own = _bids(flat, prices.reshape(count, m), column, asking, step, noise)
            if round_ == 0:
                kept = own & (column[asking] >= 0)
                owner[_places(column[asking[kept]], asking[kept], n, m)] = asking[kept]
                column[asking[~kept]] = -1
                asking, wanted, bid = asking[~kept], wanted[~kept], bid[~kept]
            _sell(asking, wanted, bid, prices, column, owner, n, m)
            asking = (live & (column < 0)).nonzero().squeeze(1)
    return prices.reshape(count, m), column.reshape(count, n)


def _places(columns: Tensor, rows: Tensor, n: int, m: int) -> Tensor:
    """Columns of rows as numbers among the columns of all matrices."""
    return rows.div(n, rounding_mode="floor") * m + columns


def _bids(
    flat: Tensor, prices: Tensor, column: Tensor, rows: Tensor, step: Tensor, noise: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """For each of some rows: its best column, the price that it bids, and whether the one it has is good enough."""
    n, m = noise[0].numel(), noise[1].numel()
    wanted, bids, content = [], [], []
    for part in rows.split(max(1, BLOCK // m)):
        matrix = part.div(n, rounding_mode="floor")
        of_row = step[matrix]
        jitter = (noise[0][part % n].unsqueeze(1) * noise[1]).bitwise_and(0xFFFF).to(flat.dtype) / 0x10000
        value = flat[part].sub_(prices[matrix].to(flat.dtype)).add_(jitter.mul_(of_row.to(flat.dtype).unsqueeze(1)))
        has = column[part].clamp(min=0).unsqueeze(1)
        owned = value.gather(1, has).squeeze(1)
        best, at = value.max(1)
        content.append(owned >= best - of_row.to(flat.dtype))
        second = value.scatter_(1, at.unsqueeze(1), -torch.inf).amax(1).clamp(min=torch.finfo(flat.dtype).min / 4)
        rise = (best.double() - second.double()).where(second > torch.finfo(flat.dtype).min / 8, 0.0)
        bids.append(prices[matrix, at] + rise + of_row)
        wanted.append(at)
    return torch.cat(wanted), torch.cat(bids), torch.cat(content)


def _sell(
    rows: Tensor, wanted: Tensor, bid: Tensor, prices: Tensor, column: Tensor, owner: Tensor, n: int, m: int
) -> None:
    """Gives every column to its highest bidder, the first of equals; changes prices, columns and owners in place."""
    place = _places(wanted, rows, n, m)
    highest = torch.full_like(prices, -torch.inf).scatter_reduce_(0, place, bid, "amax")
    top = bid >= highest[place]
    rows, wanted, bid, place = rows[top], wanted[top], bid[top], place[top]
    first = torch.full_like(owner, column.numel()).scatter_reduce_(0, place, rows, "amin")
    won = first[place] == rows
    rows, wanted, bid, place = rows[won], wanted[won], bid[won], place[won]
    out = owner[place]
    column[out[out >= 0]] = -1
    owner[place] = rows
    column[rows] = wanted
    prices[place] = bid
