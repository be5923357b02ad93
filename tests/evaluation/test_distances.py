"""Distances of two samples: closed forms, and real against real beside them."""

import math

import numpy as np
import pytest
from scipy import stats

from synthgen.errors import InputError
from synthgen.evaluation.distances import compare, compare_all, kolmogorov_smirnov, separation, wasserstein
from synthgen.seeding import numpy_stream


def sample(seed, count=60, mean=0.0, sd=1.0):
    """A normal sample."""
    return numpy_stream(seed).normal(mean, sd, count)


def test_a_shift_is_its_own_wasserstein_distance():
    """Moving a sample by d moves it by d; a sample is at distance 0 from itself, whatever its order."""
    values = sample(1)
    assert wasserstein(values, values + 3.5) == pytest.approx(3.5)
    assert wasserstein(values, values[::-1]) == 0
    assert kolmogorov_smirnov(values, values[::-1]) == 0


def test_samples_that_do_not_overlap_are_fully_apart():
    """Disjoint samples have Kolmogorov-Smirnov 1 and separation 1 or 0 by direction; equal ones 0.5."""
    low, high = sample(1), sample(2, mean=100)
    assert kolmogorov_smirnov(low, high) == 1
    assert (separation(low, high), separation(high, low), separation(low, low)) == (1.0, 0.0, 0.5)


@pytest.mark.parametrize("sizes", [(40, 40), (31, 77)])
def test_the_statistics_agree_with_scipy(sizes):
    """Kolmogorov-Smirnov and separation equal SciPy's two-sample test and Mann-Whitney U."""
    one, two = sample(1, sizes[0]).round(1), sample(2, sizes[1], 0.4).round(1)
    assert kolmogorov_smirnov(one, two) == pytest.approx(stats.ks_2samp(one, two).statistic)
    u = stats.mannwhitneyu(two, one).statistic
    assert separation(one, two) == pytest.approx(u / (one.size * two.size))


def test_a_sample_of_the_same_population_is_as_far_as_real_from_real():
    """The relative distance of a true sample is near 1 and below the 95th percentile; of a shifted one far above."""
    real = sample(1, 200)
    same, shifted = compare(real, sample(2, 200), splits=60), compare(real, sample(3, 200, mean=1.0), splits=60)
    assert 0.7 < same.relative_wasserstein < 1.5
    assert same.wasserstein < same.real_wasserstein_95
    assert same.ks < same.real_ks_95
    assert shifted.relative_wasserstein > 4
    assert shifted.wasserstein == pytest.approx(1.0, abs=0.2)
    assert shifted.auc > 0.7


def test_the_comparison_is_at_equal_sizes():
    """Both distances are of parts of half the real sample, or of the synthetic one where that is smaller."""
    assert compare(sample(1, 60), sample(2, 500), splits=3).part == 30
    assert compare(sample(1, 60), sample(2, 12), splits=3).part == 12


def test_the_same_seed_gives_the_same_numbers():
    """The splits depend on the seed alone."""
    real, made = sample(1), sample(2)
    assert compare(real, made, seed=4, splits=20) == compare(real, made, seed=4, splits=20)
    assert compare(real, made, seed=4, splits=20) != compare(real, made, seed=5, splits=20)


def test_values_that_were_not_measured_are_left_out():
    """NaN is dropped from both samples and the counts say so."""
    real = np.append(sample(1), [math.nan, math.inf])
    got = compare(real, sample(2), splits=5)
    assert (got.real_count, got.synthetic_count) == (60, 60)
    assert math.isfinite(got.wasserstein)


def test_a_constant_index_has_distance_zero_and_ratio_one():
    """An index that is the same for everybody does not divide by zero; a differing constant is infinitely far."""
    assert compare([5.0] * 10, [5.0] * 10, splits=5).relative_wasserstein == 1
    assert compare([5.0] * 10, [6.0] * 10, splits=5).relative_wasserstein == math.inf


def test_cohorts_are_compared_index_by_index():
    """Indices that both cohorts have and could measure are compared; the others are left out."""
    real = [{"ef": v, "mass": math.nan, "mine": 1.0} for v in sample(1)]
    made = [{"ef": v, "mass": 1.0} for v in sample(2)]
    got = compare_all(real, made, splits=20)
    assert list(got) == ["ef"]
    assert got["ef"].as_dict()["relative_wasserstein"] == got["ef"].relative_wasserstein


def test_too_small_samples_are_refused():
    """Three values say nothing: an InputError names the sample."""
    with pytest.raises(InputError, match="at least 4"):
        compare([1.0, 2.0, 3.0, math.nan], sample(1))
    with pytest.raises(InputError, match="synthetic cohort"):
        compare_all([{"a": 1.0}] * 5, [{"a": 1.0}])
