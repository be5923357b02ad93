"""The marginal of a latent value: a normal distribution truncated to the range seen, there and back.

Amirrajab et al. 2022 (arXiv 2209.04223) draw every value from it. `normal_scores` is the inverse: what a copula is
estimated from, so that a subject of the class, drawn again from its own scores, is itself but for its extremes. Ranks
would do for the distribution, but few subjects overtake each other in jumps from one level to the next, and stacks
drawn by ranks came out rougher than the subjects' own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

_TINY = 1e-12


def truncated_normal(
    uniform: NDArray[np.float64],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the quantile `uniform` of a normal distribution truncated to [low, high]; the mean where sd is zero."""
    safe, below, above = _within(mean, sd, low, high)
    quantile = ndtri(np.clip(below + uniform * (above - below), _TINY, 1.0 - _TINY))
    drawn = np.clip(mean + safe * quantile, low, high)
    return np.where(sd > _TINY, drawn, np.clip(mean, low, high))


def normal_scores(
    values: NDArray[np.float64],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the standard normal numbers that `truncated_normal` would turn into `values` `(n, ...)`.

    The extremes, infinite by themselves, become the quantiles 1 / 2n and 1 - 1 / 2n; where sd is zero all are 0.
    """
    safe, below, above = _within(mean, sd, low, high)
    share = (ndtr((values - mean) / safe) - below) / np.maximum(above - below, _TINY)
    half = 0.5 / len(values)
    return np.where(sd > _TINY, ndtri(np.clip(share, half, 1.0 - half)), 0.0)


def _within(
    mean: NDArray[np.float64], sd: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return an sd to divide by, and the shares of the whole normal distribution below `low` and `high`."""
    safe = np.maximum(sd, _TINY)
    return safe, ndtr((low - mean) / safe), ndtr((high - mean) / safe)
