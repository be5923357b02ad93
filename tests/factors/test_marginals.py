import numpy as np
from scipy.special import ndtr

from synthgen.factors.marginals import normal_scores, truncated_normal


def test_scores_turn_back_into_the_values():
    """Score and quantile are inverse to each other; only the extremes, infinitely far out, come half a subject in."""
    stream = np.random.default_rng(0)
    values = stream.normal(3.0, 2.0, size=(20, 5))
    marginal = (values.mean(axis=0), values.std(axis=0), values.min(axis=0), values.max(axis=0))
    back = truncated_normal(ndtr(normal_scores(values, *marginal)), *marginal)
    inner = np.abs(values - marginal[0]) < 1.2 * marginal[1]
    assert inner.mean() > 0.6
    np.testing.assert_allclose(back[inner], values[inner], atol=1e-6)
    assert (np.abs(back - values) <= np.abs(values - marginal[0]) / 2).all()  # nor across the mean


def test_scores_are_smooth_where_values_are():
    """Two subjects that overtake each other do not jump; by ranks they would."""
    base = np.array([-2.0, -0.1, 0.0, 2.0])
    step = np.array([0.0, 0.11, 0.0, 0.0])
    before, after = (
        normal_scores(v[:, None], *(np.array([q]) for q in (0.0, 1.5, -2.0, 2.0))) for v in (base, base + step)
    )
    assert np.abs(after - before).max() < 0.15


def test_what_does_not_vary_stays():
    """Where sd is zero, every quantile is the mean and every score 0."""
    two, none = np.array([2.0]), np.array([0.0])
    assert truncated_normal(np.array([0.5]), two, none, two, two) == 2.0
    assert normal_scores(np.array([[2.0], [2.0]]), two, none, two, two).tolist() == [[0.0], [0.0]]
