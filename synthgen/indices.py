"""Clinical indices measured on a pair of short-axis label maps: volumes, ejection fractions, mass, wall thickness.

Volumes follow the method of discs (voxel counts times voxel volume) with papillary muscles in the cavity, as ACDC is
contoured (Bernard et al. 2018, doi 10.1109/TMI.2018.2837502). Wall thickness is taken in angular sectors around the
cavity's centroid and grouped into the 16 ring segments of the American Heart Association model (Cerqueira et al. 2002,
doi 10.1161/hc0402.102975); the septum lies between the two insertions of the right ventricle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.labels import Phase, Tissue
from synthgen.subjects import Body
from synthgen.volumes import Volume

MYOCARDIUM_G_PER_ML = 1.05
THICK_WALL_MM = 15.0

_SECTORS = 24  # divides the segments of 60 degrees (basal, mid) and of 90 degrees (apical) evenly
_RING_COVERAGE = 0.75  # a basal ring may be open at the outflow tract; less than this is no ring
_SMALLEST_CAVITY = 0.10  # of the largest cavity area; below, a radial wall is a cut through the apical cap
_SEGMENTS_OF_LEVEL = (6, 6, 4)


@dataclass(frozen=True, kw_only=True)
class Indices:
    """What a reader measures on a cine study. NaN where it cannot be measured (no body size, no ring, no cavity).

    Attributes
    ----------
    wall_ed_basal_mm, wall_ed_mid_mm, wall_ed_apical_mm
        Mean wall thickness of each third of the stack, base to apex.
    wall_ed_max_mm, wall_es_max_mm
        Largest slice mean.
    wall_ed_segment_max_mm
        Largest mean of one of the 16 segments.
    segments_over_15mm
        Number of the 16 segments whose ED mean exceeds 15 mm.
    lv_edvi_ml_m2, rv_edvi_ml_m2, lv_mass_index_g_m2
        ED values per body surface area.
    """

    lv_edv_ml: float
    lv_esv_ml: float
    lv_sv_ml: float
    lv_ef_percent: float
    rv_edv_ml: float
    rv_esv_ml: float
    rv_sv_ml: float
    rv_ef_percent: float
    lv_mass_ed_g: float
    lv_mass_es_g: float
    wall_ed_basal_mm: float
    wall_ed_mid_mm: float
    wall_ed_apical_mm: float
    wall_ed_max_mm: float
    wall_ed_segment_max_mm: float
    segments_over_15mm: float
    wall_es_mean_mm: float
    wall_es_max_mm: float
    bsa_m2: float
    lv_edvi_ml_m2: float
    rv_edvi_ml_m2: float
    lv_mass_index_g_m2: float

    def as_dict(self) -> dict[str, float]:
        """Return the indices by name, in the order of declaration."""
        return asdict(self)


@dataclass(frozen=True)
class Wall:
    """Wall thickness of one phase in millimetres.

    Attributes
    ----------
    sectors
        `(rings, 24)`; sector 0 starts at the middle of the septum. NaN where a sector holds no myocardium.
    slices
        z index of each ring, base first.
    """

    sectors: NDArray[np.float64]
    slices: NDArray[np.intp]

    @property
    def slice_means(self) -> NDArray[np.float64]:
        """Mean thickness of each ring."""
        return np.nanmean(self.sectors, axis=1) if len(self.sectors) else np.empty(0)

    def levels(self) -> NDArray[np.float64]:
        """Return the mean thickness at base, mid-cavity and apex; an unmeasured level takes the mean of the others."""
        if not len(self.sectors):
            return np.full(3, np.nan)
        level, means = self._level_of_ring(), self.slice_means
        found = np.array([means[level == i].mean() if (level == i).any() else np.nan for i in range(3)])
        return np.where(np.isnan(found), np.nanmean(found), found)

    def segments(self) -> NDArray[np.float64]:
        """Return the thickness of the 16 segments: 6 basal, 6 mid, 4 apical; NaN where none was measured."""
        out: list[float] = []
        level = self._level_of_ring()
        for index, count in enumerate(_SEGMENTS_OF_LEVEL):
            rows = self.sectors[level == index]
            # Septal segments of 60 degrees meet at the middle of the septum; of 90 degrees one is centred on it.
            turn = 0 if count == _SEGMENTS_OF_LEVEL[0] else _SECTORS // count // 2
            parts = np.roll(rows, turn, axis=1).reshape(len(rows), count, _SECTORS // count)
            valid = np.isfinite(parts)
            number = valid.sum(axis=(0, 2))
            total = np.where(valid, parts, 0.0).sum(axis=(0, 2))
            out.extend(np.where(number > 0, total / np.maximum(number, 1), np.nan))
        return np.array(out)

    def _level_of_ring(self) -> NDArray[np.intp]:
        count = len(self.slices)
        return (3 * (np.arange(count) + 0.5) / max(count, 1)).astype(np.intp)


def heart_digest(indices: Indices) -> str:
    """Return the SHA-256 of a heart's volumes, by which it is known again in another folder, format or orientation.

    To a hundredth of an ml or g; of the heart as labelled, before any resampling.
    """
    drawn = (
        indices.lv_edv_ml, indices.lv_esv_ml, indices.rv_edv_ml, indices.rv_esv_ml, indices.lv_mass_ed_g,
        indices.lv_mass_es_g,
    )  # fmt: skip
    return hashlib.sha256(" ".join(f"{value:.2f}" for value in drawn).encode()).hexdigest()


def measure(labels: Mapping[Phase, Volume], body: Body | None) -> Indices:
    """Measure the indices of one subject.

    Parameters
    ----------
    labels
        ED and ES label maps in the codes of `Tissue`, z index 0 at the base. Codes above 3 count as background.
    body
        Body size for the indexed values; None makes them NaN.

    Raises
    ------
    InputError
        If a phase is missing.
    """
    for phase in Phase:
        if phase not in labels:
            raise InputError("labels", expected=f"a label map at {phase}", got="none")
    ed, es = (_volumes_ml(labels[phase]) for phase in (Phase.ED, Phase.ES))
    wall_ed, wall_es = wall(labels[Phase.ED]), wall(labels[Phase.ES])
    basal, mid, apical = wall_ed.levels()
    segments = wall_ed.segments()
    area = body.surface_m2 if body is not None else float("nan")
    mass = ed[Tissue.MYO] * MYOCARDIUM_G_PER_ML
    return Indices(
        lv_edv_ml=ed[Tissue.LV],
        lv_esv_ml=es[Tissue.LV],
        lv_sv_ml=ed[Tissue.LV] - es[Tissue.LV],
        lv_ef_percent=_ejection_fraction(ed[Tissue.LV], es[Tissue.LV]),
        rv_edv_ml=ed[Tissue.RV],
        rv_esv_ml=es[Tissue.RV],
        rv_sv_ml=ed[Tissue.RV] - es[Tissue.RV],
        rv_ef_percent=_ejection_fraction(ed[Tissue.RV], es[Tissue.RV]),
        lv_mass_ed_g=mass,
        lv_mass_es_g=es[Tissue.MYO] * MYOCARDIUM_G_PER_ML,
        wall_ed_basal_mm=float(basal),
        wall_ed_mid_mm=float(mid),
        wall_ed_apical_mm=float(apical),
        wall_ed_max_mm=_largest(wall_ed.slice_means),
        wall_ed_segment_max_mm=_largest(segments),
        segments_over_15mm=float(np.count_nonzero(segments > THICK_WALL_MM)),
        wall_es_mean_mm=float(wall_es.slice_means.mean()) if len(wall_es.slices) else float("nan"),
        wall_es_max_mm=_largest(wall_es.slice_means),
        bsa_m2=area,
        lv_edvi_ml_m2=ed[Tissue.LV] / area,
        rv_edvi_ml_m2=ed[Tissue.RV] / area,
        lv_mass_index_g_m2=mass / area,
    )


def wall(label: Volume) -> Wall:
    """Measure wall thickness ring by ring.

    In a sector of angle w around the cavity's centroid, cavity area A and myocardial area M give the radii
    sqrt(2A/w) and sqrt(2(A+M)/w); their difference is the thickness. Areas average out the staircase of the voxels.
    Slices with less than three quarters of a ring, or with less than a tenth of the largest cavity, are left out.
    """
    crop = _heart_box(label.voxels)
    count = len(crop)
    cavity_area = (crop == Tissue.LV).sum(axis=(1, 2))
    z, y, x = np.nonzero((crop == Tissue.LV) | (crop == Tissue.MYO))
    is_cavity = crop[z, y, x] == Tissue.LV
    step_y, step_x = label.spacing_mm[1:]
    number = np.maximum(cavity_area, 1)
    centre_y = np.bincount(z[is_cavity], y[is_cavity], count) / number
    centre_x = np.bincount(z[is_cavity], x[is_cavity], count) / number
    septum = _septum_angle(crop, centre_y, centre_x, (step_y, step_x))
    angle = np.arctan2((y - centre_y[z]) * step_y, (x - centre_x[z]) * step_x) - septum
    sector = np.floor(angle / (2 * np.pi) * _SECTORS).astype(np.intp) % _SECTORS
    cell = z * _SECTORS + sector
    cavity = np.bincount(cell[is_cavity], minlength=count * _SECTORS).reshape(count, _SECTORS)
    muscle = np.bincount(cell[~is_cavity], minlength=count * _SECTORS).reshape(count, _SECTORS)
    scale = step_y * step_x * _SECTORS / np.pi
    thickness = np.sqrt((cavity + muscle) * scale) - np.sqrt(cavity * scale)
    covered = muscle > 0
    is_ring = (covered.mean(axis=1) >= _RING_COVERAGE) & (cavity_area >= _SMALLEST_CAVITY * cavity_area.max(initial=0))
    rings = np.flatnonzero(is_ring & (cavity_area > 0))
    return Wall(np.where(covered, thickness, np.nan)[rings], rings)


def _volumes_ml(label: Volume) -> list[float]:
    counts = np.bincount(label.voxels.ravel(), minlength=len(Tissue))
    return [float(n * label.voxel_ml) for n in counts]


def _ejection_fraction(edv: float, esv: float) -> float:
    return 100.0 * (edv - esv) / edv if edv > 0 else float("nan")


def _largest(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else float("nan")


def _heart_box(voxels: NDArray) -> NDArray:
    """Return the in-plane box around LV, MYO and RV with a margin of one voxel; the box of measurement, all z kept."""
    heart = (voxels >= Tissue.LV) & (voxels <= Tissue.RV)
    rows, columns = (np.flatnonzero(heart.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    if not rows.size:
        return voxels[:, :1, :1]
    return voxels[:, max(rows[0] - 1, 0) : rows[-1] + 2, max(columns[0] - 1, 0) : columns[-1] + 2]


def _septum_angle(
    crop: NDArray, centre_y: NDArray[np.float64], centre_x: NDArray[np.float64], step: tuple[float, float]
) -> float:
    """Return the angle of the middle of the septum: halfway between the two RV insertions, pooled over the stack."""
    rv, muscle = crop == Tissue.RV, crop == Tissue.MYO
    touches = np.zeros_like(rv)
    touches[:, 1:] |= rv[:, :-1]
    touches[:, :-1] |= rv[:, 1:]
    touches[:, :, 1:] |= rv[:, :, :-1]
    touches[:, :, :-1] |= rv[:, :, 1:]
    z, y, x = np.nonzero(touches & muscle)
    has_cavity = (centre_y[z] > 0) | (centre_x[z] > 0)
    z, y, x = z[has_cavity], y[has_cavity], x[has_cavity]
    if not z.size:
        return np.pi  # no right ventricle: it would lie to the left in the standard orientation
    direction = np.exp(1j * np.arctan2((y - centre_y[z]) * step[0], (x - centre_x[z]) * step[1]))
    middle = np.angle(direction.sum())
    # Two per cent on either side guard against a stray contact voxel.
    first, last = np.percentile(np.angle(direction * np.exp(-1j * middle)), (2.0, 98.0))
    return float(middle + (first + last) / 2)
