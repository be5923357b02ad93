import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_bundle import SIZE

from synthgen.engine.gate import Verdict
from synthgen.engine.generate import Generator, UnreachableError
from synthgen.engine.plan import SubjectSpec, plan
from synthgen.engine.recipe import Condition, Recipe
from synthgen.errors import InputError
from synthgen.indices import measure
from synthgen.labels import HEART, Pathology, Phase, Tissue, Vendor


@pytest.fixture(scope="module")
def specs(bundle):
    """Return three planned subjects of two classes."""
    conditions = tuple(Condition(pathology=p, count=3) for p in (Pathology.ARV, Pathology.HCM))
    return plan(Recipe(conditions=conditions), bundle)


@pytest.fixture(scope="module")
def subjects(generator, specs):
    """Return the subjects that come of them."""
    return {spec.subject_id: generator.generate(spec) for spec in specs}


def equal(one, other):
    """Return whether two subjects agree to the bit, history included."""
    return (
        all(
            np.array_equal(volumes(one)[phase].voxels, volumes(other)[phase].voxels)
            for phase in Phase
            for volumes in (lambda s: s.images, lambda s: s.labels)
        )
        and one.record == other.record
        and one.indices == other.indices
    )


def test_a_subject_is_whole(subjects):
    """Images in [-1, 1] and nine-tissue labels of both phases on one grid, with heart in both."""
    for subject in subjects.values():
        shapes = {v.shape for v in (*subject.images.values(), *subject.labels.values())}
        assert len(shapes) == 1
        for phase in Phase:
            image, label = subject.images[phase].voxels, subject.labels[phase].voxels
            assert image.dtype == np.float32
            assert np.abs(image).max() <= 1
            assert label.dtype == np.uint8
            assert set(np.unique(label)) <= set(Tissue)
            assert set(HEART) <= set(np.unique(label))
            assert {int(Tissue.LUNG), int(Tissue.MUSCLE)} <= set(np.unique(label))


def test_indices_are_measured_on_what_is_delivered(subjects):
    """The indices of a subject are those of its own label volumes."""
    for subject in subjects.values():
        again = measure(subject.labels, subject.body).as_dict()
        for name, value in again.items():
            assert subject.indices[name] == pytest.approx(value, nan_ok=True), name


def test_what_was_asked_for_came_out(subjects):
    """Every ARV subject satisfies ARV's rule on its measured indices; the record says so."""
    for name, subject in subjects.items():
        if name.startswith("ARV"):
            assert "ARV" in subject.record["classes_matched"]
        assert all(verdict["passed"] for verdict in subject.record["verdicts"])


def test_a_subject_is_the_same_alone_and_in_any_order(bundle, specs, subjects):
    """A fresh generator, the reverse order, other threads around it: the same bits."""
    fresh = Generator(bundle)
    for spec in reversed(specs):
        assert equal(fresh.generate(spec), subjects[spec.subject_id])


def test_torch_threads_do_not_reach_the_bits(generator, specs, subjects):
    """Two threads within an operator give what one gives."""
    torch.set_num_threads(2)
    try:
        assert equal(generator.generate(specs[0]), subjects[specs[0].subject_id])
    finally:
        torch.set_num_threads(1)


def test_vendor_changes_the_image_and_not_the_anatomy(generator, specs):
    """The same subject in another vendor's style has the same labels and another image."""
    one, other = (generator.generate(replace(specs[0], vendor=v)) for v in (Vendor.A, Vendor.D))
    for phase in Phase:
        np.testing.assert_array_equal(one.labels[phase].voxels, other.labels[phase].voxels)
        assert not np.allclose(one.images[phase].voxels, other.images[phase].voxels, atol=0.01)


def test_the_record_tells_the_history(subjects, specs):
    """Request, recipient, severity, style, verdicts and attempts are there, as JSON."""
    for spec in specs:
        record = subjects[spec.subject_id].record
        json.dumps(record)
        assert record["request"]["recipient"] == spec.recipient
        assert record["request"]["severity"] == spec.severity
        assert len(record["style"]) == 4
        assert record["attempt"] == len(record["rejected"])
        assert record["background"] == f"label map of {spec.recipient}"


def test_a_subject_is_made_again_from_its_record(bundle, subjects):
    """The request in a record, through JSON, is enough to make the subject to the bit."""
    subject = next(iter(subjects.values()))
    request = json.loads(json.dumps(subject.record))["request"]
    assert equal(Generator(bundle).generate(SubjectSpec.from_dict(request)), subject)
    with pytest.raises(InputError, match="vendor"):
        SubjectSpec.from_dict({**request, "vendor": "Z"})


def refuse_before(attempt):
    """Return gates that refuse every draw of a subject before `attempt`."""
    seen = []

    def check(measurement, gates):
        seen.append(1)
        return [Verdict("luck", len(seen) > attempt, float(len(seen)), f"above {attempt}")]

    return check


def test_a_refused_draw_is_drawn_again_and_logged(generator, specs, subjects, monkeypatch):
    """The next attempt is another heart, and the record keeps the reason."""
    first = subjects[specs[0].subject_id]
    accepted = first.record["attempt"] + 2
    monkeypatch.setattr("synthgen.engine.generate.check", refuse_before(accepted))
    subject = generator.generate(specs[0])
    assert subject.record["attempt"] == accepted
    assert subject.record["rejected"] == [{"attempt": n, "failed": ["luck"]} for n in range(accepted)]
    assert not np.array_equal(subject.labels[Phase.ED].voxels, first.labels[Phase.ED].voxels)


def test_after_many_failures_another_recipient_is_taken(generator, specs, monkeypatch):
    """Twenty draws from the planned one, then the next, which the record names and whose body surrounds the heart."""
    monkeypatch.setattr("synthgen.engine.generate.check", refuse_before(20))
    spec = replace(specs[0], severity=0.0)
    made = generator.generate(spec)
    name = made.record["anatomy"]["recipient"]
    assert made.record["attempt"] == 20
    assert name != spec.recipient
    assert made.record["background"] == f"label map of {name}"
    assert made.body == generator.donors[name].body


def test_what_is_out_of_reach_ends_with_class_reasons_and_counts(generator, specs, monkeypatch):
    """After the last attempt one line says which class failed, why, and how often."""
    monkeypatch.setattr("synthgen.engine.generate.check", refuse_before(99))
    with pytest.raises(UnreachableError, match=r"ARV-A-0001: class ARV was out of reach in 3 draws.*luck \(3\)"):
        generator.generate(replace(specs[0], max_attempts=3))


def test_geometry_is_the_donors(generator, subjects, specs):
    """Spacing and directions are those of the body; affine and voxels agree."""
    for spec in specs:
        donor, volume = generator.donors[spec.recipient], subjects[spec.subject_id].images[Phase.ED]
        assert volume.spacing_mm == donor.spacing_mm
        assert volume.shape[1:] == (SIZE, SIZE)
        np.testing.assert_allclose(volume.affine[:3, :3] / [6.0, 6.0, 10.0], donor.rotation)
