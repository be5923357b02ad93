"""Vendor styles: one Gaussian over style vectors per vendor, fitted on encoded images, drawn once per subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.labels import Vendor

_SHRINKAGE = 0.1
_WIDEST = 2.5  # standard deviations; beyond it a style is not one that was seen

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

    Raises
    ------
    InputError
        If the bundle has no style of this vendor.
    """
    if vendor.value not in styles:
        known = ", ".join(vendors_of(styles))
        raise InputError(f"vendor {vendor}", expected=f"a style of the bundle ({known})", got="none")
    style = styles[vendor.value]
    mean, factor = np.array(style["mean"]), np.array(style["factor"])
    normal = np.clip(stream.standard_normal(len(mean)), -_WIDEST, _WIDEST)
    return (mean + np.einsum("ij,j->i", factor, normal)).astype(np.float32)
