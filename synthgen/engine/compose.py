"""Putting a new heart into a donor's body: the body follows the heart, nothing is vacant, nothing overlaps.

Every output slice takes a donor's slice of about the same normalised level between base and apex. Around the heart the
donor's tissues are moved radially, so that the donor's heart outline comes to lie on the new one and right-ventricular
wall, epicardial fat and pericardium stay around the heart; the movement fades to nothing some centimetres away. What
lies a centimetre and more beyond the heart at end-diastole stands still while it beats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthgen.engine.donors import Donor
from synthgen.factors.codes import HeartCodes, imposed, structures_of
from synthgen.factors.latents import heart_range
from synthgen.labels import HEART, Phase, Tissue

FADE_MM = 30.0
_ANGLES = 180
_RADIAL_STEP = 0.5
_SMOOTHING = 1.5  # angular bins of 2 degrees; the outline of a pixel map is a staircase
_FADE_PER_MOVE = 2.5  # the fade of a smoothstep is monotone above 1.5 times the movement

_STANDS_STILL_FROM = 1 / 3
"""From where on beyond the heart at end-diastole the body does not move with its beat, in parts of `FADE_MM`."""

_Point = NDArray[np.float64]


def compose(hearts: NDArray[np.uint8], donor: Donor, *, with_body: bool) -> dict[Phase, NDArray[np.uint8]]:
    """Put the heart of both phases into the donor's body.

    Parameters
    ----------
    hearts
        `(2 phases, slices, H, W)`, codes 0 to 3.
    donor
        Whose body; its in-plane grid is that of `hearts`. Slices beyond its heart are kept on either side.
    with_body
        False where only heart labels are known: everything else is background.

    Returns
    -------
    labels
        `(slices + margins, H, W)` per phase; where `hearts` is not 0, it is `hearts`.
    """
    part, spacing_mm = donor.heart, donor.spacing_mm[1]
    bodies = np.stack([donor.labels[phase] for phase in Phase])
    before, behind = ((bodies if with_body else np.zeros_like(bodies))[:, own] for own in _beyond(part))
    origins = _origins(hearts, bodies, part, FADE_MM / spacing_mm) if with_body else None
    out = {}
    for number, phase in enumerate(Phase):
        middle = hearts[number]
        if origins is not None:
            found = zip(middle, origins[number], strict=True)
            middle = np.stack([_with_heart(heart, origin.take(bodies[number])) for heart, origin in found])
        out[phase] = np.concatenate([before[number], middle, behind[number]])
    return out


def compose_factors(
    hearts: NDArray[np.uint8], codes: NDArray[np.uint8], heart: HeartCodes, spacing_mm: float
) -> dict[Phase, NDArray[np.uint8]]:
    """Put the heart of both phases into a subject's factors, as `compose` puts it into label maps.

    Parameters
    ----------
    hearts
        `(2 phases, slices, H, W)`, codes 0 to 3.
    codes
        `(2 phases, z, H, W)`, channel numbers of the subject whose body it is.
    heart
        Which channels show its heart.

    Returns
    -------
    codes
        Per phase, on the grid of what `compose` returns for the same subject.
    """
    bodies = structures_of(codes, heart)
    part, out = heart_range(list(bodies)), {}
    origins = _origins(hearts, bodies, part, FADE_MM / spacing_mm)
    for number, phase in enumerate(Phase):
        found = zip(hearts[number], origins[number], strict=True)
        planes = [imposed(origin.take(codes[number]), new, heart) for new, origin in found]
        out[phase] = np.stack([*codes[number, : part.start], *planes, *codes[number, part.stop :]])
    return out


def donor_slices(hearts: NDArray[np.uint8], body: NDArray[np.uint8], part: slice) -> NDArray[np.intp]:
    """Return for each heart slice the donor's slice of `part` that surrounds it best.

    It is the one at the same normalised level, or, where only one of the two shows the left ventricle or its
    myocardium (the base descends in systole), the nearest that agrees.
    """
    last = part.stop - part.start - 1
    level = np.linspace(0.0, last, len(hearts))
    shown, present = _left_ventricle(hearts), _left_ventricle(body[part])
    distance = np.abs(np.arange(last + 1) - np.rint(level)[:, None])
    agrees = (shown[:, None] == present).all(axis=2)
    return part.start + np.argmin(np.where(agrees, distance, distance + last + 1), axis=1)


def compose_slice(heart: NDArray[np.uint8], body: NDArray[np.uint8], fade: float) -> NDArray[np.uint8]:
    """Put one heart slice `(H, W)` into one body slice; `fade` is the reach of the movement in pixels."""
    is_new, is_old = heart > 0, np.isin(body, HEART)
    if not is_new.any() and not is_old.any():
        return body.copy()
    return _with_heart(heart, body[_warp(is_new, is_old, fade).pixels])


def _with_heart(heart: NDArray[np.uint8], moved: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put a heart slice into a body slice whose tissues have been moved out of its way."""
    is_new, left_over = heart > 0, np.isin(moved, HEART)
    if (left_over & ~is_new).any() and not left_over.all():
        # The outline is radial; what it misses in a concavity takes the nearest tissue that is not heart.
        near = ndimage.distance_transform_edt(left_over, return_distances=False, return_indices=True)
        moved = moved[near[0], near[1]]
    elif left_over.all():
        moved = np.zeros_like(moved)
    return np.where(is_new, heart, moved)


