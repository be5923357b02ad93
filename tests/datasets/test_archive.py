"""One file for a dataset, and nothing but a dataset from one file."""

from __future__ import annotations

import contextlib
import os
import zipfile

import numpy as np
import pytest

from synthgen.datasets import archive
from synthgen.datasets.archive import pack, unpack
from synthgen.datasets.containers import CONTAINERS
from synthgen.datasets.convert import convert
from synthgen.datasets.verify import verify
from synthgen.errors import DamageError, InputError


@pytest.mark.parametrize("container", CONTAINERS)
def test_there_and_back(small_dataset, tmp_path, tree, container):
    """Packed and unpacked, a dataset is the same to the last byte, and packed twice, so is the file."""
    dataset = convert(small_dataset, tmp_path / "dataset", container)
    file = pack(dataset, tmp_path / "one.zip")
    assert unpack(file, tmp_path / "back") == tmp_path / "back"
    assert tree(tmp_path / "back") == tree(dataset)
    assert verify(tmp_path / "back", deep=True) == ()
    assert pack(tmp_path / "back", tmp_path / "two.zip").read_bytes() == file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist()[0] == "manifest.json"
        assert archive.testzip() is None
    assert {path.name for path in tmp_path.iterdir()} == {"small", "dataset", "one.zip", "back", "two.zip"}


def test_damage_is_not_packed(small_dataset, tmp_path):
    """A changed byte stops packing and leaves no file."""
    record = next((small_dataset / "volumes.zarr").rglob("c/0/0/0/0"))
    record.write_bytes(record.read_bytes()[:-1] + b"x")
    with pytest.raises(DamageError):
        pack(small_dataset, tmp_path / "one.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_names_are_checked(small_dataset, tmp_path):
    """Another ending, a taken name and a missing file are InputErrors."""
    with pytest.raises(InputError, match="zip"):
        pack(small_dataset, tmp_path / "one.rar")
    file = pack(small_dataset, tmp_path / "one.zip")
    with pytest.raises(InputError, match="free"):
        pack(small_dataset, file)
    with pytest.raises(InputError, match="free"):
        unpack(file, small_dataset)
    with pytest.raises(InputError, match="outside"):
        pack(small_dataset, small_dataset / "one.zip")
    assert verify(small_dataset) == ()
    with pytest.raises(InputError, match="no file"):
        unpack(tmp_path / "none.zip", tmp_path / "out")


@pytest.mark.parametrize("command", [pack, unpack])
def test_a_second_process_disturbs_nothing(small_dataset, tmp_path, monkeypatch, tree, command):
    """A second call while the first one works is refused and leaves the first one's work alone."""
    source = small_dataset if command is pack else pack(small_dataset, tmp_path / "one.zip")
    out = tmp_path / "out.zip"
    refusals = []
    sync = os.sync if command is unpack else os.fsync  # called when everything but the name is there

    def again(*arguments):
        monkeypatch.undo()
        with pytest.raises(InputError, match="nobody else is writing"):
            command(source, out)
        refusals.append(command)
        return sync(*arguments)

    monkeypatch.setattr(archive.os, sync.__name__, again)
    assert command(source, out) == out
    assert refusals == [command]
    assert tree(out if command is unpack else unpack(out, tmp_path / "back")) == tree(small_dataset)


def rewrite(source, target, change):
    """Copy an archive, each member through `change(info, data)`, which gives members."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            for member, data in change(info, old.read(info)):
                new.writestr(member, data)
    return target


def also(name, **attributes):
    """Return a change that adds a member after the manifest."""

    def change(info, data):
        yield info, data
        if info.filename == "manifest.json":
            extra = zipfile.ZipInfo(name)
            extra.create_system, extra.external_attr = 3, 0o100644 << 16
            for attribute, value in attributes.items():
                setattr(extra, attribute, value)
            yield extra, b"/etc/passwd"

    return change


def packed_tighter(info, data):
    """Compress every member."""
    info.compress_type = zipfile.ZIP_DEFLATED
    yield info, data


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "change",
    [
        also("../escaped"),
        also("/tmp/escaped"),  # noqa: S108 - must not be written
        also("records/../../escaped"),
        also("stranger"),
        also("manifest.json"),
        also("link", external_attr=0o120777 << 16),
        also("folder/", external_attr=0o040755 << 16),
        packed_tighter,
        lambda info, data: [] if info.filename == "manifest.json" else [(info, data)],
        lambda info, data: [] if info.filename.startswith("records/") else [(info, data)],
        lambda info, data: [(info, data + b"x" if info.filename.endswith("zarr.json") else data)],
        lambda info, data: [(info, data[:-1] + b"x" if info.filename.endswith("c/0/0/0/0") else data)],
    ],
)
def test_hostile_archives_write_nothing(small_dataset, tmp_path, change):
    """Paths that lead outside, strangers, links, folders, compressed, missing and other members are refused, and
    nothing is left behind.
    """
    file = rewrite(pack(small_dataset, tmp_path / "one.zip"), tmp_path / "bad.zip", change)
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises((InputError, DamageError)):
        unpack(file, place / "out")
    assert list(place.iterdir()) == []
    assert not (tmp_path / "escaped").exists()


def test_mutated_archives_never_surprise(small_dataset, tmp_path, tree):
    """Whatever happens to the file: the project's own error, or the dataset as it was."""
    good = pack(small_dataset, tmp_path / "one.zip").read_bytes()
    rng = np.random.default_rng(0)
    bad, out = tmp_path / "bad.zip", tmp_path / "out"
    start = good.rindex(b"PK\x01\x02") - 2000
    for number in range(150):
        low = 0 if number % 2 else start  # half of them in the directory
        place = int(rng.integers(low, len(good)))
        cut = (good[:place], good[:place] + rng.bytes(3) + good[place:], good[:place] + good[place + 5 :])
        flipped = good[:place] + bytes([good[place] ^ int(rng.integers(1, 256))]) + good[place + 1 :]
        bad.write_bytes((*cut, flipped, flipped, flipped)[number % 6])
        with contextlib.suppress(InputError, DamageError):
            assert tree(unpack(bad, out)) == tree(small_dataset), number
            for path in sorted(out.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            out.rmdir()
