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
    regions, count = ndimage.label(mask, structure=_CONNECTED)
    if count < 2:
        return mask.copy()
    return regions == 1 + int(np.bincount(regions.ravel())[1:].argmax())


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


def factors_of(codes: Codes, channels: int) -> NDArray[np.uint8]:
    """Return binary factors `(..., C, H, W)` of channel numbers `(..., H, W)`; the inverse of `codes_of`."""
    return (codes[..., None, :, :] == np.arange(channels, dtype=np.uint8)[:, None, None]).astype(np.uint8)


def _table(codes: Sequence[int]) -> NDArray[np.bool_]:
    table = np.zeros(NOBODY + 1, dtype=bool)
    table[list(codes)] = True
    return table
