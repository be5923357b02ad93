"""Vendor styles: one Gaussian over style vectors per vendor, fitted on encoded images, drawn once per subject.

Scanners of different vendors make images that look alike now and then, so the Gaussians overlap. A style that is asked
for by a vendor's name should be that vendor's, so it is drawn where no other vendor's is likely.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from synthgen.errors import InputError
from synthgen.labels import Vendor

_SHRINKAGE = 0.1
_WIDEST = 2.5  # standard deviations; beyond it a style is not one that was seen

_CERTAIN, _TYPICAL, _TRIES = 0.99, 0.6, 64
"""Where there are several vendors: probability from which a style is its vendor's, factor on the spread that is drawn
from, and draws of which the first that is its vendor's counts. `benchmarks/README.md` has what they are worth."""

Styles = Mapping[str, Any]
"""Vendor letter to `{"mean": [S], "factor": [S][S], "count": n}`; factor is the covariance's lower Cholesky factor."""


def fit_styles(codes: Mapping[Vendor, NDArray[np.floating]]) -> dict[str, dict]:
    """Fit one Gaussian per vendor on style vectors `(subjects, S)`, covariance shrunk by 10 % towards its diagonal.

    Raises
    ------
    InputError
        If a vendor has fewer than two subjects.
    """
    out: dict[str, dict] = {}
    for vendor, values in codes.items():
        if len(values) < 2:
            raise InputError(f"styles of vendor {vendor}", expected="at least 2 subjects", got=f"{len(values)}")
        vectors = np.asarray(values, dtype=np.float64)
        covariance = np.atleast_2d(np.cov(vectors, rowvar=False))
        diagonal = np.diag(np.diag(covariance))
        shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * diagonal + 1e-8 * np.eye(len(diagonal))
        factor = np.linalg.cholesky(shrunk)
        out[str(vendor)] = {
            "mean": vectors.mean(axis=0).round(7).tolist(),
            "factor": factor.round(7).tolist(),
            "count": len(vectors),
        }
    return out


def vendors_of(styles: Styles) -> tuple[Vendor, ...]:
    """Return the vendors that have a style, in the order of their letters."""
    return tuple(vendor for vendor in Vendor if vendor.value in styles)


def length_of(styles: Styles) -> int:
    """Return how many numbers a style vector has."""
    return len(next(iter(styles.values()))["mean"])


def draw_style(styles: Styles, vendor: Vendor, stream: np.random.Generator) -> NDArray[np.float32]:
    """Draw one style vector `(S,)` of `vendor`; standard normal numbers are clipped at 2.5.

    With one vendor alone the whole of its distribution is drawn from. With several it is the inner part, and the first
    of 64 draws that is this vendor's with a probability of 0.99, all vendors being equally likely beforehand, or else
    the one with the largest.

    Raises
    ------
    InputError
        If the bundle has no style of this vendor.
    """
    if vendor.value not in styles:
        known = ", ".join(vendors_of(styles))
        raise InputError(f"vendor {vendor}", expected=f"a style of the bundle ({known})", got="none")
    alone = len(styles) == 1
    mean, factor = _gaussian(styles[vendor.value])
    normal = np.clip(stream.standard_normal((1 if alone else _TRIES, len(mean))), -_WIDEST, _WIDEST)
    vectors = mean + (1.0 if alone else _TYPICAL) * np.einsum("ij,nj->ni", factor, normal)
    chances = probabilities(styles, vectors)[:, vendors_of(styles).index(vendor)]
    certain = np.flatnonzero(chances >= _CERTAIN)
    return vectors[certain[0] if certain.size else chances.argmax()].astype(np.float32)


def probabilities(styles: Styles, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return which vendor's style vectors `(N, S)` are: `(N, vendors)`, in the order of `vendors_of`."""
    scores = []
    for vendor in vendors_of(styles):
        mean, factor = _gaussian(styles[vendor.value])
        normal = solve_triangular(factor, (vectors - mean).T, lower=True)
        scores.append(-0.5 * np.square(normal).sum(axis=0) - np.log(np.diag(factor)).sum())
    likelihood = np.exp(np.array(scores) - np.max(scores, axis=0))
    return (likelihood / likelihood.sum(axis=0)).T


def _gaussian(style: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array(style["mean"]), np.array(style["factor"])
