"""One grid and one intensity scale for everything that is learnt from.

In ACDC the slice spacing and the intensity scale of a volume tell its class (measured: every ARV volume is scaled to 8
bits, no other class always is). Resampling in plane and normalising each subject by its own percentiles takes that
shortcut away; clinical indices are measured before, on the labels as they were drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.indices import Indices, measure
from synthgen.labels import Pathology, Phase, Tissue, Vendor
from synthgen.subjects import Body, SourceSubject
from synthgen.volumes import Volume

PERCENTILES = (1.0, 99.0)

FIELD_OF_VIEW_MM = 192.0
"""Edge of the square that is learnt and written, in plane: 128 pixels of 1.5 mm."""


@dataclass(frozen=True, kw_only=True)
class PreparedSubject:
    """A subject on the common grid.

    Attributes
    ----------
    images
        Float32 `(z, pixels, pixels)` in [-1, 1] by phase.
    labels
        Uint8 `(z, pixels, pixels)` in the codes of `Tissue` by phase.
    spacing_mm
        Along `(z, y, x)`; z is the subject's own.
    affine
        Of the cropped grid, from voxel index `(x, y, z)` to RAS+ millimetres.
    indices
        Measured on the labels before resampling.
    """

    subject_id: str
    pathology: Pathology
    vendor: Vendor
    body: Body | None
    images: Mapping[Phase, NDArray[np.float32]]
    labels: Mapping[Phase, NDArray[np.uint8]]
    spacing_mm: tuple[float, float, float]
    affine: NDArray[np.float64]
    indices: Indices


@dataclass(frozen=True)
class _Axis:
    """How one in-plane axis is sampled: weights `(pixels, source)` on the source slice `first:last`, and the origin."""

    weights: NDArray[np.float32]
    inside: NDArray[np.bool_]
    first: int
    last: int
    origin: float


def prepare(
    subject: SourceSubject, *, pixels: int = 128, spacing_mm: float = 1.5, whole_pixels: bool = False
) -> PreparedSubject:
    """Bring a subject to the common grid.

    In plane: a window of `pixels` squared at `spacing_mm`, centred on the centroid of the heart of both phases;
    linear interpolation, widened to the source's pixels when it coarsens; labels take the class of the largest linear
    weight. Slices stay as they are. Intensities: the 1st and 99th percentile of both phases together, inside the window
    and the field of view, become -1 and 1; what lies outside the field of view becomes -1 and background.

    With `whole_pixels`, a subject whose pixels have the wanted size already is not interpolated again, which would
    smooth its noise: the window moves by less than half a pixel instead.

    Raises
    ------
    InputError
        If the phases have different spacings, no heart is labelled, or the image is constant.
    """
    ed = subject.labels[Phase.ED]
    for volume in (*subject.images.values(), *subject.labels.values()):
        if not np.allclose(volume.spacing_mm, ed.spacing_mm, rtol=1e-3):
            got = f"{volume.spacing_mm} mm"
            raise InputError(subject.subject_id, expected=f"one spacing, {ed.spacing_mm} mm", got=got)
    centre_y, centre_x = _heart_centre(subject)
    if whole_pixels and np.allclose(ed.spacing_mm[1:], spacing_mm, rtol=1e-6):
        half = (pixels - 1) / 2
        centre_y, centre_x = (round(centre - half) + half for centre in (centre_y, centre_x))
    rows = _axis(ed.shape[1], ed.spacing_mm[1], centre_y, pixels, spacing_mm)
    columns = _axis(ed.shape[2], ed.spacing_mm[2], centre_x, pixels, spacing_mm)
    images = {phase: _sample(subject.images[phase].voxels, rows, columns) for phase in Phase}
    inside = rows.inside[:, None] & columns.inside[None]
    return PreparedSubject(
        subject_id=subject.subject_id,
        pathology=subject.pathology,
        vendor=subject.vendor,
        body=subject.body,
        images=_normalise(subject.subject_id, images, inside),
        labels={phase: _sample_labels(subject.labels[phase].voxels, rows, columns) for phase in Phase},
        spacing_mm=(ed.spacing_mm[0], spacing_mm, spacing_mm),
        affine=_window_affine(ed, rows.origin, columns.origin, spacing_mm),
        indices=measure(subject.labels, subject.body),
    )


def _heart_centre(subject: SourceSubject) -> tuple[float, float]:
    """Return the centroid `(y, x)` of the heart of both phases, in source pixels."""
    by_row: NDArray[np.float64] = np.zeros(1)
    by_column: NDArray[np.float64] = np.zeros(1)
    for label in subject.labels.values():
        heart = (label.voxels >= Tissue.LV) & (label.voxels <= Tissue.RV)
        by_row = by_row + heart.sum(axis=(0, 2))
        by_column = by_column + heart.sum(axis=(0, 1))
    total = by_row.sum()
    if total == 0:
        raise InputError(subject.subject_id, expected="a labelled heart", got="labels without one")
    return float(by_row @ np.arange(by_row.size) / total), float(by_column @ np.arange(by_column.size) / total)


def _axis(count: int, source_mm: float, centre: float, pixels: int, target_mm: float) -> _Axis:
    """Return triangular interpolation weights from `count` source pixels to the window around `centre`."""
    step = target_mm / source_mm
    positions = centre + (np.arange(pixels) - (pixels - 1) / 2) * step
    width = max(step, 1.0)
    first = int(np.clip(np.floor(positions[0] - width), 0, count - 1))
    last = int(np.clip(np.ceil(positions[-1] + width) + 1, first + 1, count))
    distance = np.abs(np.arange(first, last)[None] - positions[:, None])
    weights = np.maximum(1.0 - distance / width, 0.0)
    inside = (positions >= -0.5) & (positions <= count - 0.5)
    total = weights.sum(axis=1, keepdims=True)
    normal = np.where(inside[:, None] & (total > 0), weights / np.maximum(total, 1e-6), 0.0).astype(np.float32)
    return _Axis(normal, inside, first, last, float(positions[0]))


def _sample(voxels: NDArray, rows: _Axis, columns: _Axis) -> NDArray[np.float32]:
    window = voxels[:, rows.first : rows.last, columns.first : columns.last].astype(np.float32)
    return np.asarray(rows.weights @ window @ columns.weights.T, dtype=np.float32)


def _sample_labels(voxels: NDArray[np.uint8], rows: _Axis, columns: _Axis) -> NDArray[np.uint8]:
    """Return the class of largest weight; outside the field of view all weights are zero and background wins."""
    present = [int(code) for code in np.flatnonzero(np.bincount(voxels.ravel())) if code != Tissue.BACKGROUND]
    out = np.zeros((len(voxels), len(rows.weights), len(columns.weights)), np.uint8)
    whole: NDArray[np.float32] = rows.weights.sum(axis=1)[:, None] * columns.weights.sum(axis=1)[None]
    best = np.repeat(whole[None], len(out), axis=0)
    shares = {code: _sample(voxels == code, rows, columns) for code in present}
    for share in shares.values():
        best -= share  # what is left is the weight of the background
    for code, share in shares.items():
        wins = share > best
        out[wins] = code
        np.maximum(best, share, out=best)
    return out


def _normalise(
    name: str, images: Mapping[Phase, NDArray[np.float32]], inside: NDArray[np.bool_]
) -> dict[Phase, NDArray[np.float32]]:
    seen = np.concatenate([image[:, inside].ravel() for image in images.values()])
    low, high = (float(value) for value in np.percentile(seen, PERCENTILES))
    if not high > low:
        raise InputError(name, expected="an image with contrast", got=f"1st and 99th percentile both {low:g}")
    out = {}
    for phase, image in images.items():
        scaled = np.clip((image - low) * (2.0 / (high - low)) - 1.0, -1.0, 1.0).astype(np.float32)
        scaled[:, ~inside] = -1.0
        out[phase] = scaled
    return out


def _window_affine(source: Volume, origin_y: float, origin_x: float, spacing_mm: float) -> NDArray[np.float64]:
    affine = source.affine.copy()
    affine[:3, 3] += affine[:3, 0] * origin_x + affine[:3, 1] * origin_y
    affine[:3, 0] *= spacing_mm / source.spacing_mm[2]
    affine[:3, 1] *= spacing_mm / source.spacing_mm[1]
    return affine
