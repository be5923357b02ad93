"""Every stack brought to one way of lying: base first, right ventricle to the left of the left, front of the body up.

Only flips and exchanges of the in-plane axes are made, so no voxel changes, and the affine follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.labels import Tissue
from synthgen.volumes import Volume

# Base to apex in RAS for an average heart: azimuth 45 degrees, elevation 34 degrees (Foster and Engblom 2005).
_TYPICAL_AXIS = np.array([-0.586, 0.586, -0.559])
_PLAUSIBLE_COSINE = 0.65  # within 49.5 degrees hearts lie; an axial default, 124 or turned round 56 away, says nothing
_USUAL_RV_ANGLE = np.deg2rad(160.0)  # of RV seen from LV in ACDC, x right and y down: left and a little lower


@dataclass(frozen=True)
class Move:
    """Flips and an exchange of axes; applied in the order of the fields."""

    flip_z: bool = False
    swap_xy: bool = False
    flip_y: bool = False
    flip_x: bool = False

    def apply(self, volume: Volume) -> Volume:
        """Return the volume with its axes turned and its affine following."""
        voxels, affine, spacing = volume.voxels, volume.affine.copy(), volume.spacing_mm
        if self.swap_xy:
            voxels = voxels.swapaxes(1, 2)
            affine[:, [0, 1]] = affine[:, [1, 0]]
            spacing = (spacing[0], spacing[2], spacing[1])
        for axis, flip in enumerate((self.flip_z, self.flip_y, self.flip_x)):
            if flip:
                voxels = np.flip(voxels, axis)
                column = 2 - axis
                affine[:3, 3] += affine[:3, column] * (voxels.shape[axis] - 1)
                affine[:3, column] *= -1
        return Volume(np.ascontiguousarray(voxels), spacing, affine)

    def undo(self, voxels: NDArray) -> NDArray:
        """Return voxels `(z, y, x)` of a moved volume as they lay before."""
        for axis, flip in enumerate((self.flip_z, self.flip_y, self.flip_x)):
            if flip:
                voxels = np.flip(voxels, axis)
        return np.ascontiguousarray(voxels.swapaxes(1, 2) if self.swap_xy else voxels)


def find_move(name: str, ed: Volume, es: Volume) -> Move:
    """Decide how a subject must be turned.

    The larger end of the heart is the base. If the affine then puts base to apex where hearts point, the affine also
    says where left and feet are, and the nearest in-plane axes are taken. Otherwise (ACDC's affines are a default) the
    stack is left as it lies when the right ventricle is on the left, and else turned to where it usually is.

    Parameters
    ----------
    name
        For the message of an error.
    ed, es
        Labels in the codes of `Tissue`, on one grid.

    Raises
    ------
    InputError
        If a trusted affine puts the right ventricle to the right of the left one: the stack is mirrored.
    """
    areas = sum(((v.voxels >= Tissue.LV) & (v.voxels <= Tissue.RV)).sum(axis=(1, 2)) for v in (ed, es))
    flip_z = _apex_first(np.asarray(areas))
    axis = ed.affine[:3, 2] * (-1 if flip_z else 1) / ed.spacing_mm[0]
    trusted = float(axis @ _TYPICAL_AXIS) >= _PLAUSIBLE_COSINE
    move = _nearest_axes(ed.affine, axis, flip_z=flip_z) if trusted else _by_right_ventricle(ed, flip_z=flip_z)
    if _rv_offset(move.apply(ed))[0] >= 0:
        raise InputError(
            name,
            expected="the right ventricle on the patient's right, as the affine of the file says",
            got="it on the left",
            hint="Image, label or affine is mirrored",
        )
    return move


def pose_by_affine(image: Volume) -> Move:
    """Return the in-plane move that an image's own affine asks for; none if it does not point where hearts point.

    For images without labels, whose slices may run either way: a direction within about 50 degrees of the typical axis
    is that of a scanner and says where left and feet are; any other (ACDC's) is a default, and the stack stays.
    """
    axis = image.affine[:3, 2] / image.spacing_mm[0]
    axis = axis if float(axis @ _TYPICAL_AXIS) >= 0 else -axis
    if float(axis @ _TYPICAL_AXIS) < _PLAUSIBLE_COSINE:
        return Move()
    return _nearest_axes(image.affine, axis, flip_z=False)


def _apex_first(areas: NDArray[np.int64]) -> bool:
    """Return whether the second half of the slices that hold heart is the larger one."""
    inside = np.flatnonzero(areas)
    half = len(inside) // 2
    return half > 0 and bool(areas[inside[-half:]].sum() > areas[inside[:half]].sum())


def _nearest_axes(affine: NDArray[np.float64], axis: NDArray[np.float64], *, flip_z: bool) -> Move:
    """Return the move whose in-plane axes are nearest to image right and image down of a short-axis view."""
    feet = np.array([0.0, 0.0, -1.0])
    down = feet - (feet @ axis) * axis
    down /= np.linalg.norm(down)
    right = np.cross(axis, down)
    columns = affine[:3, :2] / np.linalg.norm(affine[:3, :2], axis=0)

    def agreement(move: Move) -> float:
        x, y = columns.T[::-1] if move.swap_xy else columns.T
        return float(x @ right * (-1 if move.flip_x else 1) + y @ down * (-1 if move.flip_y else 1))

    return max(_moves(flip_z=flip_z), key=agreement)


def _by_right_ventricle(ed: Volume, *, flip_z: bool) -> Move:
    stay = Move(flip_z=flip_z)
    if _rv_offset(stay.apply(ed))[0] < 0:
        return stay

    def distance(move: Move) -> float:
        right, down = _rv_offset(move.apply(ed))
        return abs(float(np.angle(np.exp(1j * (np.arctan2(down, right) - _USUAL_RV_ANGLE)))))

    return min(_moves(flip_z=flip_z), key=distance)


def _moves(*, flip_z: bool) -> list[Move]:
    return [Move(flip_z, swap, y, x) for swap, y, x in product((False, True), repeat=3)]


def _rv_offset(label: Volume) -> tuple[float, float]:
    """Return where the RV lies from the LV with its wall, `(right, down)` in mm; mean over slices with both."""
    offsets = []
    for plane in label.voxels:
        rv = plane == Tissue.RV
        lv = (plane == Tissue.LV) | (plane == Tissue.MYO)
        if rv.any() and lv.any():
            y, x = (np.argwhere(rv).mean(axis=0) - np.argwhere(lv).mean(axis=0)) * label.spacing_mm[1:]
            offsets.append((x, y))
    right, down = np.mean(offsets, axis=0) if offsets else (-1.0, 0.0)
    return float(right), float(down)
