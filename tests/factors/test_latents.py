from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from synthgen.errors import InputError
from synthgen.factors.latents import (
    LEVELS,
    LatentBank,
    LatentStatistics,
    SubjectLatents,
    encode_subject,
    from_levels,
    heart_range,
    to_levels,
)
from synthgen.labels import Pathology, Phase

DIMENSIONS = 6


def subject(number, pathology=Pathology.NOR, count=None, shift=0.0):
    """A stack that varies smoothly from slice to slice, subject by subject."""
    stream = np.random.default_rng(number)
    count = count or int(stream.integers(6, 13))
    z = np.linspace(0, 1, count)[None, :, None]
    offset, slope = stream.normal(size=(2, 1, 1, DIMENSIONS))
    slices = (shift + offset + slope * z + 0.1 * stream.normal(size=(2, count, DIMENSIONS))).astype(np.float32)
    return SubjectLatents(
        subject_id=f"{pathology}{number}",
        pathology=pathology,
        slices=(slices[0], slices[1, 1:]),
        span_mm=9.0 * np.array([count - 1, count - 2, 1.0]),
    )


def cohort(count=30):
    """Return so many subjects of every class, classes apart."""
    return [subject(100 * k + i, p, shift=k) for k, p in enumerate(Pathology) for i in range(count)]


def test_cubic_interpolation_keeps_every_slice():
    """At the places of the slices themselves the interpolated latents are the slices."""
    slices = np.random.default_rng(0).normal(size=(32, 3))
    np.testing.assert_allclose(to_levels(slices), slices, atol=1e-12)


def test_cubic_interpolation_is_exact_for_a_cubic():
    """A cubic polynomial through the stack is reproduced between the slices."""
    z = np.arange(9.0)
    curve = (z**3 - 4 * z**2)[:, None]
    expected = np.linspace(0, 8, LEVELS)
    np.testing.assert_allclose(to_levels(curve)[:, 0], expected**3 - 4 * expected**2, atol=1e-9)


