from __future__ import annotations

import os

import pytest

from synthgen.datasets.files import check_identifier, check_relative, read_bytes, walk
from synthgen.errors import DamageError, InputError


@pytest.mark.parametrize("name", ["a", "syn-0001", "A.b_c-9", "x" * 64])
def test_plain_names_become_folders(name):
    """A subject id of letters, digits and inner punctuation is taken as it is."""
    assert check_identifier(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "a.", "a/b", "a\\b", "a b", "é", "x" * 65, "a\n", "-a", "=cmd"])
def test_names_that_could_escape_or_collide_are_refused(name):
    """A subject id that no folder should have is refused."""
    with pytest.raises(InputError):
        check_identifier(name)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\\b", "a/", "a\0b", "."])
def test_paths_that_leave_the_dataset_are_refused(path):
    """A path in a manifest stays inside the dataset."""
    with pytest.raises(ValueError, match="not a relative path"):
        check_relative(path)


def test_reading_is_limited_to_plain_files_inside(tmp_path):
    """Links, FIFOs, folders, missing and oversized files are refused, and nothing hangs."""
    root = tmp_path / "cohort"
    (root / "folder").mkdir(parents=True)
    (root / "file").write_bytes(b"12345")
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "linked").symlink_to(tmp_path)
    os.mkfifo(root / "fifo")
    assert read_bytes(root, "file", 5) == b"12345"
    for relative, limit in (
        ("link", 9),
        ("linked/secret", 9),
        ("fifo", 9),
        ("folder", 9),
        ("none", 9),
        ("file", 4),
        ("file/below", 9),
    ):
        with pytest.raises(DamageError):
            read_bytes(root, relative, limit)


def test_walking_names_everything_and_follows_nothing(tmp_path):
    """Files, folders and links are listed in order; what is behind a link is not."""
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "d").write_bytes(b"")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    assert [path for path, _ in walk(tmp_path)] == ["a", "b", "b/c", "b/d"]
