from __future__ import annotations

import pytest

from synthgen.errors import InputError, SynthgenError
from synthgen.exports.folder import new_folder
from synthgen.lock import FolderLock


def test_a_folder_appears_when_it_is_full(tmp_path):
    """Until the block ends, nothing has the folder's name; missing parents are made."""
    out = tmp_path / "a" / "b"
    with new_folder(out) as folder:
        (folder / "file").write_text("x")
        assert not out.exists()
    assert (out / "file").read_text() == "x"
    assert [path.name for path in out.parent.iterdir()] == ["b"]


def test_a_failure_leaves_nothing(tmp_path):
    """What fails inside passes on, and the half-filled folder is gone."""

    def fail():
        with new_folder(tmp_path / "out") as folder:
            (folder / "file").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not list(tmp_path.iterdir())


def test_the_rest_of_a_killed_run_is_removed(tmp_path):
    """A staging folder that someone left is not taken over."""
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "old").write_text("x")
    with new_folder(tmp_path / "out"):
        pass
    assert not list((tmp_path / "out").iterdir())


def test_two_writers_are_refused(tmp_path):
    """One name, one writer."""
    with FolderLock(tmp_path / "out"), pytest.raises(InputError, match="written by"), new_folder(tmp_path / "out"):
        pass


def test_a_link_of_that_name_is_refused(tmp_path):
    """A dangling link is not free, either."""
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="free"), new_folder(tmp_path / "out"):
        pass


def test_the_root_is_refused():
    """`/` is no name that could be free."""
    with pytest.raises(InputError, match="a name"), new_folder("/"):
        pass


def test_a_file_system_that_refuses_is_told(tmp_path):
    """A parent that is a file gives the project's own error."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(SynthgenError, match="cannot be written"), new_folder(tmp_path / "file" / "out"):
        pass
