"""Distances between two samples of one index, always beside the distance of real from real.

A distance of two finite samples is above zero even if both come from one population, so a bare number says nothing. The
reference here splits the real sample into random halves and measures them against each other at the same size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from synthgen.errors import InputError
from synthgen.seeding import Stage, numpy_stream

SMALLEST_SAMPLE = 4


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One index of two samples.

    Attributes
    ----------
    wasserstein, ks
        Wasserstein-1 distance (in units of the index) and Kolmogorov-Smirnov statistic; means over random pairs of
        half the real sample and equally many synthetic values.
    real_wasserstein, real_ks
        The same of two disjoint random parts of the real sample, of the same sizes.
    real_wasserstein_95, real_ks_95
        95th percentile of these: larger values are unusual for real against real.
    auc
        Chance that a synthetic value exceeds a real one (ties half), from the whole samples; 0.5 is no separation.
    real_count, synthetic_count, part
        Sample sizes, and the size of each part that was compared.
    """

    wasserstein: float
    ks: float
    real_wasserstein: float
    real_ks: float
    real_wasserstein_95: float
    real_ks_95: float
    auc: float
    real_count: int
    synthetic_count: int
    part: int

    @property
    def relative_wasserstein(self) -> float:
        """Distance over the distance of real from real: about 1 for a perfect sample."""
        if self.real_wasserstein > 0:
            return self.wasserstein / self.real_wasserstein
        return 1.0 if self.wasserstein == 0 else float("inf")

    def as_dict(self) -> dict[str, float]:
        """Return all values by name."""
        return {**asdict(self), "relative_wasserstein": self.relative_wasserstein}


def wasserstein(one: Sequence[float] | NDArray, two: Sequence[float] | NDArray) -> float:
    """Return the Wasserstein-1 distance of two samples, in their units; non-finite values are left out."""
    return float(stats.wasserstein_distance(_finite(one), _finite(two)))


def kolmogorov_smirnov(one: Sequence[float] | NDArray, two: Sequence[float] | NDArray) -> float:
    """Return the largest difference of the two empirical distribution functions; non-finite values are left out."""
    return _ks(_finite(one), _finite(two))


def separation(one: Sequence[float] | NDArray, two: Sequence[float] | NDArray) -> float:
    """Return the chance that a value of `two` exceeds one of `one`, ties counted half (area under the ROC curve)."""
    first, second = _finite(one), _finite(two)
    rank = stats.rankdata(np.concatenate([first, second]))[first.size :].sum()
    return float((rank - second.size * (second.size + 1) / 2) / (first.size * second.size))


def compare(
    real: Sequence[float] | NDArray, synthetic: Sequence[float] | NDArray, *, seed: int = 0, splits: int = 200
) -> Comparison:
    """Compare one index of a synthetic cohort with a real one, beside real against real.

    Parameters
    ----------
    real, synthetic
        Values by subject; non-finite ones are left out.
    seed, splits
        Of the random halves: the same seed gives the same splits for every index of equal sample sizes.

    Raises
    ------
    InputError
        If a sample has fewer than four finite values.
    """
    truth, made = _finite(real), _finite(synthetic)
    part = min(truth.size // 2, made.size)
    stream = numpy_stream(seed, stage=Stage.EVALUATION)
    rows = []
    for _ in range(splits):
        shuffled = truth[stream.permutation(truth.size)]
        half, other = shuffled[:part], shuffled[part : 2 * part]
        drawn = made[stream.permutation(made.size)[:part]]
        pairs = ((half, drawn), (half, other))
        rows.append([f(*pair) for pair in pairs for f in (_wasserstein_of_equal, _ks)])
    table = np.array(rows)
    mean, upper = table.mean(axis=0), np.percentile(table, 95, axis=0)
    return Comparison(
        wasserstein=float(mean[0]),
        ks=float(mean[1]),
        real_wasserstein=float(mean[2]),
        real_ks=float(mean[3]),
        real_wasserstein_95=float(upper[2]),
        real_ks_95=float(upper[3]),
        auc=separation(truth, made),
        real_count=truth.size,
        synthetic_count=made.size,
        part=part,
    )


def compare_all(
    real: Sequence[Mapping[str, float]], synthetic: Sequence[Mapping[str, float]], *, seed: int = 0, splits: int = 200
) -> dict[str, Comparison]:
    """Compare every index that all subjects of both cohorts have and that enough of them could measure.

    Parameters
    ----------
    real, synthetic
        Indices by name, one mapping per subject (`Indices.as_dict`, `Consistency.as_dict`).

    Raises
    ------
    InputError
        If a cohort has fewer than four subjects.
    """
    for name, cohort in (("the real cohort", real), ("the synthetic cohort", synthetic)):
        if len(cohort) < SMALLEST_SAMPLE:
            raise InputError(name, expected=f"at least {SMALLEST_SAMPLE} subjects", got=f"{len(cohort)}")
    out = {}
    for name in real[0]:
        if not all(name in subject for subject in (*real, *synthetic)):
            continue
        columns = [np.array([subject[name] for subject in cohort]) for cohort in (real, synthetic)]
        if all(np.isfinite(column).sum() >= SMALLEST_SAMPLE for column in columns):
            out[name] = compare(columns[0], columns[1], seed=seed, splits=splits)
    return out


def _wasserstein_of_equal(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Return the distance of two samples of one size: the mean distance of their order statistics."""
    return float(np.abs(np.sort(one) - np.sort(two)).mean())


def _ks(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    first, second = np.sort(one), np.sort(two)
    every = np.concatenate([first, second])
    steps = [np.searchsorted(sample, every, side="right") / sample.size for sample in (first, second)]
    return float(np.abs(steps[0] - steps[1]).max())


def _finite(values: Sequence[float] | NDArray) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    kept = array[np.isfinite(array)]
    if kept.size < SMALLEST_SAMPLE:
        raise InputError("sample", expected=f"at least {SMALLEST_SAMPLE} finite values", got=f"{kept.size}")
    return kept
