import numpy as np
import pytest

from synthgen.engine.styles import draw_style, fit_styles, vendors_of
from synthgen.errors import InputError
from synthgen.labels import Vendor


@pytest.fixture(scope="module")
def codes():
    """Return style vectors of two vendors, correlated between dimensions."""
    stream = np.random.default_rng(0)
    mixing = stream.normal(size=(3, 3))
    return {v: 10.0 * k + stream.normal(size=(300, 3)) @ mixing for k, v in enumerate((Vendor.A, Vendor.D))}


def test_draws_have_the_vendors_mean_and_spread(codes):
    """Many draws of a vendor are distributed as that vendor's codes, and far from another's."""
    styles = fit_styles(codes)
    stream = np.random.default_rng(1)
    drawn = np.stack([draw_style(styles, Vendor.D, stream) for _ in range(3000)])
    np.testing.assert_allclose(drawn.mean(axis=0), codes[Vendor.D].mean(axis=0), atol=0.15)
    np.testing.assert_allclose(drawn.std(axis=0), codes[Vendor.D].std(axis=0), rtol=0.1)
    assert drawn.dtype == np.float32


def test_vendors_come_in_the_order_of_their_letters(codes):
    """Which vendors there are is what was fitted."""
    assert vendors_of(fit_styles(dict(reversed(codes.items())))) == (Vendor.A, Vendor.D)


def test_a_vendor_without_style_is_refused(codes):
    """The message names what there is."""
    with pytest.raises(InputError, match="A, D"):
        draw_style(fit_styles(codes), Vendor.B, np.random.default_rng(0))
    with pytest.raises(InputError, match="at least 2"):
        fit_styles({Vendor.A: np.zeros((1, 3))})