def outline(mask: NDArray[np.bool_], centre: _Point) -> NDArray[np.float64]:
    """Return the distance in pixels from `centre` (y, x) to the outermost pixel of `mask` in 180 directions.

    Direction k is at `2 pi k / 180` from +x towards +y. 0 where a ray meets nothing.
    """
    y, x = np.nonzero(mask)
    farthest = np.hypot(y - centre[0], x - centre[1]).max(initial=0.0)
    radii = np.arange(0.0, farthest + 2.0, _RADIAL_STEP)
    angle = 2 * np.pi * np.arange(_ANGLES) / _ANGLES
    y = np.rint(centre[0] + np.sin(angle)[:, None] * radii).astype(np.intp)
    x = np.rint(centre[1] + np.cos(angle)[:, None] * radii).astype(np.intp)
    inside = (y >= 0) & (y < mask.shape[0]) & (x >= 0) & (x < mask.shape[1])
    hit = inside & mask[np.where(inside, y, 0), np.where(inside, x, 0)]
    outermost = hit.shape[1] - 1 - np.argmax(hit[:, ::-1], axis=1)
    radius = np.where(hit.any(axis=1), radii[outermost] + _RADIAL_STEP, 0.0)
    return ndimage.gaussian_filter1d(radius, _SMOOTHING, mode="wrap")


