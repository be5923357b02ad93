"""Bringing a donor's heart to a recipient's place: one shift per subject, slices paired by level between base and apex.

The published code of DAA-GAN shifts every structure of a single slice by itself, which takes nested structures apart;
its paper asks for alignment by centre of mass. Here the heart moves as a whole, once for all slices of both phases.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthgen.errors import InputError
from synthgen.factors.codes import LABELS, NOBODY, Codes, HeartCodes, window
from synthgen.labels import Tissue

LEFT = (Tissue.LV, Tissue.MYO)
"""What the heart is aligned by and what its axis is: the left ventricle is there in every class and nearly round."""

Axis = tuple[int, int]
"""First (base) and last (apex) slice of a stack that shows the left ventricle or its myocardium."""

Shift = tuple[int, int]
"""Whole pixels along y and x."""


def centre(stacks: Codes, heart: HeartCodes, structures: Iterable[Tissue] = LEFT) -> NDArray[np.float64]:
    """Return the centre of mass (y, x) in pixels of `structures` of the heart over all stacks `(phases, z, H, W)`.

    Raises
    ------
    InputError
        If there are none.
    """
    shown = np.stack([heart.region(stack) for stack in stacks]) & heart.show(stacks, structures)
    if not shown.any():
        raise InputError("registration", expected="a left ventricle in the stack", got="none")
    by_row, by_column = shown.sum(axis=(0, 1, 3)), shown.sum(axis=(0, 1, 2))
    return np.array([float(n @ np.arange(len(n)) / n.sum()) for n in (by_row, by_column)])


def shift_between(recipient: NDArray[np.float64], donor: NDArray[np.float64]) -> Shift:
    """Return the whole-pixel shift that brings the centre `donor` to `recipient`.

    Half pixels round to even: after a swap the remainder has the opposite sign, and both signs must round alike for the
    way back to be the way there.
    """
    dy, dx = np.rint(recipient - donor)
    return int(dy), int(dx)


def shifted(codes: Codes, shift: Shift) -> tuple[Codes, int]:
    """Return structures `(..., H, W)` moved by `shift`, and how many pixels of them left the frame.

    What comes in from outside is `NOBODY`.
    """
    (height, width), (dy, dx) = codes.shape[-2:], shift
    out = np.full_like(codes, NOBODY)
    to, source = (_overlap(height, dy), _overlap(width, dx)), (_overlap(height, -dy), _overlap(width, -dx))
    out[..., to[0], to[1]] = codes[..., source[0], source[1]]
    return out, int((codes != NOBODY).sum() - (out != NOBODY).sum())


def axis_of(stack: Codes, heart: HeartCodes) -> Axis:
    """Return the axis of a stack `(z, H, W)`.

    Raises
    ------
    InputError
        If it shows no left ventricle.
    """
    shown = np.flatnonzero((heart.region(stack) & heart.show(stack, LEFT)).any(axis=(1, 2)))
    if not shown.size:
        raise InputError("registration", expected="a left ventricle in the stack", got="none")
    return int(shown[0]), int(shown[-1])


def places(count: int, recipient: Axis, donor: Axis) -> NDArray[np.float64]:
    """Return for each of `count` slices of the recipient its place in the donor's stack, in slices.

    Equal levels on the two axes meet; beyond the ends of the axis, slices follow at the same rate.
    """
    span = recipient[1] - recipient[0]
    rate = (donor[1] - donor[0]) / span if span else 1.0
    return donor[0] + (np.arange(count, dtype=np.float64) - recipient[0]) * rate


def paired_levels(hearts: Codes, heart: HeartCodes = LABELS) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the slices that show the left ventricle at ED, and those of equal level at ES, of `(2 phases, z, H, W)`.

    Raises
    ------
    InputError
        If a phase shows no left ventricle.
    """
    ed, es = (axis_of(stack, heart) for stack in hearts)
    at_ed = np.arange(ed[0], ed[1] + 1)
    return at_ed, np.rint(places(hearts.shape[1], ed, es)[at_ed]).astype(np.intp)


def at_places(structures: Codes, at: NDArray[np.float64]) -> Codes:
    """Return structures `(z, H, W)` at fractional slice numbers `at`: `(len(at), H, W)`.

    Between two slices that show the same structures every outline is interpolated by its distance; where one begins or
    ends, the nearer slice is taken. A whole number returns the slice itself; beyond the stack there is `NOBODY`.
    """
    whole = np.full((len(at), *structures.shape[1:]), NOBODY, dtype=np.uint8)
    around = (slice(None), *window((structures != NOBODY).any(axis=0)))
    structures, out = structures[around], whole[around]  # beyond, nothing is anybody's
    distances: dict[int, NDArray[np.float32]] = {}
    shown = [tuple(int(c) for c in np.unique(plane)) for plane in structures]
    for number, place in enumerate(at):
        lower, nearest = int(np.floor(place)), int(np.floor(place + 0.5))
        weight = place - lower
        if not 0 <= nearest < len(structures):
            continue
        upper = min(max(lower + 1, 0), len(structures) - 1)
        if lower < 0 or abs(place - nearest) < 1e-9 or shown[lower] != shown[upper]:
            out[number] = structures[nearest]
            continue
        for z in (lower, upper):
            if z not in distances:
                distances[z] = np.stack([signed_distance(structures[z] == code) for code in shown[z]])
        blend = (1 - weight) * distances[lower] + weight * distances[upper]
        out[number] = np.array(shown[lower], dtype=np.uint8)[blend.argmin(axis=0)]
    return whole


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the distance in pixels to the outline of `mask (H, W)`, negative inside; of a constant mask +-infinity."""
    if mask.all() or not mask.any():
        return np.full(mask.shape, -np.inf if mask.any() else np.inf, dtype=np.float32)
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    return np.where(mask, 0.5 - inside, outside - 0.5).astype(np.float32)


def _overlap(size: int, shift: int) -> slice:
    return slice(max(shift, 0), max(size + min(shift, 0), 0))
