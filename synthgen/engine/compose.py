"""Putting a new heart into a donor's body: the body follows the heart, nothing is vacant, nothing overlaps.

Every output slice takes a donor's slice of about the same normalised level between base and apex. Around the heart the
donor's tissues are moved radially, so that the donor's heart outline comes to lie on the new one and right-ventricular
wall, epicardial fat and pericardium stay around the heart; the movement fades to nothing some centimetres away.
"""

from __future__ import annotations

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
    part = donor.heart
    return {
        phase: _compose_stack(hearts[number], donor.labels[phase], part, donor.spacing_mm[1], with_body=with_body)
        for number, phase in enumerate(Phase)
    }


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
    part, fade, out = heart_range(list(bodies)), FADE_MM / spacing_mm, {}
    for number, phase in enumerate(Phase):
        planes = list(codes[number, : part.start])
        for new, source in zip(hearts[number], donor_slices(hearts[number], bodies[number], part), strict=True):
            moved = codes[number, source]
            if new.any() or bodies[number, source].any():
                moved = moved[_warp(new > 0, bodies[number, source] > 0, fade)]
            planes.append(imposed(moved, new, heart))
        out[phase] = np.stack([*planes, *codes[number, part.stop :]])
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


def _compose_stack(
    hearts: NDArray[np.uint8], body: NDArray[np.uint8], part: slice, spacing_mm: float, *, with_body: bool
) -> NDArray[np.uint8]:
    count = len(hearts)
    out = np.zeros((part.start + count + len(body) - part.stop, *hearts.shape[1:]), dtype=np.uint8)
    middle = slice(part.start, part.start + count)
    if with_body:
        out[: part.start], out[middle.stop :] = body[: part.start], body[part.stop :]
        for z, source in enumerate(donor_slices(hearts, body, part)):
            out[part.start + z] = compose_slice(hearts[z], body[source], FADE_MM / spacing_mm)
    else:
        out[middle] = hearts
    return out


def compose_slice(heart: NDArray[np.uint8], body: NDArray[np.uint8], fade: float) -> NDArray[np.uint8]:
    """Put one heart slice `(H, W)` into one body slice; `fade` is the reach of the movement in pixels."""
    is_new, is_old = heart > 0, np.isin(body, HEART)
    if not is_new.any() and not is_old.any():
        return body.copy()
    rows, columns = _warp(is_new, is_old, fade)
    moved = body[rows, columns]
    left_over = np.isin(moved, HEART)
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


def _warp(
    is_new: NDArray[np.bool_], is_old: NDArray[np.bool_], fade: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the row and column of the body that each output pixel takes its tissue from."""
    centre_new = _centroid(is_new if is_new.any() else is_old)
    centre_old = _centroid(is_old if is_old.any() else is_new)
    new, old = outline(is_new, centre_new), outline(is_old, centre_old)
    shift = centre_old - centre_new
    reach = max(fade, _FADE_PER_MOVE * (float(np.abs(new - old).max()) + float(np.hypot(*shift))))
    y, x = np.indices(is_new.shape, dtype=np.float64)
    offset_y, offset_x = y - centre_new[0], x - centre_new[1]
    radius = np.hypot(offset_y, offset_x)
    position = (np.arctan2(offset_y, offset_x) / (2 * np.pi) * _ANGLES) % _ANGLES
    source, weight = radial_source(radius, _around(new, position), _around(old, position), reach)
    stretch = np.divide(source, radius, out=np.ones_like(radius), where=radius > 0)
    rows = np.rint(centre_new[0] + shift[0] * weight + offset_y * stretch)
    columns = np.rint(centre_new[1] + shift[1] * weight + offset_x * stretch)
    height, width = is_new.shape
    return np.clip(rows, 0, height - 1).astype(np.intp), np.clip(columns, 0, width - 1).astype(np.intp)


def _left_ventricle(stack: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return `(slices, 2)`: whether a slice shows the cavity, and whether it shows the myocardium."""
    return np.stack([(stack == tissue).any(axis=(1, 2)) for tissue in (Tissue.LV, Tissue.MYO)], axis=1)


def _centroid(mask: NDArray[np.bool_]) -> _Point:
    return np.array([values.mean() for values in np.nonzero(mask)])


def _around(values: NDArray[np.float64], position: NDArray[np.float64]) -> NDArray[np.float64]:
    lower = position.astype(np.intp) % _ANGLES
    weight = position - np.floor(position)
    return values[lower] * (1 - weight) + values[(lower + 1) % _ANGLES] * weight
