"""NIfTI-1 volumes read to the last byte and validated, and written the same every time.

Common readers return data from damaged files: nibabel stops before the checksum of the gzip stream, ITK pads a
truncated file with zeros, and both accept spacings of zero or NaN. Here a file is read to its end, its
header is checked before any memory is asked for, and what cannot be right raises one `InputError` naming the file.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.volumes import Volume
from synthgen.whole_file import whole_file

Kind = Literal["image", "label"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MAX_FILE_BYTES = 2**30
MAX_VOXELS = 2**28  # a cine of 512 x 512 x 20 x 50
IN_PLANE_MM = (0.2, 5.0)
THROUGH_PLANE_MM = (0.5, 30.0)

_HEADER_BYTES = 348
_MAX_OFFSET = 2**20
_OBLONG = 2.0  # sides of a pixel, the longer by the shorter; more is a slice distance in the plane
_WHOLE = 1e-3  # reals saved under an integer header come back through a scale, beside whole numbers by its rounding
_FLAT = 1e-6  # determinant; that of the smallest voxel allowed is 0.02 mm^3, of unit columns 1
_GZIP = 31  # zlib's window bits for a gzip container
_MILLIMETRE_OR_UNKNOWN = (0, 2)


@dataclass(frozen=True)
class _Header:
    """What the header of a file says, checked."""

    shape: tuple[int, int, int, int]  # x, y, z, t
    dtype: np.dtype
    offset: int
    slope: float
    inter: float
    spacing_mm: tuple[float, float, float]  # x, y, z
    affine: NDArray[np.float64]

    @property
    def frame_bytes(self) -> int:
        return int(np.prod(self.shape[:3])) * self.dtype.itemsize

    @property
    def total_bytes(self) -> int:
        return self.offset + self.frame_bytes * self.shape[3]


def read_volume(path: Path, *, kind: Kind) -> Volume:
    """Read a file that holds one volume.

    Parameters
    ----------
    path
        `.nii` or `.nii.gz`.
    kind
        `image` gives float32 voxels with slope and offset applied; `label` gives uint8 and demands whole numbers, to
        within a thousandth.

    Raises
    ------
    InputError
        If the file is missing, damaged, not NIfTI-1, holds several frames, is larger than the caps, has an implausible
        geometry, or its voxels are NaN, infinite or (labels) not whole numbers from 0 to 255.
    """
    volumes = read_frames(path, kind=kind, frames=None)
    if len(volumes) != 1:
        raise InputError(path, expected="one volume", got=f"{len(volumes)} frames")
    return volumes[0]


def read_frames(path: Path, *, kind: Kind, frames: Sequence[int] | None) -> list[Volume]:
    """Read some frames (counted from 0) of a file with a time axis; all of them when `frames` is None.

    Raises
    ------
    InputError
        As `read_volume`, and if a frame does not exist.
    """
    header, payload = _load(path)
    count = header.shape[3]
    wanted = range(count) if frames is None else frames
    for frame in wanted:
        if not 0 <= frame < count:
            raise InputError(path, expected=f"frame {frame} (counted from 0)", got=f"{count} frames")
    return [_frame(path, header, payload, frame, kind) for frame in wanted]


def write_volume(path: Path, volume: Volume) -> None:
    """Write one volume. See `write_frames`."""
    write_frames(path, [volume])


def write_frames(path: Path, volumes: Sequence[Volume]) -> None:
    """Write volumes of one grid as one file: three axes for one volume, a time axis for several.

    Unsigned bytes are written as labels. Images become int16: exactly where they hold whole numbers that fit, otherwise
    on all its levels with slope and offset, so that one very bright voxel leaves enough of them to the others. The
    direction is orthonormalised and written as sform and qform of code 1. The same voxels give the same bytes; the file
    appears under its name only when it is whole.

    Raises
    ------
    InputError
        If the name is not `.nii` or `.nii.gz`, the grids differ, or a voxel is not finite.
    SynthgenError
        If the file system refuses to write.
    """
    first = volumes[0]
    if any(v.shape != first.shape or not np.allclose(v.affine, first.affine, atol=1e-4) for v in volumes):
        raise InputError(path, expected="frames on one grid", got="different shapes or affines")
    stack = np.stack([v.voxels for v in volumes])
    stored, slope, inter = _quantise(path, stack)
    array = stored.transpose(3, 2, 1, 0)
    affine = _orthonormal(first)
    image = nibabel.Nifti1Image(array[..., 0] if len(volumes) == 1 else array, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_slope_inter(slope, inter)
    head = io.BytesIO()
    image.header["vox_offset"] = _HEADER_BYTES + 4
    image.header["magic"] = b"n+1"
    image.header.write_to(head)
    data = head.getvalue().ljust(_HEADER_BYTES + 4, b"\0") + array.tobytes(order="F")
    if path.name.endswith(".nii.gz"):
        packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)  # no time stamp and no name in the container
        data = packer.compress(data) + packer.flush()
    elif path.suffix != ".nii":
        raise InputError(path, expected="a name that ends in .nii or .nii.gz", got=path.name)
    with whole_file(path) as staged:
        staged.write_bytes(data)


def _load(path: Path) -> tuple[_Header, bytes]:
    """Return the checked header and the decompressed file, read to the end of its stream."""
    if not path.is_file():
        raise InputError(path, expected="a NIfTI file", got="a folder or device" if path.exists() else "nothing there")
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(path, expected="a name that ends in .nii or .nii.gz", got=path.name)
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise InputError(path, expected=f"at most {MAX_FILE_BYTES} bytes", got=f"{size}")
    raw = path.read_bytes()
    if path.suffix != ".gz":
        header = _parse_header(path, raw[:_HEADER_BYTES])
        _check_length(path, header, len(raw))
        return header, raw
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:  # of one member or several, each with its checksum
            head = stream.read(_HEADER_BYTES)
            header = _parse_header(path, head)
            # One byte more than expected: a stream that goes on is noticed without being unpacked.
            body = stream.read(max(header.total_bytes - len(head), 0) + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(path, expected="a whole gzip stream", got=f"a damaged one ({error})") from error
    _check_length(path, header, len(head) + len(body))
    return header, head + body


def _check_length(path: Path, header: _Header, length: int) -> None:
    if length != header.total_bytes:
        more = "more" if length > header.total_bytes else f"{length}"
        raise InputError(path, expected=f"{header.total_bytes} bytes as its header says", got=more)


def _parse_header(path: Path, block: bytes) -> _Header:
    if len(block) < _HEADER_BYTES:
        raise InputError(path, expected="a NIfTI-1 header of 348 bytes", got=f"{len(block)} bytes")
    raw = nibabel.Nifti1Header(block, check=False)
    if int(raw["sizeof_hdr"]) != _HEADER_BYTES or bytes(raw["magic"].tobytes())[:3] != b"n+1":
        raise InputError(path, expected="a single-file NIfTI-1 header", got="another file type")
    shape = _parse_shape(path, [int(n) for n in raw["dim"]])
    dtype = _parse_dtype(path, raw)
    offset = float(raw["vox_offset"])
    if not (_HEADER_BYTES + 4 <= offset <= _MAX_OFFSET and offset.is_integer()):
        raise InputError(path, expected="voxels that start between byte 352 and 1 MiB", got=f"{offset}")
    slope, inter = float(raw["scl_slope"]), float(raw["scl_inter"])
    if np.isinf(slope) or (slope and np.isfinite(slope) and not np.isfinite(inter)):
        raise InputError(path, expected="a finite intensity scale", got=f"slope {slope}, offset {inter}")
    if slope == 0 or np.isnan(slope):  # both mean "unscaled"; nibabel itself writes NaN
        slope, inter = 1.0, 0.0
    if int(raw["xyzt_units"]) & 7 not in _MILLIMETRE_OR_UNKNOWN:
        raise InputError(path, expected="spacing in millimetres", got=f"unit code {int(raw['xyzt_units']) & 7}")
    x, y, z = (float(s) for s in raw["pixdim"][1:4])
    spacing = (x, y, z)
    _check_spacing(path, spacing)
    return _Header(shape, dtype, int(offset), slope, inter, spacing, _parse_affine(path, raw, np.array(spacing)))


def _parse_shape(path: Path, dim: list[int]) -> tuple[int, int, int, int]:
    axes = dim[0]
    if not 3 <= axes <= 7 or any(n < 1 for n in dim[1 : axes + 1]) or any(n > 1 for n in dim[5 : axes + 1]):
        raise InputError(path, expected="three axes, or four with time", got=f"dim {dim}")
    shape = (dim[1], dim[2], dim[3], dim[4] if axes >= 4 else 1)
    voxels = shape[0] * shape[1] * shape[2] * shape[3]
    if voxels > MAX_VOXELS:
        raise InputError(path, expected=f"at most {MAX_VOXELS} voxels", got=f"{voxels}")
    return shape


def _parse_dtype(path: Path, raw: nibabel.Nifti1Header) -> np.dtype:
    try:
        dtype = raw.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise InputError(path, expected="a known voxel type", got=f"code {int(raw['datatype'])}") from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InputError(path, expected="integer or real voxels", got=f"{dtype.name}")
    if int(raw["bitpix"]) != 8 * dtype.itemsize:
        bits = 8 * dtype.itemsize
        raise InputError(path, expected=f"{bits} bits per voxel of {dtype.name}", got=f"{int(raw['bitpix'])}")
    return dtype


def _check_spacing(path: Path, spacing: tuple[float, float, float]) -> None:
    """Refuse spacings `(x, y, z)` in mm that no short-axis stack has, and slices that lie along another axis."""
    got = " x ".join(f"{s:g}" for s in spacing) + " mm"
    x, y, z = spacing
    if min(spacing) > 0 and max(x, y) > max(_OBLONG * min(x, y), z):
        hint = "Slices must lie along the third axis: a program that reorders axes may have moved them"
        raise InputError(path, expected="the largest spacing between slices, the third", got=got, hint=hint)
    for value, (low, high) in zip(spacing, (IN_PLANE_MM, IN_PLANE_MM, THROUGH_PLANE_MM), strict=True):
        if not low <= value <= high:  # false for NaN too
            raise InputError(
                path,
                expected=f"{IN_PLANE_MM[0]} to {IN_PLANE_MM[1]} mm in plane and {THROUGH_PLANE_MM[0]} to "
                f"{THROUGH_PLANE_MM[1]} mm between slices",
                got=got,
            )


def _parse_affine(path: Path, raw: nibabel.Nifti1Header, spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine of the header, its columns scaled to pixdim.

    ACDC's files carry an sform of unit columns beside the true pixdim: directions without a scale. That one
    disagreement is understood; any other is an error.
    """
    try:
        affine = _stated_affine(raw)
    except (HeaderDataError, ValueError) as error:
        raise InputError(path, expected="a valid orientation", got=str(error)) from error
    columns = affine[:3, :3]
    norms = np.linalg.norm(columns, axis=0)
    if not np.isfinite(affine).all() or (norms < 1e-6).any():
        raise InputError(path, expected="a finite affine that is not singular", got=f"{affine[:3].tolist()}")
    directions = columns / norms
    if not np.allclose(directions.T @ directions, np.eye(3), atol=1e-3):
        raise InputError(path, expected="orthogonal voxel axes", got=f"{directions.round(4).tolist()}")
    if not np.allclose(norms, spacing, rtol=1e-3) and not np.allclose(norms, 1.0, rtol=1e-3):
        raise InputError(path, expected=f"affine columns of {spacing.tolist()} mm (pixdim)", got=f"{norms.tolist()} mm")
    out = affine.copy()
    out[:3, :3] = directions * spacing
    return out


