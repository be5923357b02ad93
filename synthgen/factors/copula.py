"""Random stacks of latents: a Gaussian copula with truncated-normal marginals.

The marginals are those of Pathology Synthesis (Amirrajab et al. 2022, arXiv 2209.04223): at every level and dimension a
normal distribution of the class's mean and sd, truncated to the class's minimum and maximum. The published procedure
multiplies the truncated sample itself by the Cholesky factors, which moves the mean and leaves the range; here
correlation is that of standard normal numbers, and the inverse distribution function turns each into its marginal. The
marginals stay exact, nothing leaves [minimum, maximum], and the published order is kept as the mode `paper`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from synthgen.factors.kendall import kendall
from synthgen.factors.latents import LEVELS, SPAN, LatentStatistics, Recipient
from synthgen.factors.marginals import truncated_normal

Correlation = Literal["class", "separable", "recipient", "paper", "none"]
"""How the values of one sample hang together.

class
    Every level of either phase in every dimension correlates with every other as in the whole class (normal scores
    by its marginals): a draw is as smooth from slice to slice as the class's own stacks. The default.
separable
    One correlation of rows (levels of both phases) for all dimensions, one of dimensions for all rows, both Kendall's
    of the class's residuals: fewer numbers to estimate, but dimensions that vary roughly roughen the others.
recipient
    As separable, with the rows of the one normal recipient, as the paper has it, but around the class mean.
paper
    The published order of operations on raw values, phases drawn one by one: mean and range are not kept.
none
    Independent values; the ablation.
"""

EIGENVALUE_FLOOR = 1e-4


@dataclass(frozen=True)
class Factor:
    """A correlation matrix as its Cholesky factor.

    Attributes
    ----------
    lower
        Lower triangular, its product with its transpose has a unit diagonal.
    added
        Sum of what the eigenvalue floor added, before the diagonal was brought back to one. 0 when nothing was needed.
    """

    lower: NDArray[np.float64]
    added: float


@dataclass(frozen=True)
class Draw:
    """One sample.

    Attributes
    ----------
    levels
        `(2 phases, 32 levels, d)`.
    span_mm
        Where the heart that goes with it lies along the stack; by the names of `latents.SPAN`.
    eigenvalue_added
        What the eigenvalue floors of the factors added, in all.
    outside
        Share of values outside the class's [minimum, maximum]; 0 for every mode but `paper`.
    """

    levels: NDArray[np.float64]
    span_mm: NDArray[np.float64]
    eigenvalue_added: float
    outside: float


class CopulaSampler:
    """Draws stacks of one class.

    Parameters
    ----------
    statistics
        Of the class.
    correlation
        See `Correlation`.
    """

    def __init__(self, statistics: LatentStatistics, correlation: Correlation = "class") -> None:
        self.statistics, self.correlation = statistics, correlation
        self._rows = factor(to_pearson(statistics.row_tau))
        self._dimensions = factor(to_pearson(statistics.dimension_tau))
        self._raw_dimensions = [factor(tau) for tau in statistics.raw_dimension_tau]

    def draw(self, recipient: Recipient, stream: np.random.Generator) -> Draw:
        """Draw one stack; everything random comes from `stream`, in a fixed order."""
        normal = stream.standard_normal(self.statistics.mean.shape)
        directions = stream.standard_normal(self.statistics.joint.shape[1])
        span_normal = stream.standard_normal(len(SPAN))
        if self.correlation == "paper":
            levels, added = self._published(normal, recipient)
        elif self.correlation == "class":
            joint = np.einsum("ij,j->i", self.statistics.joint, directions).reshape(normal.shape)
            levels, added = self._marginals(joint), 0.0
        else:
            correlated, added = self._correlated(normal, recipient)
            levels = self._marginals(correlated)
        s = self.statistics
        slack = 1e-9 * (1.0 + np.abs(s.mean))
        outside = float(((levels < s.minimum - slack) | (levels > s.maximum + slack)).mean())
        return Draw(levels, self._span(levels, span_normal), added, outside)

    def _correlated(self, normal: NDArray[np.float64], recipient: Recipient) -> tuple[NDArray[np.float64], float]:
        if self.correlation == "none":
            return normal, 0.0
        rows = self._rows if self.correlation == "separable" else self._rows_of(recipient)
        matrix = normal.reshape(2 * LEVELS, -1)
        # einsum without BLAS: the same bits whatever the number of threads.
        mixed = np.einsum("lk,jk->jl", self._dimensions.lower, np.einsum("ij,jk->ik", rows.lower, matrix))
        return mixed.reshape(normal.shape), rows.added + self._dimensions.added

    def _rows_of(self, recipient: Recipient) -> Factor:
        residual = self.statistics.standardised(recipient.levels).reshape(2 * LEVELS, -1)
        return factor(to_pearson(kendall(residual.T[None])))

    def _marginals(self, normal: NDArray[np.float64]) -> NDArray[np.float64]:
        s = self.statistics
        return truncated_normal(ndtr(normal), s.mean, s.sd, s.minimum, s.maximum)

    def _published(self, normal: NDArray[np.float64], recipient: Recipient) -> tuple[NDArray[np.float64], float]:
        sample = self._marginals(normal)
        out, added = np.empty_like(sample), 0.0
        for phase, dimensions in enumerate(self._raw_dimensions):
            rows = factor(kendall(recipient.levels[phase].T[None].astype(np.float64)))
            out[phase] = np.einsum("ij,jk->ik", rows.lower, np.einsum("lk,jk->jl", dimensions.lower, sample[phase]))
            added += rows.added + dimensions.added
        return out, added

    def _span(self, levels: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the span that goes with a sample, within the class's range: beyond it the regression says nothing."""
        s = self.statistics
        residual = s.standardised(levels).reshape(2 * LEVELS, -1).mean(axis=0)
        mean, _, low, high = s.span
        drawn = mean + np.einsum("ij,j->i", s.span_weights, residual) + np.einsum("ij,j->i", s.span_factor, normal)
        return np.clip(drawn, low, high)


def to_pearson(tau: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of the Gaussian copula whose Kendall coefficient is `tau`: sin(pi tau / 2)."""
    return np.sin(0.5 * np.pi * tau)


def factor(correlation: NDArray[np.float64], floor: float = EIGENVALUE_FLOOR) -> Factor:
    """Return the Cholesky factor of a matrix that may fail to be positive definite.

    Eigenvalues are raised to `floor`, then rows and columns scaled so that the diagonal is one again.
    """
    symmetric = (correlation + correlation.T) / 2
    values, vectors = np.linalg.eigh(symmetric)
    raised = np.maximum(values, floor)
    added = float((raised - values).sum())
    if added > 0:
        symmetric = (vectors * raised) @ vectors.T
    scale = 1.0 / np.sqrt(np.diag(symmetric))
    lower: NDArray[np.float64] = np.linalg.cholesky(symmetric * np.outer(scale, scale)).astype(np.float64, copy=False)
    return Factor(lower, added)
