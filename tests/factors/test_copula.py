import numpy as np
import pytest
from scipy.stats import kendalltau, truncnorm

from synthgen.factors.copula import CopulaSampler, factor, to_pearson
from synthgen.factors.kendall import kendall
from synthgen.factors.latents import LEVELS, LatentBank, LatentStatistics, SubjectLatents
from synthgen.labels import Pathology
from synthgen.seeding import Stage, numpy_stream

DIMENSIONS = 4
DRAWS = 400


def subject(number, pathology):
    """Return a smooth stack whose phases hang together."""
    stream = np.random.default_rng(number)
    z = np.linspace(0, 1, 10)[None, :, None]
    common = stream.normal(size=(1, 1, 1))
    offset, slope = stream.normal(size=(2, 1, 1, DIMENSIONS))
    slices = 3.0 + offset + common + slope * z + 0.3 * stream.normal(size=(2, 10, DIMENSIONS))
    ed, es = slices.astype(np.float32)
    span = 80 + np.array([9.0, 8.0, 2.0]) * stream.normal()
    return SubjectLatents(subject_id=str(number), pathology=pathology, slices=(ed, es), span_mm=span)


@pytest.fixture(scope="module")
def bank():
    """Return a bank of two classes."""
    return LatentBank.of(
        [subject(1000 * k + i, p) for k, p in enumerate((Pathology.NOR, Pathology.ARV)) for i in range(40)]
    )


def draws(bank, correlation, count=DRAWS):
    """Return draws of one way of correlating."""
    sampler = CopulaSampler(bank.statistics[Pathology.ARV], correlation)
    return [sampler.draw(bank.recipients[0], numpy_stream(0, i, 0, Stage.LATENT)) for i in range(count)]


@pytest.mark.parametrize("correlation", ["class", "separable", "recipient", "none"])
def test_nothing_leaves_the_range_of_the_class(bank, correlation):
    """Every value lies within the class's minimum and maximum at its level and dimension, to the last bit."""
    statistics = bank.statistics[Pathology.ARV]
    levels = np.stack([draw.levels for draw in draws(bank, correlation, 50)])
    assert (levels >= statistics.minimum).all()
    assert (levels <= statistics.maximum).all()


@pytest.mark.parametrize("correlation", ["class", "separable", "recipient", "none"])
def test_marginals_are_the_truncated_normal_distribution(bank, correlation):
    """Correlating does not move a marginal: mean and sd over many draws are those of the truncated normal."""
    statistics = bank.statistics[Pathology.ARV]
    levels = np.stack([draw.levels for draw in draws(bank, correlation)])
    low, high = ((v - statistics.mean) / statistics.sd for v in (statistics.minimum, statistics.maximum))
    mean, variance = truncnorm.stats(low, high, loc=statistics.mean, scale=statistics.sd)
    standard_error = np.sqrt(variance / DRAWS)
    assert np.abs((levels.mean(axis=0) - mean) / standard_error).max() < 5
    np.testing.assert_allclose(levels.std(axis=0), np.sqrt(variance), rtol=0.25)


def test_every_value_correlates_with_every_other_as_in_the_class(bank):
    """Drawn values correlate as the class's own residuals, value by value, rows and dimensions at once."""
    statistics = bank.statistics[Pathology.ARV]
    levels = np.stack([draw.levels for draw in draws(bank, "class")]).reshape(DRAWS, -1)
    some = np.random.default_rng(0).choice(levels.shape[1], 40, replace=False)
    requested = statistics.joint[some] @ statistics.joint[some].T
    np.testing.assert_allclose(np.diag(requested), 1.0)
    assert np.abs(np.corrcoef(levels[:, some], rowvar=False) - requested).max() < 0.25
    assert np.abs(np.corrcoef(levels[:, some], rowvar=False) - requested).mean() < 0.05


