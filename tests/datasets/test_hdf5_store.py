"""HDF5: what h5py sees, and what is refused before the library parses it."""

from __future__ import annotations

import io
import time

import google_crc32c
import h5py
import numpy as np
import pytest

from synthgen.datasets.containers import store_of
from synthgen.datasets.hdf5_store import _user_block, decode_hdf5, hdf5_path
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.staging import store_subject
from synthgen.errors import DamageError
from synthgen.labels import Phase, Tissue


@pytest.fixture(scope="module")
def stored(phantom):
    """A subject as it is stored."""
    return store_subject(phantom(1), 0)


@pytest.fixture(scope="module")
def raw(stored):
    """Its file."""
    (data,) = store_of("hdf5").encode(stored).values()
    return data


def test_h5py_opens_what_is_written(stored, raw):
    """Image and label have both phases, in one chunk each, with geometry, intensity and names as attributes."""
    with h5py.File(io.BytesIO(raw)) as file:
        for kind in ("image", "label"):
            data = file[kind]
            assert data.chunks == (1, *stored.entry.shape)
            assert data.compression == "gzip"
            for time_index, phase in enumerate(Phase):
                assert np.array_equal(data[time_index], stored.volumes[kind][phase])
        assert np.array_equal(file.attrs["affine_ras"], stored.entry.affine_ras)
        assert file["image"].attrs["scale"] == stored.entry.intensity.scale
        assert list(file["label"].attrs["names"]) == [tissue.name.lower() for tissue in Tissue]


def test_the_same_subject_gives_the_same_bytes(stored, raw):
    """No time is in a file: written again a second later, it is the same."""
    time.sleep(1.1)
    assert store_of("hdf5").encode(stored) == {hdf5_path(stored.entry.id): raw}


def test_the_index_names_every_subject(tmp_path, phantom, write_dataset):
    """A row per subject with its file, class and geometry, and no link to follow."""
    from synthgen.datasets.convert import convert

    root = convert(write_dataset(tmp_path / "zarr"), tmp_path / "hdf5", "hdf5")
    with h5py.File(root / "volumes.hdf5" / "index.h5") as file:
        names = [name.decode() for name in file["file"]]
        assert all(isinstance(file.get(name, getlink=True), h5py.HardLink) for name in file)
        entries = StoredDataset(root).manifest.subjects
        assert [name.decode() for name in file["id"]] == [entry.id for entry in entries]
        assert np.array_equal(file["affine_ras"], [entry.affine for entry in entries])
    assert all((root / "volumes.hdf5" / name).is_file() for name in names)


def test_any_changed_byte_is_found_before_parsing(stored, raw, monkeypatch):
    """The checksum in the user block covers every byte; a damaged file does not reach the HDF5 library."""
    monkeypatch.setattr(h5py, "File", None)
    for place in range(0, len(raw), 97):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(DamageError, match="CRC-32C"):
            decode_hdf5(changed, stored.entry, Phase.ED, "image", "file")


def sealed(fill):
    """Return a file that somebody else made, with the right checksum."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", userblock_size=512) as file:
        fill(file)
    content = stream.getvalue()[512:]
    assert google_crc32c.value(content) >= 0
    return _user_block(content) + content


@pytest.mark.parametrize(
    "fill",
    [
        lambda file: file.create_group("image"),
        lambda file: file.attrs.create("nothing", 1),
        lambda file: file.__setitem__("image", h5py.ExternalLink("/etc/passwd", "/x")),
        lambda file: file.__setitem__("image", h5py.SoftLink("/label")),
        lambda file: file.create_dataset("image", data=np.zeros((2, 3, 24, 28), "<i2")),
        lambda file: file.create_dataset("image", (2, 3, 24, 28), "<i2", chunks=(1, 3, 24, 28), compression="lzf"),
        lambda file: file.create_dataset("image", (2, 3, 24, 28), "<f4", chunks=(1, 3, 24, 28), compression="gzip"),
        lambda file: file.create_dataset("image", (2, 3, 24, 29), "<i2", chunks=(1, 3, 24, 29), compression="gzip"),
        lambda file: file.create_dataset(
            "image", (2, 3, 24, 28), "<i2", chunks=(1, 3, 24, 28), compression="gzip", shuffle=True
        ),
    ],
)
def test_forged_files_are_damage(stored, fill):
    """Groups, links, other types, shapes and filters, and chunks that were never written are refused."""
    with pytest.raises(DamageError):
        decode_hdf5(sealed(fill), stored.entry, Phase.ED, "image", "file")
