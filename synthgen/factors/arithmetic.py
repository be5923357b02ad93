"""Disentangled anatomy arithmetic: structures of one heart put into another, on label maps or binary factors alike.

Thermos et al. 2021 (DAA-GAN), doi 10.1007/978-3-030-87199-4_15, section 2. There structures are overwritten channel by
channel, so that up to a twentieth of the heart is claimed twice and as much of the old heart by nobody, for the network
J to repair. Here a pixel has one owner at every moment: the heart is nested, the inner structure wins, the right
ventricle makes room, and what the old structures leave behind closes from outside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthgen.errors import InputError
from synthgen.factors.codes import LABELS, NOBODY, Codes, HeartCodes
from synthgen.factors.registration import (
    LEFT,
    Shift,
    at_places,
    axis_of,
    centre,
    places,
    shift_between,
    shifted,
    signed_distance,
)
from synthgen.factors.swap import Travellers
from synthgen.labels import HEART, Tissue

Places = NDArray[np.integer] | NDArray[np.float64]

_RAYS = 120
_RAY_SMOOTHING = (0.7, 2.0)  # slices, rays of 3 degrees


@dataclass(frozen=True, eq=False, kw_only=True)
class Mixture:
    """A recipient's anatomy with a donor's structures.

    Attributes
    ----------
    codes
        Shaped as the recipient's; one code per pixel.
    touched
        Where the arithmetic took place: pixels given up or taken by travelling structures, claimed twice or by nobody.
    shift
        Of the donor, in whole pixels along y and x; one for all slices of both phases.
    contested
        Pixels that an incoming structure and one that stayed both claimed.
    filled
        Pixels that were given up or never claimed, and closed by a structure of the heart.
    lost
        Pixels of travelling structures that found no place: outside the frame, or beyond the recipient's slices.
    """

    codes: Codes
    touched: NDArray[np.bool_]
    shift: Shift
    contested: int
    filled: int
    lost: int

    def as_dict(self) -> dict[str, object]:
        """Return what was done as JSON values."""
        counts = {"contested_pixels": self.contested, "filled_pixels": self.filled, "lost_pixels": self.lost}
        return {"shift_pixels": list(self.shift), **counts}


def mix_stacks(recipient: Codes, donor: Codes, travellers: Travellers, heart: HeartCodes = LABELS) -> Mixture:
    """Put the travelling structures of a donor's heart into a recipient's, all slices and both phases alike.

    Parameters
    ----------
    recipient, donor
        `(phases, z, H, W)` each, the same phases in the same order, base first; slice numbers and spacings along z may
        differ, pixels may not.
    travellers
        From the swap table.
    heart
        Which codes are the heart's, in both.

    Returns
    -------
    Mixture
        On the recipient's grid. Slices are paired by their level on the left ventricle's axis, per phase, since the
        base descends in systole; the shift is one for everything.

    Raises
    ------
    InputError
        If phases or frames differ, or a phase shows no left ventricle.

    Notes
    -----
    A subject mixed with itself is itself. Mixing twice (A with B gives A', B with A gives B', A' with B') returns A
    exactly if the axes of both have the same number of slices in every phase, every heart is and stays in one piece,
    and none of the three mixtures has `contested`, `filled` or `lost` pixels. The first two of these are none whenever
    all three structures travel. What was claimed twice or filled is decided for good: then only chance restores it.
    """
    if recipient.ndim != 4 or recipient.shape[0] != donor.shape[0] or recipient.shape[2:] != donor.shape[2:]:
        got = f"{recipient.shape} and {donor.shape}"
        raise InputError("mixing", expected="two arrays (phases, z, H, W) that differ in z only", got=got)
    shift = shift_between(centre(recipient, heart), centre(donor, heart))
    stacks = []
    for own, other in zip(recipient, donor, strict=True):
        moving, lost_in_frame = shifted(lifted(other, travellers, heart), shift)
        at = places(len(own), axis_of(own, heart), axis_of(other, heart))
        number = np.arange(len(other))
        missed = (number < at[0] - 0.5) | (number > at[-1] + 0.5)
        made = mix(own, at_places(moving, at), travellers, heart)
        stacks.append(replace(made, lost=lost_in_frame + int((moving[missed] != NOBODY).sum())))
    return Mixture(
        codes=np.stack([made.codes for made in stacks]),
        touched=np.stack([made.touched for made in stacks]),
        shift=shift,
        contested=sum(made.contested for made in stacks),
        filled=sum(made.filled for made in stacks),
        lost=sum(made.lost for made in stacks),
    )


def lifted(stack: Codes, travellers: Travellers, heart: HeartCodes) -> Codes:
    """Return the travelling structures of the heart of a stack `(z, H, W)`; elsewhere `NOBODY`."""
    return np.where(heart.region(stack) & heart.show(stack, travellers), stack, np.uint8(NOBODY))


def mix(recipient: Codes, incoming: Codes, travellers: Travellers, heart: HeartCodes = LABELS) -> Mixture:
    """Put structures that are in place already, `lifted` and shifted, into a recipient's stack `(z, H, W)`.

    Every pixel ends with exactly one owner:

    - the heart is nested: where two structures claim a pixel the inner one's claim holds, so that a wall is never cut
      open. A right ventricle that would lie under the new wall moves outwards by the depth of the overlap, a new one
      that reaches no wall moves inwards until it does (near the apex the donor's may be the larger heart); one that has
      room stays where it is;
    - a pixel given up and claimed by nobody goes to the nearest owner outside the left ventricle. When all structures
      travel, that is the body: the new heart brings its own gaps. When some stay, it can be the right ventricle, which
      so keeps touching the septum.
    """
    given = heart.region(recipient) & heart.show(recipient, travellers)
    arriving = incoming != NOBODY
    kept = np.where(heart.show(recipient) & ~given, recipient, np.uint8(NOBODY))
    contested = arriving & (kept != NOBODY)
    left, right = (_merged(kept, incoming, heart, part) for part in (LEFT, (Tissue.RV,)))
    if contested.any():
        right = pushed(right, left != NOBODY)
    before = right
    whole = set(travellers) == set(HEART)
    if Tissue.RV in travellers and not whole:  # a whole heart brings its own gaps
        new = (right != np.where(heart.show(recipient, [Tissue.RV]), recipient, NOBODY)).any(axis=(1, 2))
        right = drawn_in(right, left != NOBODY, new)
    claimed = np.where(left != NOBODY, left, right)
    vacant = heart.show(recipient) & (claimed == NOBODY)
    codes = np.where(claimed != NOBODY, claimed, recipient)
    closing = heart.show(codes, [Tissue.RV]) if not whole else np.zeros_like(vacant)
    codes = _closed(codes, vacant, ~vacant & (closing | ~heart.show(codes)))
    return Mixture(
        codes=codes,
        touched=given | arriving | vacant | (codes != recipient),
        shift=(0, 0),
        contested=int(contested.sum()),
        filled=int(((vacant & heart.show(codes)) | ((right != NOBODY) & (before == NOBODY))).sum()),
        lost=0,
    )


def pushed(structure: Codes, obstacle: NDArray[np.bool_]) -> Codes:
    """Return a structure `(z, H, W)` moved outwards from under an obstacle, along rays from the obstacle's centre.

    Every ray moves by the depth of the overlap on it, smoothed over neighbouring rays and slices; on each the structure
    keeps its thickness. Without overlap nothing moves.
    """
    z, y, x = np.nonzero((structure != NOBODY) & obstacle)
    if not z.size:
        return structure
    middle = [float(values.mean()) for values in np.nonzero(obstacle)[1:]]
    ray, radius = _polar(y, x, middle)
    first = np.full((len(structure), _RAYS), np.inf)
    last = np.full((len(structure), _RAYS), -np.inf)
    np.minimum.at(first, (z, ray), radius)
    np.maximum.at(last, (z, ray), radius)
    depth = np.where(last >= first, last - first + 1.0, 0.0)
    # A ray between two pixels of a far outline meets neither; it moves as its neighbours do.
    depth = ndimage.grey_closing(depth, size=(1, 5), mode="wrap")
    depth = ndimage.gaussian_filter(depth, _RAY_SMOOTHING, mode=("nearest", "wrap"))
    grid: NDArray[np.float64] = np.indices(structure.shape[1:], dtype=np.float64)
    rows, columns = grid[0], grid[1]
    ray, radius = _polar(rows, columns, middle)
    source = np.maximum(radius - depth[:, ray], 0.0) / np.maximum(radius, 1e-6)
    at_y = np.rint(middle[0] + (rows - middle[0]) * source).astype(np.intp)
    at_x = np.rint(middle[1] + (columns - middle[1]) * source).astype(np.intp)
    return structure[np.arange(len(structure))[:, None, None], at_y, at_x]


def drawn_in(structure: Codes, wall: NDArray[np.bool_], slices: NDArray[np.bool_]) -> Codes:
    """Return a structure `(z, H, W)` moved inwards, along rays from the wall's centre, until it touches the wall.

    The whole structure of a slice moves by its smallest distance, so that its shape stays; where it touches already, or
    the slice is not among `slices (z,)`, nothing moves.
    """
    out = structure.copy()
    shown = structure != NOBODY
    for z in np.flatnonzero(slices & shown.any(axis=(1, 2)) & wall.any(axis=(1, 2))):
        gap = float(ndimage.distance_transform_edt(~wall[z])[shown[z]].min()) - 1.0
        if gap <= 0:
            continue
        middle = [float(values.mean()) for values in np.nonzero(wall[z])]
        grid: NDArray[np.float64] = np.indices(wall.shape[1:], dtype=np.float64)
        y, x = grid[0] - middle[0], grid[1] - middle[1]
        stretch = 1.0 + np.ceil(gap) / np.maximum(np.hypot(y, x), 1.0)
        at_y, at_x = (np.rint(m + offset * stretch).astype(np.intp) for m, offset in zip(middle, (y, x), strict=True))
        inside = (at_y >= 0) & (at_y < wall.shape[1]) & (at_x >= 0) & (at_x < wall.shape[2]) & ~wall[z]
        out[z] = np.where(
            inside, structure[z][at_y.clip(0, wall.shape[1] - 1), at_x.clip(0, wall.shape[2] - 1)], NOBODY
        )
    return out


def grow(codes: Codes, structure: Tissue, pixels: float, heart: HeartCodes = LABELS) -> Codes:
    """Dilate (`pixels` > 0) or erode one structure of `(..., H, W)` by a disc, slice by slice: a factor traversal.

    Fig. 4 of the paper. A dilated structure takes pixels from whatever it grows over; an eroded one leaves its to the
    nearest neighbour. 0 changes nothing.
    """
    planes = codes.reshape(-1, *codes.shape[-2:]).copy()
    own = heart.of([structure])
    for plane in planes:
        shown = heart.show(plane, [structure])
        if not shown.any() or not pixels:
            continue
        reached = signed_distance(shown) <= pixels
        if pixels > 0:
            # A structure of several channels grows by each of them.
            rows, columns = ndimage.distance_transform_edt(~shown, return_distances=False, return_indices=True)
            plane[reached] = plane[rows, columns][reached]
        else:
            vacant = shown & ~reached
            plane[:] = _closed(plane[None], vacant[None], ~np.isin(plane, own)[None])[0]
    return planes.reshape(codes.shape)


def _merged(kept: Codes, incoming: Codes, heart: HeartCodes, part: Travellers) -> Codes:
    """Return where `part` is claimed, by what arrives or by what stayed; of two claims the inner structure's holds."""
    old, new = (np.where(heart.show(codes, part), codes, np.uint8(NOBODY)) for codes in (kept, incoming))
    return np.where(heart.ranks(new) >= heart.ranks(old), new, old)


def _polar(rows: Places, columns: Places, middle: list[float]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the ray and the distance in pixels of pixels seen from `middle`."""
    y, x = rows - middle[0], columns - middle[1]
    ray = np.rint(np.arctan2(y, x) / (2 * np.pi) * _RAYS).astype(np.intp) % _RAYS
    return ray, np.hypot(y, x)


def _closed(codes: Codes, vacant: NDArray[np.bool_], sources: NDArray[np.bool_]) -> Codes:
    """Return `codes (z, H, W)` whose `vacant` pixels have taken the code of the nearest of `sources` in their slice."""
    out = codes.copy()
    for z in np.flatnonzero(vacant.any(axis=(1, 2)) & sources.any(axis=(1, 2))):
        rows, columns = ndimage.distance_transform_edt(~sources[z], return_distances=False, return_indices=True)
        out[z][vacant[z]] = codes[z][rows, columns][vacant[z]]
    return out
