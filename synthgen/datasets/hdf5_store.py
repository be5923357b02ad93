"""HDF5: one file per subject, a compressed chunk per phase, and an index of all subjects without links.

The first 512 bytes of a file are its user block: they hold the CRC-32C of the rest, so that a damaged file is refused
before the HDF5 library parses it. Other programs skip them. Times are not recorded and the file format is fixed: equal
voxels give equal bytes.

Reference: HDF5 file format (https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import google_crc32c
import h5py
import numpy as np
from numpy.typing import NDArray

from synthgen.datasets.files import read_bytes
from synthgen.datasets.manifest import Hdf5Layout
from synthgen.datasets.record import LABEL_MAP, SubjectEntry
from synthgen.datasets.store import DTYPES, KINDS, Kind, StoredSubject
from synthgen.errors import DamageError
from synthgen.labels import Phase, Tissue

FOLDER = "volumes.hdf5"

_USER_BLOCK = 512
_MARK = b"synthgen HDF5 volumes; CRC-32C of the bytes after the user block: "
_OVERHEAD = 1 << 16  # what the format adds to the voxels of a subject
_TEXT = "S80"


class Hdf5Store:
    """The HDF5 container; see `Store`."""

    container = "hdf5"
    folders = (FOLDER,)

    def layout(self) -> Hdf5Layout:
        """Return what the manifest says about the container."""
        return Hdf5Layout()

    def pieces(self, subject_id: str) -> tuple[str, ...]:
        """Return the subject's file."""
        return (hdf5_path(subject_id),)

    def encode(self, subject: StoredSubject) -> dict[str, bytes]:
        """Return the file of a subject by its path."""
        entry = subject.entry

        def fill(file: h5py.File) -> None:
            file.attrs["id"] = entry.id
            file.attrs["axes"] = "phase, z, y, x"
            file.attrs["phases"] = [phase.value for phase in Phase]
            file.attrs["affine_ras"] = entry.affine_ras
            file.attrs["spacing_mm"] = entry.spacing_mm
            for kind in KINDS:
                volumes = np.stack([subject.volumes[kind][phase] for phase in Phase])
                made = file.create_dataset(
                    kind,
                    data=volumes.astype(DTYPES[kind]),
                    chunks=(1, *entry.shape),
                    shuffle=True,
                    compression="gzip",
                    compression_opts=1,
                    track_times=False,
                )
                if kind == "image":
                    made.attrs["scale"], made.attrs["offset"] = entry.intensity.scale, entry.intensity.offset
                else:
                    made.attrs["table"] = LABEL_MAP
                    made.attrs["names"] = [tissue.name.lower() for tissue in Tissue]

        return {hdf5_path(entry.id): _sealed(fill)}

    def shared(self, entries: Sequence[SubjectEntry]) -> dict[str, bytes]:
        """Return the index: a row per subject, with the name of its file."""
        columns: Mapping[str, NDArray] = {
            "id": np.array([entry.id for entry in entries], _TEXT),
            "file": np.array([f"{entry.id}.h5" for entry in entries], _TEXT),
            "pathology": np.array([entry.pathology.value for entry in entries], _TEXT),
            "vendor": np.array([entry.vendor.value for entry in entries], _TEXT),
            "shape": np.array([entry.shape for entry in entries], "<i4"),
            "spacing_mm": np.array([entry.spacing_mm for entry in entries], "<f8"),
            "affine_ras": np.array([entry.affine for entry in entries], "<f8"),
            "intensity": np.array([(entry.intensity.scale, entry.intensity.offset) for entry in entries], "<f8"),
        }

        def fill(file: h5py.File) -> None:
            for name, column in columns.items():
                file.create_dataset(name, data=column, track_times=False)

        return {f"{FOLDER}/index.h5": _sealed(fill)}

    def read(self, root: Path, entry: SubjectEntry, phase: Phase, kind: Kind) -> NDArray:
        """Return one volume as stored; see `Store.read`."""
        entry.refuse_oversized()
        path = hdf5_path(entry.id)
        voxels = entry.voxels * len(Phase) * sum(dtype.itemsize for dtype in DTYPES.values())
        raw = read_bytes(root, path, voxels + voxels // 1000 + _OVERHEAD)
        return decode_hdf5(raw, entry, phase, kind, f"{root.name}/{path}")


def hdf5_path(subject_id: str) -> str:
    """Return the path of a subject's file inside the dataset."""
    return f"{FOLDER}/{subject_id}.h5"


def _sealed(fill: Callable[[h5py.File], None]) -> bytes:
    """Return the bytes of a file that `fill` writes, with their checksum in the user block."""
    stream = io.BytesIO()
    # the oldest format has no room for times, and every HDF5 reader since 1998 knows it
    with h5py.File(stream, "w", libver=("earliest", "v108"), userblock_size=_USER_BLOCK) as file:
        fill(file)
    content = stream.getvalue()[_USER_BLOCK:]
    return _user_block(content) + content


def _user_block(content: bytes) -> bytes:
    return (_MARK + f"{google_crc32c.value(content):08x}\n".encode()).ljust(_USER_BLOCK, b"\0")


def decode_hdf5(raw: bytes, entry: SubjectEntry, phase: Phase, kind: Kind, where: str) -> NDArray:
    """Return one volume of a subject's file, at most as large as `entry` says.

    Raises
    ------
    DamageError
        If the checksum fails or the file does not hold volumes of this shape and type.
    """
    if raw[:_USER_BLOCK] != _user_block(raw[_USER_BLOCK:]):
        raise DamageError(f"{where}: changed since it was written (its CRC-32C does not match).")
    try:
        with h5py.File(io.BytesIO(raw), "r") as file:
            packed = _chunk(file, entry, phase, kind)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError) as error:
        raise DamageError(f"{where}: holds no {kind} of shape {entry.shape} ({error}).") from None
    dtype = DTYPES[kind]
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, entry.voxels * dtype.itemsize + 1)
    except zlib.error as error:
        raise DamageError(f"{where}: {kind} at {phase} cannot be decompressed ({error}).") from None
    if not unpacker.eof or len(content) != entry.voxels * dtype.itemsize:
        raise DamageError(f"{where}: {kind} at {phase} is not one volume of shape {entry.shape}.")
    shuffled = np.frombuffer(bytearray(content), np.uint8).reshape(dtype.itemsize, entry.voxels)
    return np.ascontiguousarray(shuffled.T).view(dtype).reshape(entry.shape)


def _chunk(file: h5py.File, entry: SubjectEntry, phase: Phase, kind: Kind) -> bytes:
    """Return the compressed bytes of one phase, so that no filter runs before its size is known."""
    link = file.get(kind, getlink=True)
    data = file[kind] if isinstance(link, h5py.HardLink) else None
    if not isinstance(data, h5py.Dataset):
        raise KeyError("no dataset of its own")
    filters = data.shuffle, data.compression, data.fletcher32
    found = data.shape, data.chunks, data.dtype, filters
    expected = (len(Phase), *entry.shape), (1, *entry.shape), DTYPES[kind], (True, "gzip", False)
    if found != expected:
        raise ValueError(f"found {found}")
    place = (list(Phase).index(phase), 0, 0, 0)
    chunk = data.id.get_chunk_info_by_coord(place)
    if chunk.filter_mask or not 0 < chunk.size <= data.nbytes + _OVERHEAD:
        raise ValueError(f"a chunk of {chunk.size} bytes, filters left out: {chunk.filter_mask}")
    return bytes(data.id.read_direct_chunk(place)[1])
