"""Kendall's tau-b of many variables at once, by sign matrices.

For every pair of observations the sign of the difference of each variable is one row; the Gram matrix of these rows
counts concordant minus discordant pairs, and its diagonal the untied ones: G / sqrt(diag diag) is tau-b exactly. A Gram
matrix is positive semi-definite by construction, which Pearson or Spearman matrices with gaps are not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PAIRS_AT_ONCE = 65_536


def kendall(observations: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return tau-b between variables.

    Parameters
    ----------
    observations
        `(groups, observations, variables)`. Only observations of one group are compared with each other; the counts of
        all groups are pooled. One group is the ordinary coefficient.

    Returns
    -------
    tau
        `(variables, variables)`, float64, unit diagonal. A variable without an untied pair correlates with nothing.
    """
    _, count, variables = observations.shape
    gram = np.zeros((variables, variables))
    first, second = np.triu_indices(count, k=1)
    for group in observations:
        for start in range(0, len(first), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            signs = np.sign(group[first[part]] - group[second[part]]).astype(np.float32)
            gram += signs.T @ signs  # whole numbers below 2^24: exact in float32
    untied = np.sqrt(np.diag(gram))
    scale = np.outer(untied, untied)
    tau = np.divide(gram, scale, out=np.zeros_like(gram), where=scale > 0)
    np.fill_diagonal(tau, 1.0)
    return tau
