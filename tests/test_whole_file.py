"""`whole_file`: whatever happens, what was there stays until the new content is whole."""

from __future__ import annotations

import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from synthgen.errors import SynthgenError
from synthgen.whole_file import left_over, whole_file


def test_the_old_content_stays_until_the_new_is_whole(tmp_path):
    """While the block runs the old file is there; afterwards the new one alone."""
    path = tmp_path / "note.json"
    path.write_text("old")
    with whole_file(path) as staged:
        staged.write_text("new")
        assert path.read_text() == "old"
        assert left_over(path) == {staged}
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("note.json", "new")]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError])
def test_what_goes_wrong_inside_passes_and_leaves_nothing(tmp_path, raised):
    """An interrupt or a mistake of the caller is not taken for one of the file system."""
    path = tmp_path / "note.json"
    path.write_text("old")

    def write() -> None:
        with whole_file(path) as staged:
            staged.write_text("half")
            raise raised

    with pytest.raises(raised):
        write()
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("note.json", "old")]


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    """A disk that takes the content but cannot keep it is noticed before the old file is gone."""

    def refuse(_handle):
        raise OSError(28, "No space left on device")

    path = tmp_path / "note.json"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", refuse)
    with (
        pytest.raises(SynthgenError, match=r"note\.json: cannot be written \(No space left"),
        whole_file(path) as staged,
    ):
        staged.write_text("new")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("note.json", "old")]


def test_a_refusal_names_the_file_whoever_writes(tmp_path):
    """Python's own error, or that of safetensors, which is no OSError, in a folder that is missing or none."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "x.safetensors", tmp_path / "file" / "x.safetensors"):
        with pytest.raises(SynthgenError, match=r"x\.safetensors: cannot be written \(N"), whole_file(path) as staged:
            staged.write_bytes(b"")
        with pytest.raises(SynthgenError, match=r"x\.safetensors: cannot be written \(Err"), whole_file(path) as staged:
            save_file({"a": np.zeros(3)}, staged)


def test_what_killed_processes_left_is_told_from_other_files(tmp_path):
    """Of this file, by any process; not what was left of another."""
    names = [".note.json.7.partial", ".note.json.8.partial", ".other.json.7.partial", "note.partial"]
    for name in names:
        (tmp_path / name).touch()
    assert {file.name for file in left_over(tmp_path / "note.json")} == set(names[:2])
