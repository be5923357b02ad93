import numpy as np
import pytest
from scipy.stats import kendalltau

from synthgen.factors.kendall import kendall


@pytest.mark.parametrize("ties", [False, True])
def test_equals_scipys_tau_b(ties):
    """The sign matrices give tau-b, with and without ties, to rounding."""
    stream = np.random.default_rng(3)
    values = stream.normal(size=(40, 5))
    if ties:
        values = np.round(values)
    expected = [[kendalltau(values[:, i], values[:, j]).statistic for j in range(5)] for i in range(5)]
    np.testing.assert_allclose(kendall(values[None]), expected, atol=1e-12)


def test_is_positive_semidefinite_where_pearson_is_not_full():
    """A Gram matrix has no negative eigenvalue, even with more variables than observations."""
    values = np.random.default_rng(4).normal(size=(1, 12, 32))
    assert np.linalg.eigvalsh(kendall(values)).min() > -1e-9


def test_groups_are_compared_within_themselves():
    """A shift between groups does not correlate variables that are independent inside every group."""
    stream = np.random.default_rng(5)
    values = stream.normal(size=(30, 20, 2)) + 100.0 * np.arange(30)[:, None, None]
    assert abs(kendall(values)[0, 1]) < 0.06
    assert kendall(values.reshape(1, 600, 2))[0, 1] > 0.9


def test_a_constant_variable_correlates_with_nothing():
    """A variable without an untied pair has a row of zeros and a one on the diagonal."""
    values = np.random.default_rng(6).normal(size=(1, 10, 3))
    values[..., 1] = 7.0
    np.testing.assert_array_equal(kendall(values)[1], [0.0, 1.0, 0.0])


def test_one_observation_gives_the_identity():
    """Without a pair there is no evidence of correlation."""
    np.testing.assert_array_equal(kendall(np.ones((2, 1, 4))), np.eye(4))
