"""Draws that the population needs beyond numpy's: truncated normals, plain and through a copula."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri


@dataclass(frozen=True)
class Marginal:
    """A normal distribution cut to [low, high]; `mean` and `sd` are those of the normal before it is cut."""

    mean: float
    sd: float
    low: float
    high: float

    def scaled(self, factor: float) -> Marginal:
        """Return the distribution of `factor` times the variable."""
        return Marginal(self.mean * factor, self.sd * factor, self.low * factor, self.high * factor)

    def below(self, limit: float) -> Marginal:
        """Return the distribution cut at `limit` too."""
        return Marginal(self.mean, self.sd, self.low, min(self.high, limit))

    def above(self, limit: float) -> Marginal:
        """Return the distribution cut from below at `limit` too."""
        return Marginal(self.mean, self.sd, max(self.low, limit), self.high)

    def at(self, score: float) -> float:
        """Return the value whose quantile a standard normal `score` has: the marginal stays exact under any copula."""
        first, last = ndtr((self.low - self.mean) / self.sd), ndtr((self.high - self.mean) / self.sd)
        value = self.mean + self.sd * ndtri(first + (last - first) * ndtr(score))
        return float(np.clip(value, self.low, self.high))

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        return self.at(rng.normal())


def correlated(rng: np.random.Generator, shared: float, loading: float) -> float:
    """Return a standard normal score that correlates with `shared` by `loading`."""
    return loading * shared + float(np.sqrt(1.0 - loading**2)) * rng.normal()
