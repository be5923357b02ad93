"""What two datasets have in common."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from synthgen.datasets.comparison import compare
from synthgen.datasets.convert import convert
from synthgen.datasets.writer import DatasetWriter
from synthgen.errors import InputError
from synthgen.labels import Phase, Vendor


def test_containers_make_no_difference(published, tmp_path):
    """A dataset and its conversion have the same content, and every subject is equal."""
    found = compare(published, convert(published, tmp_path / "nifti", "nifti"))
    assert (found.same_content, found.same_request, found.relation) == (True, True, "same content")
    assert (found.kept, found.removed, found.added, found.changed) == (5, (), (), ())


def write(out, subjects, **options):
    """Write these subjects."""
    with DatasetWriter.open(out, plan={"n": 1}, subject_ids=[s.subject_id for s in subjects], **options) as writer:
        for subject in subjects:
            if subject.subject_id not in writer.done:
                writer.add(subject)
        return writer.finish(preview_rows=0)


def test_changes_are_named_and_measured(tmp_path, phantom):
    """Removed, added and changed subjects; facts that differ by name; intensities and labels by how much."""
    subjects = [phantom(number) for number in range(4)]
    image = subjects[1].images[Phase.ES]
    brighter = image.voxels.copy()
    brighter[0, 0, 0] += 0.25
    label = subjects[2].labels[Phase.ED]
    relabelled = label.voxels.copy()
    relabelled[0, :1, :3] = 8
    changed = [
        replace(subjects[1], images={**subjects[1].images, Phase.ES: image.with_voxels(brighter)}, vendor=Vendor.D),
        replace(subjects[2], labels={**subjects[2].labels, Phase.ED: label.with_voxels(relabelled)}),
    ]
    first = write(tmp_path / "first", subjects[:3])
    second = write(tmp_path / "second", [subjects[3], *changed])
    found = compare(first, second)
    assert (found.same_content, found.same_request, found.relation, found.kept) == (False, True, "none known", 0)
    assert (found.removed, found.added) == (("syn-0000",), ("syn-0003",))
    one, two = found.changed
    assert set(one.fields) == {"vendor", "image"}
    assert one.largest_intensity == pytest.approx(0.25, abs=2e-3)
    assert (two.fields, two.label_voxels) == (("label",), int(np.count_nonzero(relabelled != label.voxels)))
    document = json.loads(json.dumps(found.as_dict()))
    assert document["changed"][1]["largest_intensity"] is None


def test_other_shapes_are_told_and_not_compared(tmp_path, phantom):
    """Subjects of one id on different grids differ in shape and voxels."""
    first = write(tmp_path / "first", [phantom(0)])
    second = write(tmp_path / "second", [phantom(0, (4, 24, 28))])
    (found,) = compare(first, second).changed
    assert {"shape", "affine", "image", "label"} <= set(found.fields)
    assert (np.isnan(found.largest_intensity), found.label_voxels) == (True, 0)


def test_a_version_knows_where_it_comes_from(tmp_path, phantom, published):
    """Growth is recognised in both directions, and no dataset is an InputError."""
    from synthgen.datasets.reader import StoredDataset

    first = write(tmp_path / "first", [phantom(0)])
    second = write(tmp_path / "second", [phantom(1)], parent=StoredDataset(first))
    third = write(tmp_path / "third", [phantom(2)], parent=StoredDataset(second))
    assert compare(first, third).relation == "second grew from first"
    assert compare(third, first).relation == "first grew from second"
    assert compare(first, third).added == ("syn-0001", "syn-0002")
    with pytest.raises(InputError):
        compare(first, tmp_path / "none")