@pytest.mark.parametrize("count", [18, 22, 26, 30, 35])
def test_slice_counts_that_break_a_float_range_give_32_levels(count):
    """Every slice count gives exactly 32 levels, first and last slice included."""
    slices = np.random.default_rng(count).normal(size=(count, 2))
    levels = to_levels(slices)
    assert levels.shape == (LEVELS, 2)
    np.testing.assert_allclose(levels[[0, -1]], slices[[0, -1]], atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_below_four_slices_interpolation_is_linear(count):
    """Few slices are joined by straight lines: nothing overshoots them."""
    slices = np.random.default_rng(count).normal(size=(count, 2))
    levels = to_levels(slices)
    assert (levels <= slices.max(axis=0) + 1e-12).all()
    assert (levels >= slices.min(axis=0) - 1e-12).all()


def test_levels_come_back_as_slices():
    """Resampling smooth levels to a slice count and interpolating again returns nearly the same curve."""
    levels = np.sin(np.linspace(0, 2, LEVELS))[:, None]
    np.testing.assert_allclose(to_levels(from_levels(levels, 12)), levels, atol=2e-3)


def test_the_heart_spans_both_phases():
    """A slice with heart in one phase only belongs to the stack of both."""
    ed, es = np.zeros((2, 8, 4, 4), dtype=np.uint8)
    ed[2:6], es[3:7] = 1, 2
    ed[0] = 8
    assert heart_range([ed, es]) == slice(2, 7)
    with pytest.raises(InputError, match="at least one slice with heart"):
        heart_range([np.full((3, 4, 4), 5, dtype=np.uint8)])


def test_tissue_around_the_heart_does_not_reach_the_encoder():
    """The encoder sees codes 0 to 3 of the slices that carry heart in their own phase, ED before ES."""
    seen = []

    def encode(labels):
        seen.append(labels)
        return labels.reshape(len(labels), -1)[:, :DIMENSIONS].astype(np.float32)

    labels = {
        phase: np.random.default_rng(k).integers(0, 9, (5, 4, 4)).astype(np.uint8) for k, phase in enumerate(Phase)
    }
    labels[Phase.ES][:2] = 7
    latents = encode_subject("a", Pathology.HCM, labels, 8.0, encode)
    assert [part.shape for part in latents.slices] == [(5, DIMENSIONS), (3, DIMENSIONS)]
    assert seen[0].max() <= 3
    np.testing.assert_array_equal(seen[0][5:], np.where(labels[Phase.ES] > 3, 0, labels[Phase.ES])[2:])
    np.testing.assert_array_equal(latents.span_mm, [32.0, 16.0, 16.0])


def test_statistics_are_those_of_the_subjects():
    """Mean, sd, minimum and maximum over subjects at every level; tau of two rows and of two dimensions as pooled."""
    members = [subject(i) for i in range(12)]
    statistics = LatentStatistics.of(members)
    levels = np.stack([member.levels for member in members])
    np.testing.assert_allclose(statistics.mean, levels.mean(axis=0))
    np.testing.assert_allclose(statistics.sd, levels.std(axis=0))
    np.testing.assert_allclose(statistics.minimum, levels.min(axis=0))
    np.testing.assert_allclose(statistics.maximum, levels.max(axis=0))
    each = [kendalltau(levels[:, 0, 3, d], levels[:, 1, 9, d]).statistic for d in range(DIMENSIONS)]
    assert statistics.row_tau[3, LEVELS + 9] == pytest.approx(np.mean(each), abs=1e-9)  # no ties: the mean of all
    raw = np.concatenate([member.slices[1] for member in members])
    assert statistics.raw_dimension_tau[1, 0, 1] == pytest.approx(kendalltau(raw[:, 0], raw[:, 1]).statistic, abs=1e-9)


def test_the_span_follows_the_residual_it_depends_on():
    """Where the span is a function of the latents, the regression finds it and leaves little unexplained."""
    members = []
    for i in range(60):
        member = subject(i, count=10)
        size = float(np.concatenate(member.slices).mean())
        members.append(replace(member, span_mm=80 + size * np.array([5.0, 4.0, 1.0])))
    statistics = LatentStatistics.of(members)
    unexplained = np.sqrt(np.diag(statistics.span_factor @ statistics.span_factor.T))
    assert (unexplained < 0.25 * statistics.span[1]).all()


def test_a_span_that_depends_on_nothing_keeps_its_covariance():
    """Where the latents say nothing about the span, what is unexplained is the span's own covariance."""
    stream = np.random.default_rng(0)
    mixing = np.array([[9.0, 0, 0], [7.0, 3.0, 0], [2.0, -2.0, 1.0]])
    members = [replace(subject(i), span_mm=80 + mixing @ stream.normal(size=3)) for i in range(150)]
    statistics = LatentStatistics.of(members)
    covariance = statistics.span_factor @ statistics.span_factor.T
    np.testing.assert_allclose(covariance, np.cov([m.span_mm for m in members], rowvar=False), rtol=0.15, atol=1.5)


def test_a_bank_survives_its_tensors():
    """What is read back is what was written, to float32."""
    bank = LatentBank.of(cohort(5))
    again = LatentBank.from_tensors(bank.to_tensors())
    assert list(again.statistics) == list(Pathology)
    assert [r.subject_id for r in again.recipients] == [r.subject_id for r in bank.recipients]
    for pathology, statistics in bank.statistics.items():
        assert again.statistics[pathology].count == 5
        np.testing.assert_allclose(again.statistics[pathology].row_tau, statistics.row_tau, atol=1e-6)
        np.testing.assert_allclose(again.statistics[pathology].span, statistics.span, rtol=1e-6)


def test_a_bank_without_a_tensor_is_refused_by_name():
    """The message names the tensor that is missing."""
    tensors = LatentBank.of(cohort(3)).to_tensors()
    del tensors["DCM.row_tau"]
    with pytest.raises(InputError, match=r"DCM\.row_tau"):
        LatentBank.from_tensors(tensors)


def test_a_cohort_without_normal_subjects_is_refused():
    """Pathology is added to a normal subject: there must be one."""
    with pytest.raises(InputError, match="NOR"):
        LatentBank.of([subject(i, Pathology.DCM) for i in range(4)])
    with pytest.raises(InputError, match="at least 2"):
        LatentStatistics.of([subject(0)])


def test_tensors_of_a_bank_are_narrow():
    """Nothing in a bundle is stored wider than it needs."""
    kinds = {t.dtype for name, t in LatentBank.of(cohort(3)).to_tensors().items() if name != "recipients.span_mm"}
    assert kinds == {torch.float16, torch.float32, torch.uint8, torch.int64}