def radial_source(
    radius: NDArray[np.float64], new: NDArray[np.float64], old: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the tissue at `radius` comes from, and the weight of the movement there (1 at the heart, 0 afar).

    The heart's outline at radius `new` takes the tissue at `old`; the map is monotone if `reach` exceeds 1.5 times
    their difference.
    """
    along = np.clip((radius - new) / reach, 0.0, 1.0)
    weight = 1.0 - along * along * (3.0 - 2.0 * along)
    within = radius <= new
    share = np.divide(radius, new, out=np.zeros_like(radius), where=within & (new > 0))
    return np.where(within, share * old, radius + (old - new) * weight), weight


@dataclass(frozen=True, eq=False)
class _Warp:
    """Where in the body every output pixel's tissue comes from, and how many pixels it lies beyond the new heart."""

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    beyond: NDArray[np.float64]

    @property
    def pixels(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The nearest row and column."""
        height, width = self.rows.shape
        rows, columns = np.rint(self.rows), np.rint(self.columns)
        return np.clip(rows, 0, height - 1).astype(np.intp), np.clip(columns, 0, width - 1).astype(np.intp)

    def fading_to(self, other: _Warp, margin: float) -> tuple[_Warp, NDArray[np.bool_]]:
        """Return this movement near the heart and `other`'s from `margin` beyond its heart on, and where this is more.

        `other` belongs to the phase in which the heart is larger.
        """
        reach = np.maximum(self.beyond - other.beyond, 0.0) + margin
        along = np.clip(self.beyond / reach, 0.0, 1.0)
        own = 1.0 - along * along * (3.0 - 2.0 * along)
        rows: NDArray[np.float64] = other.rows + own * (self.rows - other.rows)
        columns: NDArray[np.float64] = other.columns + own * (self.columns - other.columns)
        return _Warp(rows, columns, self.beyond), own >= 0.5


def _warp(is_new: NDArray[np.bool_], is_old: NDArray[np.bool_], fade: float) -> _Warp:
    """Return the movement that brings the old heart's outline to the new one's; none where there is no heart."""
    y, x = (axis.astype(np.float64) for axis in np.mgrid[: is_new.shape[0], : is_new.shape[1]])
    if not is_new.any() and not is_old.any():
        return _Warp(y, x, np.full(is_new.shape, float(sum(is_new.shape))))
    centre_new = _centroid(is_new if is_new.any() else is_old)
    centre_old = _centroid(is_old if is_old.any() else is_new)
    new, old = outline(is_new, centre_new), outline(is_old, centre_old)
    shift = centre_old - centre_new
    reach = max(fade, _FADE_PER_MOVE * (float(np.abs(new - old).max()) + float(np.hypot(*shift))))
    offset_y, offset_x = y - centre_new[0], x - centre_new[1]
    radius = np.hypot(offset_y, offset_x)
    position = (np.arctan2(offset_y, offset_x) / (2 * np.pi) * _ANGLES) % _ANGLES
    edge = _around(new, position)
    source, weight = radial_source(radius, edge, _around(old, position), reach)
    stretch = np.divide(source, radius, out=np.ones_like(radius), where=radius > 0)
    rows = centre_new[0] + shift[0] * weight + offset_y * stretch
    columns = centre_new[1] + shift[1] * weight + offset_x * stretch
    return _Warp(rows, columns, np.maximum(radius - edge, 0.0))


@dataclass(frozen=True, eq=False)
class _Origin:
    """Which pixels of which slices of a body an output slice is made of: some near its heart, others afar."""

    near: int
    afar: int
    pixels: tuple[NDArray[np.intp], NDArray[np.intp]]
    is_near: NDArray[np.bool_]

    def take(self, stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the slice as `stack (z, H, W)` of the body shows it."""
        return np.where(self.is_near, stack[self.near][self.pixels], stack[self.afar][self.pixels])


def _origins(
    hearts: NDArray[np.uint8], bodies: NDArray[np.uint8], part: slice, fade: float
) -> tuple[list[_Origin], list[_Origin]]:
    """Return for both phases where every slice of `hearts` has its surroundings from, `bodies (2, z, H, W)`.

    A body stands still while its heart beats: away from the heart both phases are made of the same pixels.
    """
    sources = [donor_slices(heart, body, part) for heart, body in zip(hearts, bodies, strict=True)]
    diastole, systole = [], []
    for z, (first, second) in enumerate(zip(*(source.tolist() for source in sources), strict=True)):
        still = _warp(hearts[0, z] > 0, np.isin(bodies[0, first], HEART), fade)
        beating = _warp(hearts[1, z] > 0, np.isin(bodies[1, second], HEART), fade)
        both, is_near = beating.fading_to(still, fade * _STANDS_STILL_FROM)
        diastole.append(_Origin(first, first, still.pixels, np.ones_like(is_near)))
        systole.append(_Origin(second, first, both.pixels, is_near))
    return diastole, systole


def _beyond(part: slice) -> tuple[slice, slice]:
    """Return the slices of a body on either side of its heart's."""
    return slice(part.start), slice(part.stop, None)


def _left_ventricle(stack: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return `(slices, 2)`: whether a slice shows the cavity, and whether it shows the myocardium."""
    return np.stack([(stack == tissue).any(axis=(1, 2)) for tissue in (Tissue.LV, Tissue.MYO)], axis=1)


def _centroid(mask: NDArray[np.bool_]) -> _Point:
    return np.array([values.mean() for values in np.nonzero(mask)])


def _around(values: NDArray[np.float64], position: NDArray[np.float64]) -> NDArray[np.float64]:
    lower = position.astype(np.intp) % _ANGLES
    weight = position - np.floor(position)
    return values[lower] * (1 - weight) + values[(lower + 1) % _ANGLES] * weight