def _stated_affine(raw: nibabel.Nifti1Header) -> NDArray[np.float64]:
    """Return the sform, or the qform where there is none; where the sform is flat (some set its code and no more) too.

    Raises
    ------
    HeaderDataError, ValueError
        What the header raises if its quaternion is none.
    """
    affine = np.asarray(raw.get_best_affine(), dtype=np.float64)
    with np.errstate(all="ignore"):  # of what is not finite nothing is less than
        flat = abs(np.linalg.det(affine[:3, :3])) < _FLAT
    return np.asarray(raw.get_qform(), dtype=np.float64) if flat and int(raw["qform_code"]) > 0 else affine


def _frame(path: Path, header: _Header, payload: bytes, frame: int, kind: Kind) -> Volume:
    start = header.offset + frame * header.frame_bytes
    count = int(np.prod(header.shape[:3]))
    flat = np.frombuffer(payload, dtype=header.dtype, count=count, offset=start)
    x, y, z = header.shape[:3]
    stored = flat.reshape(z, y, x)  # the file's first axis runs fastest
    voxels = _as_label(path, header, stored) if kind == "label" else _as_image(path, header, stored)
    return Volume(voxels, header.spacing_mm[::-1], header.affine)


def _as_image(path: Path, header: _Header, stored: NDArray) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
        if (header.slope, header.inter) == (1.0, 0.0):
            voxels = stored.astype(np.float32)
        else:  # in double precision: dark voxels are a small difference of two large numbers
            voxels = (stored.astype(np.float64) * header.slope + header.inter).astype(np.float32)
    if not np.isfinite(voxels).all():
        raise InputError(path, expected="finite intensities", got="NaN or infinite voxels")
    return voxels