def test_rows_and_dimensions_correlate_as_requested(bank):
    """Kendall's tau of drawn values agrees with the tau of the class, between levels, phases and dimensions."""
    statistics = bank.statistics[Pathology.ARV]
    levels = np.stack([draw.levels for draw in draws(bank, "separable")]).reshape(DRAWS, 2 * LEVELS, DIMENSIONS)
    assert np.abs(kendall(levels.transpose(2, 0, 1)) - statistics.row_tau).max() < 0.08
    assert np.abs(kendall(levels.transpose(1, 0, 2)) - statistics.dimension_tau).max() < 0.08


def test_the_ablation_is_uncorrelated(bank):
    """Without correlation neighbouring levels of a draw know nothing of each other."""
    levels = np.stack([draw.levels for draw in draws(bank, "none")])
    assert abs(kendalltau(levels[:, 0, 10, 0], levels[:, 0, 11, 0]).statistic) < 0.1


def test_the_published_order_moves_the_mean_and_leaves_the_range(bank):
    """The mode `paper` is the published procedure, faults included, and says how much of a draw is out of range."""
    statistics = bank.statistics[Pathology.ARV]
    published, centred = draws(bank, "paper", 60), draws(bank, "class", 60)

    def drift(drawn):
        return np.linalg.norm(np.mean([d.levels for d in drawn], axis=0) - statistics.mean) / np.linalg.norm(
            statistics.mean
        )

    assert drift(published) > 5 * drift(centred)
    assert np.mean([draw.outside for draw in published]) > 0.2
    assert {draw.outside for draw in centred} == {0.0}


def test_zero_is_a_seed_and_streams_are_keyed(bank):
    """Equal keys give equal bits; another seed, subject or attempt gives another draw; seed 0 is not `no seed`."""
    sampler = CopulaSampler(bank.statistics[Pathology.ARV])

    def levels(*key):
        return sampler.draw(bank.recipients[0], numpy_stream(*key, Stage.LATENT)).levels

    first = levels(0, 0, 0)
    np.testing.assert_array_equal(first, levels(0, 0, 0))
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert not np.array_equal(first, levels(*other))


def test_spans_are_those_of_the_class(bank):
    """A drawn heart is no shorter and no longer than the class's, and its ED and ES lengths hang together as theirs."""
    spans = np.array([draw.span_mm for draw in draws(bank, "class", 200)])
    mean, sd, low, high = bank.statistics[Pathology.ARV].span
    assert (spans >= low).all()
    assert (spans <= high).all()
    np.testing.assert_allclose(spans.mean(axis=0), mean, atol=0.35 * sd.max())
    np.testing.assert_allclose(spans.std(axis=0), sd, rtol=0.3)
    assert np.corrcoef(spans[:, 0], spans[:, 1])[0, 1] > 0.95


def test_a_matrix_that_is_not_positive_definite_gets_a_factor():
    """The floor lifts what is missing, the diagonal stays one and what was added is told."""
    broken = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    found = factor(broken)
    np.testing.assert_allclose(np.diag(found.lower @ found.lower.T), 1.0)
    assert found.added > 0.5


def test_a_healthy_matrix_is_left_alone():
    """A positive definite correlation matrix is its factor's product exactly, with nothing added."""
    healthy = np.array([[1.0, 0.5], [0.5, 1.0]])
    found = factor(healthy)
    np.testing.assert_allclose(found.lower @ found.lower.T, healthy, atol=1e-15)
    assert found.added == 0.0


def test_kendall_to_pearson_is_greiners_relation():
    """Tau 0, 1/3 and 1 of a Gaussian pair are correlations 0, 1/2 and 1."""
    np.testing.assert_allclose(to_pearson(np.array([0.0, 1 / 3, 1.0])), [0.0, 0.5, 1.0], atol=1e-12)


def test_a_constant_value_stays_constant():
    """Where a class does not vary, a draw does not either."""
    one = [subject(0, Pathology.NOR)] * 3
    drawn = CopulaSampler(LatentStatistics.of(one)).draw(LatentBank.of(one).recipients[0], numpy_stream(0))
    np.testing.assert_allclose(drawn.levels, one[0].levels)
