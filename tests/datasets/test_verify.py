from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from synthgen.datasets.documents import render_document
from synthgen.datasets.manifest import MANIFEST
from synthgen.datasets.verify import Damage, verify
from synthgen.errors import InputError


def owner(path: str) -> str:
    """Return the subject that a path belongs to, or the path."""
    parts = path.split("/")
    if parts[0] == "records" or (parts[0] == "volumes.zarr" and len(parts) > 2):
        return parts[1].removesuffix(".json")
    return path


def every_file(folder):
    """Return the paths of all files of a dataset."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_whole_dataset_has_no_damage(published):
    """What was just written is whole, also when every volume is decoded."""
    assert verify(published) == ()
    assert verify(published, deep=True) == ()
    assert verify(str(published)) == ()


def test_a_moved_dataset_is_whole(published, tmp_path):
    """A dataset may be copied, renamed and opened elsewhere."""
    assert verify(shutil.copytree(published, tmp_path / "elsewhere")) == ()


@pytest.mark.parametrize("change", ["flip first", "flip last", "cut", "grow", "empty", "remove", "link"])
def test_every_changed_file_is_named(small_dataset, change, tmp_path):
    """For each file in turn: one changed, missing or additional byte, or the file gone or replaced by a link, is found,
    and the damage names the subject or file.
    """
    for path in every_file(small_dataset):
        target = small_dataset / path
        good = target.read_bytes()
        middle = bytes([good[-1] ^ 1])
        if change == "remove":
            target.unlink()
        elif change == "link":
            shutil.copy(target, tmp_path / "copy")
            target.unlink()
            target.symlink_to(tmp_path / "copy")
        else:
            bad = {
                "flip first": bytes([good[0] ^ 0x80]) + good[1:],
                "flip last": good[:-1] + middle,
                "cut": good[:-1],
                "grow": good + b"\0",
                "empty": b"",
            }
            target.write_bytes(bad[change])
        found = verify(small_dataset)
        assert found, path
        assert {damage.where for damage in found} == {owner(path)}, path
        assert any(path in damage.what for damage in found), path
        target.unlink(missing_ok=True)
        target.write_bytes(good)
    assert verify(small_dataset) == ()


def test_every_additional_file_is_named(small_dataset):
    """A file, folder, link or FIFO that nobody wrote is found wherever it lies, and its subject is named."""
    for folder in [small_dataset, *(p for p in small_dataset.rglob("*") if p.is_dir())]:
        strangers = [folder / name for name in ("file", "folder", "link", "fifo")]
        strangers[0].write_bytes(b"")
        strangers[1].mkdir()
        strangers[2].symlink_to("/etc/passwd")
        os.mkfifo(strangers[3])
        paths = [stranger.relative_to(small_dataset).as_posix() for stranger in strangers]
        expected = [(p if p.startswith("records") else owner(p), f"{p}: extra; nobody wrote it.") for p in paths]
        assert [(d.where, d.what) for d in verify(small_dataset)] == sorted(expected)
        for stranger in strangers:
            stranger.rmdir() if stranger.is_dir() and not stranger.is_symlink() else stranger.unlink()
    assert verify(small_dataset) == ()


def test_a_lost_folder_names_every_file_in_it(dataset):
    """A subject whose group is gone is named once for each of its nine files."""
    shutil.rmtree(dataset / "volumes.zarr" / "syn-0003")
    found = verify(dataset)
    assert {damage.where for damage in found} == {"syn-0003"}
    assert len(found) == 9


def test_several_faults_are_all_reported(dataset):
    """The first fault does not hide the second."""
    (dataset / "records" / "syn-0000.json").unlink()
    (dataset / "volumes.zarr" / "syn-0001" / "zarr.json").write_text("{}")
    (dataset / "preview.png").unlink()
    assert {damage.where for damage in verify(dataset)} == {"syn-0000", "syn-0001", "preview.png"}


def test_swapped_subjects_are_found(dataset):
    """Two records exchanged are damage of both subjects."""
    a, b = (dataset / "records" / f"syn-000{n}.json" for n in (1, 2))
    a.rename(dataset / "records" / "x")
    b.rename(a)
    (dataset / "records" / "x").rename(b)
    assert {damage.where for damage in verify(dataset)} == {"syn-0001", "syn-0002"}


def test_a_manifest_that_lies_is_found(dataset):
    """A manifest that was changed together with its own digest disagrees with the records or with its content id."""
    content = json.loads((dataset / MANIFEST).read_bytes())
    del content["digest"]
    content["subjects"][2]["affine"][0][3] += 1.0
    (dataset / MANIFEST).write_bytes(render_document(content))
    assert verify(dataset) == (Damage("syn-0002", "records/syn-0002.json: disagrees with manifest.json."),)
    content["subjects"][2]["affine"][0][3] -= 1.0
    content["content_id"] = "sgc1:" + "0" * 64
    (dataset / MANIFEST).write_bytes(render_document(content))
    assert [damage.where for damage in verify(dataset)] == [MANIFEST]


def test_deep_verification_decodes(dataset, monkeypatch):
    """With `deep`, voxels that are not those of the digests are found even if every file is as it was written."""
    monkeypatch.setattr(
        "synthgen.datasets.zarr_store.read_stored",
        lambda root, entry, phase, kind: np.zeros(entry.shape, np.uint8),
    )
    assert verify(dataset) == ()
    assert {damage.where for damage in verify(dataset, deep=True)} == {f"syn-{n:04d}" for n in range(5)}


def test_only_folders_can_be_verified(tmp_path):
    """No folder is an InputError; a folder without a manifest is damage."""
    with pytest.raises(InputError):
        verify(tmp_path / "none")
    assert [damage.where for damage in verify(tmp_path)] == [MANIFEST]
