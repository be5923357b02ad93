"""Fingerprints: what was corrected in place must not be taken for what was there before."""

from __future__ import annotations

import gzip

import pytest

from synthgen.cohorts.fingerprint import fingerprint


@pytest.mark.parametrize("name", ["subjects.csv", "labels.nii", "labels.nii.gz"])
def test_another_content_of_the_same_size_is_noticed(tmp_path, name):
    """A class, a vendor or a voxel may change without a byte more; written again as it was nothing has changed."""
    file = tmp_path / name
    contents = (b"NOR" * 99, b"DCM" * 99)
    first, second = (gzip.compress(data, mtime=0) if name.endswith(".gz") else data for data in contents)
    assert len(first) == len(second)
    file.write_bytes(first)
    before = fingerprint(tmp_path, [file])
    file.write_bytes(second)
    assert fingerprint(tmp_path, [file]) != before
    file.write_bytes(first)
    assert fingerprint(tmp_path, [file]) == before


def test_a_cohort_may_move_and_a_short_file_is_no_obstacle(tmp_path):
    """Names count from the cohort's folder; of a damaged gzip file reading it is what complains, not this."""
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        (folder / "image.nii.gz").write_bytes(b"\x1f")
        (folder / "empty.nii.gz").touch()
    found = {fingerprint(folder, [*folder.iterdir(), folder / "gone"]) for folder in (tmp_path / "a", tmp_path / "b")}
    assert len(found) == 1
