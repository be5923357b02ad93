"""Physical limits of the bSSFP signal model and of the tissue table."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen.hearts.signal import (
    BANDS,
    CODES,
    TISSUES,
    Band,
    Fine,
    Sequence,
    band_profiles,
    bssfp,
    bssfp_on_resonance,
    draw_tissues,
    on_resonance_signals,
)
from synthgen.labels import Tissue

SEQUENCE = Sequence(tr_ms=3.0, te_ms=1.5, flip_deg=60.0)


def test_no_flip_no_signal() -> None:
    """A pulse of 0 degrees leaves nothing in the transverse plane."""
    assert abs(bssfp(1000.0, 50.0, Sequence(tr_ms=3.0, te_ms=1.5, flip_deg=0.0))) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("t1", "t2"), [(1550.0, 245.0), (1000.0, 54.0), (580.0, 46.0)])
def test_short_tr_limit(t1: float, t2: float) -> None:
    """On resonance the full solution agrees with the short-TR formula of MRXCAT within 1 %, at TR far below T2."""
    sequence = Sequence(tr_ms=0.5, te_ms=0.25, flip_deg=60.0)
    assert abs(bssfp(t1, t2, sequence)) == pytest.approx(bssfp_on_resonance(t1, t2, sequence), rel=0.01)


def test_iteration_reaches_the_formula() -> None:
    """Iterating pulse, relaxation and precession until nothing changes gives the closed form, on and off resonance."""
    t1, t2, hertz = 1000.0, 54.0, 35.0
    flip, tr = np.deg2rad(SEQUENCE.flip_deg), SEQUENCE.tr_ms
    e1, e2 = np.exp(-tr / t1), np.exp(-tr / t2)
    # Rotating with the alternating RF phase turns alternation into an extra half turn of precession.
    angle = 2 * np.pi * hertz * tr * 1e-3 + np.pi
    pulse = np.array([[1, 0, 0], [0, np.cos(flip), np.sin(flip)], [0, -np.sin(flip), np.cos(flip)]])
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    m = np.array([0.0, 0.0, 1.0])
    for _ in range(4000):
        m = pulse @ (np.diag([e2, e2, e1]) @ turn @ m + np.array([0, 0, 1 - e1]))
    magnitude = np.hypot(m[0], m[1]) * np.exp(-SEQUENCE.te_ms / t2)
    assert abs(bssfp(t1, t2, SEQUENCE, hertz)) == pytest.approx(magnitude, rel=1e-6)


def test_null_between_pass_bands() -> None:
    """At half the inverse TR the signal of long-T2 tissue nearly vanishes; one full inverse TR away it is back."""
    hertz = 1000.0 / SEQUENCE.tr_ms
    centre, null, next_band = (abs(bssfp(1550.0, 245.0, SEQUENCE, f)) for f in (0.0, hertz / 2, hertz))
    assert null < 0.05 * centre
    assert next_band == pytest.approx(centre, rel=1e-6)


def test_fat_is_in_opposite_phase() -> None:
    """At TR 3 ms and 1.5 T, TE = TR / 2, fat points away from water: their sum cancels (the dark line between them)."""
    profiles = band_profiles(np.zeros(1, np.float32), SEQUENCE)
    water, fat = profiles[Band.WATER, 0], profiles[Band.FAT, 0]
    assert np.angle(water) == pytest.approx(0.0, abs=1e-5)
    assert abs(np.angle(fat)) > np.deg2rad(150)
    assert abs(fat) > 0.3


def test_blood_is_brighter_than_muscle() -> None:
    """Relative to LV blood: myocardium 0.2 to 0.5, RV blood 0.65 to 1, lung and bone below 0.2, at each field."""
    for field, flip in ((1.5, 60.0), (3.0, 42.0)):
        s = np.abs(on_resonance_signals(Sequence(tr_ms=3.2, te_ms=1.5, flip_deg=flip, field_tesla=field)))
        assert s[Fine.LV_BLOOD] == pytest.approx(1.0)
        assert 0.2 < s[Fine.MYOCARDIUM] < 0.5
        assert 0.65 < s[Fine.RV_BLOOD] < 1.0
        assert s[Fine.LUNG] < 0.2
        assert s[Fine.BONE] < 0.2
        assert s[Fine.AIR] == 0.0


def test_every_tissue_has_a_row_and_a_code() -> None:
    """The table covers every fine tissue but air, with positive times and T2 <= T1, and folds onto all nine classes."""
    assert set(TISSUES) == set(Fine) - {Fine.AIR}
    for tissue, row in TISSUES.items():
        assert all(0 < t2 <= t1 for t1, t2 in zip(row.t1_ms, row.t2_ms, strict=True)), tissue
        assert row.source
    assert set(CODES.tolist()) == {int(t) for t in Tissue}
    assert CODES[Fine.PAPILLARY] == Tissue.LV
    assert CODES[Fine.SCAR] == Tissue.MYO
    assert CODES[Fine.RV_WALL] == Tissue.MUSCLE
    assert BANDS[Fine.FAT] == Band.FAT


def test_patients_differ() -> None:
    """Over 100 draws, lung, liver and abdomen vary by more than 12 % of LV blood's signal, myocardium by 8 to 25 %."""
    rng = np.random.default_rng(3)
    draws = np.abs([on_resonance_signals(SEQUENCE, draw_tissues(rng)) for _ in range(100)])
    variation = {tissue: draws[:, tissue].std() / draws[:, tissue].mean() for tissue in TISSUES}
    assert all(variation[t] > 0.12 for t in (Fine.LUNG, Fine.LIVER, Fine.SPLEEN, Fine.BOWEL))
    assert 0.08 < variation[Fine.MYOCARDIUM] < 0.25


def test_muscle_of_one_patient_is_one_tissue() -> None:
    """Papillary muscles have the signal of the myocardium within 15 % in every patient."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        signals = np.abs(on_resonance_signals(SEQUENCE, draw_tissues(rng)))
        assert signals[Fine.PAPILLARY] == pytest.approx(signals[Fine.MYOCARDIUM], rel=0.15)
