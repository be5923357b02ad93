"""NIfTI-1 in the tree that nnU-Net v2 reads: one `.nii.gz` per phase and kind, equal bytes for equal voxels.

Read by our own reader, which goes on to the end of the stream: nibabel stops before the gzip trailer, and with it
before the CRC. Link `volumes.nifti` as `nnUNet_raw/Dataset001_NAME` to train on it.

References: NIfTI-1 (https://nifti.nimh.nih.gov/nifti-1), gzip (RFC 1952).
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from synthgen.datasets.files import read_bytes
from synthgen.datasets.manifest import NiftiLayout
from synthgen.datasets.record import SubjectEntry
from synthgen.datasets.store import DTYPES, Kind, StoredSubject
from synthgen.errors import DamageError
from synthgen.labels import Phase, Tissue

FOLDER = "volumes.nifti"

_FOLDERS: Mapping[Kind, str] = {"image": f"{FOLDER}/imagesTr", "label": f"{FOLDER}/labelsTr"}
_CODES: Mapping[Kind, int] = {"image": 4, "label": 2}  # DT_INT16, DT_UINT8
_HEADER = struct.Struct("<i10s18sihBB8h3f4h8f3fhBB4f2i80s24s2h6f12f16s4s")
_VOXELS_AT = 352  # header and four zero bytes: no extension
_MAGIC = b"n+1\0"
_MILLIMETRES = 2
_SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT

# No file name, no time, fastest, system unknown: gzip's own choice of these differs between machines.
_GZIP_START = b"\x1f\x8b\x08\0\0\0\0\0\x04\xff"
_GZIP_END = struct.Struct("<II")


class NiftiStore:
    """The NIfTI container; see `Store`."""

    container = "nifti"
    folders = (FOLDER, _FOLDERS["image"], _FOLDERS["label"])

    def layout(self) -> NiftiLayout:
        """Return what the manifest says about the container."""
        return NiftiLayout()

    def pieces(self, subject_id: str) -> tuple[str, ...]:
        """Return the subject's four files."""
        return tuple(nifti_path(subject_id, phase, kind) for kind in _FOLDERS for phase in Phase)

    def encode(self, subject: StoredSubject) -> dict[str, bytes]:
        """Return the four files of a subject by their paths."""
        entry = subject.entry
        return {
            nifti_path(entry.id, phase, kind): encode_nifti(volume, entry, kind)
            for kind, volumes in subject.volumes.items()
            for phase, volume in volumes.items()
        }

    def shared(self, entries: Sequence[SubjectEntry]) -> dict[str, bytes]:
        """Return nnU-Net's `dataset.json`."""
        content = {
            "channel_names": {"0": "cine MRI"},
            "labels": {tissue.name.lower(): tissue.value for tissue in Tissue},
            "numTraining": len(entries) * len(Phase),
            "file_ending": ".nii.gz",
            "overwrite_image_reader_writer": "SimpleITKIO",
        }
        return {f"{FOLDER}/dataset.json": (json.dumps(content, indent=2) + "\n").encode()}

    def read(self, root: Path, entry: SubjectEntry, phase: Phase, kind: Kind) -> NDArray:
        """Return one volume as stored; see `Store.read`."""
        entry.refuse_oversized()
        path = nifti_path(entry.id, phase, kind)
        decoded = entry.voxels * DTYPES[kind].itemsize + _VOXELS_AT
        raw = read_bytes(root, path, decoded + decoded // 1000 + 1024)  # what cannot be compressed grows a little
        return decode_nifti(raw, entry, kind, f"{root.name}/{path}")


def nifti_path(subject_id: str, phase: Phase, kind: Kind) -> str:
    """Return the path of a file inside the dataset; nnU-Net numbers the channels of images."""
    return f"{_FOLDERS[kind]}/{subject_id}_{phase}{'_0000' if kind == 'image' else ''}.nii.gz"


def encode_nifti(volume: NDArray, entry: SubjectEntry, kind: Kind) -> bytes:
    """Return the bytes of a `.nii.gz` file of one volume `(z, y, x)`; x runs fastest in both."""
    content = _header(entry, kind) + bytes(_VOXELS_AT - _HEADER.size) + volume.astype(DTYPES[kind]).tobytes()
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(content) + packer.flush()
    return _GZIP_START + packed + _GZIP_END.pack(zlib.crc32(content), len(content) & 0xFFFFFFFF)


def decode_nifti(raw: bytes, entry: SubjectEntry, kind: Kind, where: str) -> NDArray:
    """Return the volume of one `.nii.gz` file, at most as large as `entry` says.

    Raises
    ------
    DamageError
        If the stream does not end as it should, its CRC fails, or the header is not that of this volume.
    """
    expected = entry.voxels * DTYPES[kind].itemsize + _VOXELS_AT
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        content = unpacker.decompress(raw, expected + 1)
    except zlib.error as error:
        raise DamageError(f"{where}: changed since it was written ({error}).") from None
    if not unpacker.eof or unpacker.unused_data or raw[: len(_GZIP_START)] != _GZIP_START:
        raise DamageError(f"{where}: is not one whole gzip stream of {expected} bytes.")
    if len(content) != expected:
        raise DamageError(f"{where}: holds {len(content)} bytes, not the {expected} of shape {entry.shape}.")
    if _facts(content) != _facts(_header(entry, kind)):
        raise DamageError(f"{where}: its header is not that of a volume of shape {entry.shape}.")
    return np.frombuffer(bytearray(content), dtype=DTYPES[kind], offset=_VOXELS_AT).reshape(entry.shape)


def _facts(header: bytes) -> tuple:
    """Return what of a header decides how its voxels are read."""
    fields = _HEADER.unpack_from(header)
    size, dimensions, code, bits = fields[0], fields[7:15], fields[19], fields[20]
    return size, dimensions, code, bits, fields[30:33], fields[-1]


def _header(entry: SubjectEntry, kind: Kind) -> bytes:
    z, y, x = entry.shape
    affine = orthonormal(entry.affine_ras)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / spacing
    turned = -1.0 if np.linalg.det(axes) < 0 else 1.0
    axes[:, 2] *= turned
    quaternion = Rotation.from_matrix(axes).as_quat(canonical=True)[:3]
    scale, offset = (entry.intensity.scale, entry.intensity.offset) if kind == "image" else (1.0, 0.0)
    return _HEADER.pack(
        *(_HEADER.size, b"", b"", 0, 0, 0, 0),
        *(3, x, y, z, 1, 1, 1, 1),
        *(0.0, 0.0, 0.0, 0, _CODES[kind], 8 * DTYPES[kind].itemsize, 0),
        *(turned, *spacing, 0.0, 0.0, 0.0, 0.0),
        *(float(_VOXELS_AT), scale, offset, 0, 0, _MILLIMETRES),
        *(0.0, 0.0, 0.0, 0.0, 0, 0),
        *(b"synthetic", b"", _SCANNER, _SCANNER),
        *(*quaternion, *affine[:3, 3]),
        *affine[:3].ravel(),
        *(b"", _MAGIC),
    )


def orthonormal(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an affine whose axes are at right angles, as ITK wants them; one that has them comes back unchanged.

    The nearest rotation takes the place of the axes; spacing and origin stay. The record keeps the affine as it was.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / spacing
    if np.abs(axes.T @ axes - np.eye(3)).max() < 1e-6:
        return affine
    left, _, right = np.linalg.svd(axes)
    nearest = affine.copy()
    nearest[:3, :3] = left @ right * spacing
    return nearest
