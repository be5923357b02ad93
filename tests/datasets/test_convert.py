"""Conversion between containers: the same content, and back without a trace."""

from __future__ import annotations

import itertools
import shutil

import pytest

from synthgen.datasets.containers import CONTAINERS, store_of
from synthgen.datasets.convert import convert
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.verify import verify
from synthgen.errors import DamageError, InputError, PartialError


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(CONTAINERS, 2)))
def test_there_and_back_is_the_same_to_the_last_byte(tmp_path, write_dataset, tree, first, second):
    """From each container to each other and back: content id and records are kept, and all files come back."""
    origin = convert(write_dataset(tmp_path / "origin", 2, preview_rows=1), tmp_path / "first", first)
    there = convert(origin, tmp_path / "second", second)
    assert verify(there, deep=True) == ()
    before, after = StoredDataset(origin), StoredDataset(there)
    assert after.manifest.content_id == before.manifest.content_id
    assert after.manifest.plan == before.manifest.plan
    assert [after.record(i).history for i in after.ids] == [before.record(i).history for i in before.ids]
    assert tree(convert(there, tmp_path / "back", first)) == tree(origin)


def test_an_interrupted_conversion_goes_on(tmp_path, published, tree, monkeypatch):
    """Stopped after two subjects, conversion keeps them, refuses another dataset, and ends as if never stopped."""
    whole = tree(convert(published, tmp_path / "whole", "hdf5"))

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(PartialError, match="goes on"):
        convert(published, tmp_path / "cohort", "hdf5", progress=stop)
    assert len(list((tmp_path / "cohort.partial" / "records").iterdir())) == 2
    with pytest.raises(InputError):
        convert(published, tmp_path / "cohort", "nifti")
    assert tree(convert(published, tmp_path / "cohort", "hdf5")) == whole


def test_a_copy_of_other_content_is_not_completed(tmp_path, phantom, write_dataset):
    """Two datasets of equal plan and ids but other voxels do not become one."""
    first = write_dataset(tmp_path / "first", 2)
    second = write_dataset(tmp_path / "second", 2, shape=(3, 24, 24))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(PartialError, match="goes on"):
        convert(first, tmp_path / "out", "nifti", progress=stop)
    with pytest.raises(InputError, match="unfinished copy"):
        convert(second, tmp_path / "out", "nifti")


def test_damage_is_not_copied(tmp_path, dataset):
    """A volume that is not what was written stops the conversion, and nothing is published."""
    store = store_of("zarr")
    chunk = next((dataset / store.pieces("syn-0001")[0] / "0").rglob("c/1/0/0/0"))
    chunk.unlink()
    with pytest.raises(DamageError, match="syn-0001"):
        convert(dataset, tmp_path / "out", "nifti")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["README.md", "preview.png"])
def test_a_changed_card_or_picture_is_not_certified_anew(tmp_path, dataset, name):
    """What belongs to no subject is held against the manifest too."""
    content = bytearray((dataset / name).read_bytes())
    content[-1] ^= 1
    (dataset / name).write_bytes(content)
    with pytest.raises(DamageError, match=f"{name}: changed since it was written"):
        convert(dataset, tmp_path / "out", "nifti")
    assert not (tmp_path / "out").exists()


def test_what_is_no_dataset_or_taken_is_refused(tmp_path, published):
    """A missing dataset, an existing name, an unknown container and a place in the dataset are InputErrors."""
    with pytest.raises(InputError):
        convert(tmp_path / "none", tmp_path / "out", "hdf5")
    with pytest.raises(InputError, match="one of"):
        convert(published, tmp_path / "out", "tape")
    with pytest.raises(InputError, match="outside"):
        convert(published, published / "volumes.zarr" / "out", "hdf5")
    assert verify(published) == ()
    shutil.copytree(published, tmp_path / "out")
    with pytest.raises(InputError, match="free"):
        convert(published, tmp_path / "out", "hdf5")
