from dataclasses import replace

import numpy as np

from synthgen.engine.anatomy import FEWEST_SLICES, draw_heart, slices_of, with_myocardium
from synthgen.engine.plan import SubjectSpec
from synthgen.factors.copula import CopulaSampler
from synthgen.factors.latents import LatentBank, SubjectLatents
from synthgen.labels import Pathology, Vendor

SPEC = SubjectSpec(
    subject_id="ARV-A-0001", seed=0, key=0, pathology=Pathology.ARV, vendor=Vendor.A, recipient="NOR0",
    severity=1.0, correlation="class", max_attempts=1,
)  # fmt: skip


def subject(number, pathology):
    """Return a stack of constant latents; ARV lies five away from NOR."""
    stream = np.random.default_rng(number)
    slices = (pathology is Pathology.ARV) * 5.0 + stream.normal(size=(2, 1, 3)).repeat(9, axis=1)
    ed, es = slices.astype(np.float32)
    return SubjectLatents(
        subject_id=f"{pathology}{number}",
        pathology=pathology,
        slices=(ed, es[1:]),
        span_mm=np.array([80.0, 70.0, 10.0]),
    )


BANK = LatentBank.of([subject(i, p) for p in (Pathology.NOR, Pathology.ARV) for i in range(9)])
SOURCE = (CopulaSampler(BANK.statistics[Pathology.ARV]), BANK.recipients[0])


class Recorder:
    """A decoder that remembers what it is given and paints one pixel of each structure."""

    def __call__(self, latents):
        self.latents = latents
        logits = np.zeros((len(latents), 4, 8, 8), np.float32)
        logits[:, 0] = 5.0
        for column, structure in enumerate((1, 2, 3)):
            logits[:, structure, 2, 2 + column] = 9.0
        return logits


def drawn(spec=SPEC, attempt=0, spacing=10.0):
    """Return the heart of an attempt and the latents that were decoded for it."""
    decode = Recorder()
    return draw_heart(spec, attempt, SOURCE, spacing, decode), decode.latents


def test_severity_goes_from_the_recipient_to_the_sample():
    """At severity 0 the latents are the recipient's, at 1 the sample's, and halfway they are halfway."""
    at = {s: drawn(replace(SPEC, severity=s))[1] for s in (0.0, 0.5, 1.0)}
    for number, part in enumerate((slice(0, 9), slice(9, 17))):
        expected = BANK.recipients[0].levels[number, : part.stop - part.start]
        np.testing.assert_allclose(at[0.0][part], expected, atol=1e-5)
    np.testing.assert_allclose(at[0.5], (at[0.0] + at[1.0]) / 2, atol=1e-5)
    assert at[1.0].mean() - at[0.0].mean() > 3


def test_only_the_slices_that_are_written_are_decoded():
    """The stack has the recipient's spacing and the heart's length at ED and at ES, whose base has descended."""
    heart, latents = drawn()
    assert heart.labels.shape == (2, 9, 8, 8)
    assert latents.shape == (9 + 8, 3)
    assert latents.dtype == np.float32
    assert heart.labels.any(axis=(2, 3)).tolist() == [[True] * 9, [False] + [True] * 8]
    assert drawn(spacing=20.0)[0].labels.shape[1] == 5
    assert drawn(spacing=500.0)[0].labels.shape[1] == FEWEST_SLICES


def test_a_base_that_rises_moves_the_other_phase():
    """Whichever phase begins first begins the stack."""
    assert slices_of(np.array([80.0, 70.0, 10.0]), 10.0) == ((9, 8), (0, 1))
    assert slices_of(np.array([80.0, 90.0, -10.0]), 10.0) == ((9, 10), (1, 0))


def test_an_attempt_is_another_draw_of_the_same_subject():
    """Attempts differ, and each is the same whenever it is made."""
    first, second = drawn(attempt=0)[1], drawn(attempt=1)[1]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, drawn(attempt=0)[1])


def test_the_wall_gets_the_mass_that_is_asked_for():
    """So many pixels of myocardium come out, those with the best claim; what it loses goes to its neighbours."""
    logits = np.random.default_rng(0).normal(size=(5, 4, 12, 12)).astype(np.float32)
    plain = logits.argmax(axis=1)
    count = int((plain == 2).sum())
    for wanted in (count - 60, count + 60):
        labels, shift = with_myocardium(logits, float(wanted))
        assert (labels == 2).sum() == wanted
        assert (shift > 0) == (wanted < count)
        unmoved = (plain != 2) & (labels != 2)
        np.testing.assert_array_equal(labels[unmoved], plain[unmoved])
    assert abs(with_myocardium(logits, 0.0)[1]) <= 4.0


def test_what_was_drawn_is_told():
    """The record holds length, what the eigenvalue floor added and what the repair changed."""
    record = drawn()[0].as_dict()
    assert record["slices"] == 9
    assert record["latents_outside_class_range"] == 0.0
    assert {"ed_length_mm", "es_descent_mm", "eigenvalue_added", "tidied_pixels"} <= set(record)
