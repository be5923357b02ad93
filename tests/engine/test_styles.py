import numpy as np
import pytest

from synthgen.engine.styles import draw_style, fit_styles, probabilities, vendors_of
from synthgen.errors import InputError
from synthgen.labels import Vendor


@pytest.fixture(scope="module")
def codes():
    """Return style vectors of two vendors, correlated between dimensions."""
    stream = np.random.default_rng(0)
    mixing = stream.normal(size=(3, 3))
    return {v: 10.0 * k + stream.normal(size=(300, 3)) @ mixing for k, v in enumerate((Vendor.A, Vendor.D))}


def test_draws_of_a_lone_vendor_have_its_mean_and_spread(codes):
    """Where no other vendor is, many draws are distributed as the vendor's codes."""
    styles = fit_styles({Vendor.D: codes[Vendor.D]})
    stream = np.random.default_rng(1)
    drawn = np.stack([draw_style(styles, Vendor.D, stream) for _ in range(3000)])
    np.testing.assert_allclose(drawn.mean(axis=0), codes[Vendor.D].mean(axis=0), atol=0.15)
    np.testing.assert_allclose(drawn.std(axis=0), codes[Vendor.D].std(axis=0), rtol=0.1)
    assert drawn.dtype == np.float32


def test_a_vendor_far_from_the_others_is_drawn_around_its_mean(codes):
    """Where nothing can be mistaken, draws have the vendor's mean and correlations, in six tenths of its spread."""
    styles = fit_styles(codes)
    stream = np.random.default_rng(1)
    drawn = np.stack([draw_style(styles, Vendor.D, stream) for _ in range(3000)])
    np.testing.assert_allclose(drawn.mean(axis=0), codes[Vendor.D].mean(axis=0), atol=0.15)
    np.testing.assert_allclose(drawn.std(axis=0), 0.6 * codes[Vendor.D].std(axis=0), rtol=0.1)
    np.testing.assert_allclose(np.corrcoef(drawn.T), np.corrcoef(codes[Vendor.D].T), atol=0.15)


@pytest.mark.parametrize("vendor", [Vendor.A, Vendor.D])
def test_a_style_is_not_another_vendors(vendor):
    """Of vendors that overlap, one of them within the other, draws are the wanted vendor's with near certainty."""
    stream = np.random.default_rng(0)
    wide, narrow = stream.normal(size=(400, 4)), 0.5 * stream.normal(size=(400, 4)) + 0.5
    styles = fit_styles({Vendor.A: wide, Vendor.D: narrow})
    drawn = np.stack([draw_style(styles, vendor, stream) for _ in range(300)])
    own = probabilities(styles, drawn)[:, vendors_of(styles).index(vendor)]
    plain = probabilities(styles, {Vendor.A: wide, Vendor.D: narrow}[vendor])[:, vendors_of(styles).index(vendor)]
    assert np.median(own) > 0.9
    assert np.mean(own > 0.5) > 0.99 > np.mean(plain > 0.5)


def test_vendors_that_cannot_be_told_apart_are_drawn_all_the_same():
    """Two names for one distribution end in a draw, not in an error or an endless search."""
    same = np.random.default_rng(0).normal(size=(50, 3))
    styles = fit_styles({Vendor.A: same, Vendor.D: same})
    assert draw_style(styles, Vendor.A, np.random.default_rng(1)).shape == (3,)
    np.testing.assert_allclose(probabilities(styles, same), 0.5)


def test_vendors_come_in_the_order_of_their_letters(codes):
    """Which vendors there are is what was fitted."""
    assert vendors_of(fit_styles(dict(reversed(codes.items())))) == (Vendor.A, Vendor.D)


def test_a_vendor_without_style_is_refused(codes):
    """The message names what there is."""
    with pytest.raises(InputError, match="A, D"):
        draw_style(fit_styles(codes), Vendor.B, np.random.default_rng(0))
    with pytest.raises(InputError, match="at least 2"):
        fit_styles({Vendor.A: np.zeros((1, 3))})
