"""What readers and writers of cohorts share: a folder that appears whole."""

from pathlib import Path

import pytest

from synthgen.cohorts.assembly import staged_folder
from synthgen.errors import InputError, SynthgenError


def names(folder):
    """Return what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_when_it_is_whole(tmp_path):
    """Until the end there is nothing under its name, afterwards nothing under another."""
    out = tmp_path / "deep" / "out"
    with staged_folder(out) as staged:
        (staged / "one").touch()
        assert not out.exists()
    assert (names(out), names(out.parent)) == (["one"], ["out"])


def test_a_failure_leaves_nothing(tmp_path):
    """An error inside removes what was written, and an empty folder stays empty."""
    (tmp_path / "out").mkdir()

    def write():
        with staged_folder(tmp_path / "out") as staged:
            (staged / "one").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert (names(tmp_path), names(tmp_path / "out")) == (["out"], [])


def test_two_cannot_write_one_folder(tmp_path):
    """The second is refused and the first loses nothing."""
    with staged_folder(tmp_path / "out") as staged:
        (staged / "one").touch()
        with pytest.raises(InputError, match="nobody else"), staged_folder(tmp_path / "out"):
            pass
        (staged / "two").touch()
    assert names(tmp_path / "out") == ["one", "two"]


def test_what_a_killed_run_left_is_no_obstacle_and_what_is_not_ours_stays(tmp_path):
    """A folder that is called like unfinished work is somebody's; the hidden remains of another process are not."""
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "mine").touch()
    left = tmp_path / ".out.partial"
    left.mkdir()
    (left / "half").touch()
    with staged_folder(tmp_path / "out") as staged:
        (staged / "one").touch()
    assert names(tmp_path) == ["out", "out.partial"]
    assert (names(tmp_path / "out"), names(tmp_path / "out.partial")) == (["one"], ["mine"])


def test_the_folder_one_is_in_can_be_written(tmp_path, monkeypatch):
    """`.` is filled where it is: a shell in it sees the result."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with staged_folder(Path()) as staged:
        (staged / "one").touch()
    assert names(Path()) == ["one"]


def test_a_disk_that_refuses_is_told(tmp_path):
    """An error that names no file is said of the folder; one that names its file, read or written, is left as it is."""
    (tmp_path / "file").touch()
    errors = (OSError(28, "No space left on device"), PermissionError(13, "Permission denied", "input.nii"))
    for error, expected in zip(errors, (SynthgenError, PermissionError), strict=True):
        with pytest.raises(expected, match=r"out: cannot be written|input\.nii"), staged_folder(tmp_path / "out"):
            raise error
    with pytest.raises(SynthgenError, match="cannot be written"), staged_folder(tmp_path / "file" / "out"):
        pass
    assert names(tmp_path) == ["file"]
