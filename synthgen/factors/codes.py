"""`HeartCodes`: an anatomy as one code per pixel, be it a label map or SDNet's binary factors, and where its heart is.

Factors `(..., C, H, W)` with exactly one active channel per pixel are the same thing as a map of channel numbers
`(..., H, W)`. Arithmetic works on such maps: a map cannot claim a pixel twice, nor leave it to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthgen.errors import InputError
from synthgen.labels import HEART, Tissue

NOBODY = 255
"""In a map of structures on the move: nothing here."""

Codes = NDArray[np.uint8]

_CONNECTED = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True, kw_only=True)
class HeartCodes:
    """The codes that stand for each structure of the heart; all others are the body's.

    Attributes
    ----------
    lv, myo, rv
        At least one code each; SDNet may spread a structure over several channels.

    Raises
    ------
    InputError
        If a structure has no code, or two share one.
    """

    lv: tuple[int, ...]
    myo: tuple[int, ...]
    rv: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse codes that cannot tell the structures apart."""
        every = (*self.lv, *self.myo, *self.rv)
        if not (self.lv and self.myo and self.rv) or len(set(every)) != len(every) or not 0 <= max(every) < NOBODY:
            got = f"LV {self.lv}, MYO {self.myo}, RV {self.rv}"
            raise InputError("heart codes", expected="separate codes below 255 for LV, MYO and RV", got=got)

    @classmethod
    def of_channels(cls, names: Sequence[str]) -> Self:
        """Return the codes of factors whose channels are called `names`: `lv`, `myo`, `rv` or anything else."""
        found = {s: tuple(i for i, name in enumerate(names) if name.lower() == s) for s in ("lv", "myo", "rv")}
        return cls(**found)

    def of(self, structures: Iterable[Tissue]) -> tuple[int, ...]:
        """Return the codes of `structures`."""
        own = {Tissue.LV: self.lv, Tissue.MYO: self.myo, Tissue.RV: self.rv}
        return tuple(code for structure in structures for code in own[structure])

    def show(self, codes: Codes, structures: Iterable[Tissue] = HEART) -> NDArray[np.bool_]:
        """Return where `codes`, of any shape, show one of `structures`."""
        return _table(self.of(structures))[codes]

    def ranks(self, codes: Codes) -> NDArray[np.uint8]:
        """Return how far inside each pixel lies: LV 3, MYO 2, RV 1, others 0. The heart is nested."""
        table = np.zeros(NOBODY + 1, dtype=np.uint8)
        for rank, structure in enumerate((Tissue.RV, Tissue.MYO, Tissue.LV), start=1):
            table[list(self.of([structure]))] = rank
        return table[codes]

    def region(self, codes: Codes) -> NDArray[np.bool_]:
        """Return the heart of a stack `(z, H, W)`: the largest component of its three structures together.

        A channel that shows the myocardium may show other muscle too; what hangs together is the heart.
        """
        return largest_component(self.show(codes))


LABELS = HeartCodes(lv=(int(Tissue.LV),), myo=(int(Tissue.MYO),), rv=(int(Tissue.RV),))
"""The codes of label maps."""


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest component of `mask (z, H, W)` with 26 neighbours; of equal ones the first, of none nothing."""
    around = (slice(None), *window(np.any(mask, axis=0)))
    regions, count = ndimage.label(mask[around], structure=_CONNECTED)
    if count < 2:
        return mask.copy()
    out = np.zeros_like(mask)
    out[around] = regions == 1 + int(np.bincount(regions.ravel())[1:].argmax())
    return out


def window(mask: NDArray[np.bool_], margin: int = 1) -> tuple[slice, slice]:
    """Return the rows and columns of `mask (H, W)` and `margin` more on every side; all of them if it is empty."""
    if not mask.any():
        return slice(None), slice(None)
    found = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(max(int(f[0]) - margin, 0), int(f[-1]) + margin + 1) for f in found)
    return rows, columns


def codes_of(factors: NDArray) -> Codes:
    """Return the channel numbers `(..., H, W)` of binary factors `(..., C, H, W)`.

    Raises
    ------
    InputError
        If a pixel has no active channel or several.
    """
    claims = (factors != 0).sum(axis=-3)
    if (claims != 1).any():
        got = f"{int((claims == 0).sum())} pixels with none and {int((claims > 1).sum())} with several"
        raise InputError("factors", expected="one active channel at every pixel", got=got)
    return factors.argmax(axis=-3).astype(np.uint8)


def imposed(codes: Codes, labels: Codes, heart: HeartCodes) -> Codes:
    """Return channel numbers `(..., H, W)` whose heart is that of label maps `(..., H, W)` in the codes of `Tissue`.

    A network's factors show the heart nearly where the expert drew it. Where both agree nothing changes; a pixel of the
    heart that shows something else takes the first channel of its structure, and one beside it that shows heart the
    channel of the nearest pixel that does not.
    """
    out = codes.copy()
    for structure in HEART:
        own = heart.of([structure])
        out[(labels == structure) & ~np.isin(codes, own)] = own[0]
    stray = heart.show(out) & ~np.isin(labels, HEART)
    for plane, wrong in zip(out.reshape(-1, *out.shape[-2:]), stray.reshape(-1, *out.shape[-2:]), strict=True):
        outside = ~heart.show(plane)
        if wrong.any() and outside.any():
            near = ndimage.distance_transform_edt(~outside, return_distances=False, return_indices=True)
            plane[wrong] = plane[near[0], near[1]][wrong]
    return out


def without_specks(codes: Codes, heart: HeartCodes) -> Codes:
    """Return channel numbers `(..., H, W)` without single pixels around the heart that differ from all four neighbours.

    They take the code that most of the four show, of equals the one above, below, before, after; none becomes heart.
    Most are noise by the look of them, some a lung's small vessel; they take a twelfth of what an anatomy takes packed.
    """
    padded = np.pad(codes, [(0, 0)] * (codes.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    middle, lower, upper = slice(1, -1), slice(None, -2), slice(2, None)
    sides = ((lower, middle), (upper, middle), (middle, lower), (middle, upper))
    around = np.stack([padded[..., rows, columns] for rows, columns in sides])
    most = (around[:, None] == around).sum(axis=1).argmax(axis=0)
    taken = np.take_along_axis(around, most[None], axis=0)[0]
    speck = (around != codes).all(axis=0) & ~heart.show(codes) & ~heart.show(taken)
    return np.where(speck, taken, codes)


def structures_of(codes: Codes, heart: HeartCodes) -> Codes:
    """Return the label map, 0 to 3, of channel numbers of any shape."""
    table = np.zeros(NOBODY + 1, dtype=np.uint8)
    for structure in HEART:
        table[list(heart.of([structure]))] = structure
    return table[codes]


def factors_of(codes: Codes, channels: int) -> NDArray[np.uint8]:
    """Return binary factors `(..., C, H, W)` of channel numbers `(..., H, W)`; the inverse of `codes_of`."""
    return (codes[..., None, :, :] == np.arange(channels, dtype=np.uint8)[:, None, None]).astype(np.uint8)


def _table(codes: Sequence[int]) -> NDArray[np.bool_]:
    table = np.zeros(NOBODY + 1, dtype=bool)
    table[list(codes)] = True
    return table