def _as_label(path: Path, header: _Header, stored: NDArray) -> NDArray[np.uint8]:
    values = stored
    if (header.slope, header.inter) != (1.0, 0.0):
        values = stored * header.slope + header.inter
    whole = np.rint(values)
    low, high = float(whole.min()), float(whole.max())
    if not (low >= 0 and high <= 255):  # false for NaN too
        raise InputError(path, expected="labels from 0 to 255", got=f"{low:g} to {high:g}")
    broken = np.abs(values - whole) > _WHOLE
    if broken.any():
        raise InputError(path, expected="labels that are whole numbers", got=f"{values[broken].flat[0]:.7g}")
    return whole.astype(np.uint8)


def _quantise(path: Path, stack: NDArray) -> tuple[NDArray, float, float]:
    """Return what to store, and slope and offset that lead back."""
    if stack.dtype == np.uint8:
        return stack, 1.0, 0.0
    if not np.isfinite(stack).all():
        raise InputError(path, expected="finite voxels", got="NaN or infinite voxels")
    low, high = min(float(stack.min()), 0.0), float(stack.max())
    if low >= -32768 and high <= 32767 and np.array_equal(stack, np.rint(stack)):
        return stack.astype("<i2"), 1.0, 0.0
    first, last = np.iinfo(np.int16).min, np.iinfo(np.int16).max
    base = np.float32(low)
    slope = np.float32(max((high - float(base)) / (last - first), 1e-30))
    inter = base - first * slope  # as the header holds them: a power of 2 apart, so that a black of 0 stays 0
    stored = np.rint((stack.astype(np.float64) - float(inter)) / float(slope))
    return stored.clip(first, last).astype("<i2"), float(slope), float(inter)


def _orthonormal(volume: Volume) -> NDArray[np.float64]:
    left, _, right = np.linalg.svd(volume.affine[:3, :3] / np.asarray(volume.spacing_mm[::-1]))
    affine = volume.affine.copy()
    affine[:3, :3] = (left @ right) * np.asarray(volume.spacing_mm[::-1])
    return affine
