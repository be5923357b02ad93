"""Channels of SDNet's anatomy by meaning: which shows what, and arithmetic with them by name.

The order of channels is arbitrary and differs between trainings (Chartsias et al. 2019,
doi 10.1016/j.media.2019.101535, Fig. 3). Names come from the data: a channel is called after the tissue that holds
more than half of its pixels on labelled slices. A tissue may own several channels, and a channel no tissue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.labels import HEART, Tissue

EMPTY, MIXED = "empty", "mixed"
"""Names of a channel that is never active, and of one that no tissue holds more than half of."""


@dataclass(frozen=True, kw_only=True)
class ChannelMatch:
    """Names of channels, and how well they fit.

    Attributes
    ----------
    names
        One per channel: a tissue in lower case, `mixed` or `empty`.
    shares
        One per channel: the part of its pixels that lies in the tissue holding most of them, in [0, 1].
    dice
        By structure of the heart in lower case: overlap of the union of its channels with the labels, 0 if it has none.
    sameness
        The part of the pixels outside the heart that one channel alone holds, in [0, 1]: at 1 there is nothing to see.
    """

    names: tuple[str, ...]
    shares: tuple[float, ...]
    dice: dict[str, float]
    sameness: float


def match_channels(factors: NDArray[np.uint8], labels: NDArray[np.uint8]) -> ChannelMatch:
    """Name the channels of factors `(N, C, H, W)`, one-hot along C, by labels `(N, H, W)` of the same slices.

    Raises
    ------
    InputError
        If the shapes do not fit.
    """
    table = _shared_pixels(factors, labels)
    count, pixels = len(table), table.sum(axis=1)
    shares = table.max(axis=1) / np.maximum(pixels, 1)
    names = tuple(
        EMPTY if not pixels[c] else MIXED if shares[c] <= 0.5 else Tissue(int(table[c].argmax())).name.lower()
        for c in range(count)
    )
    dice = {}
    for structure in HEART:
        own = np.array([name == structure.name.lower() for name in names])
        both = table[own, structure].sum()
        dice[structure.name.lower()] = float(2 * both / max(table[own].sum() + table[:, structure].sum(), 1))
    around = np.delete(table, HEART, axis=1).sum(axis=1)
    sameness = float(around.max() / max(around.sum(), 1))
    return ChannelMatch(names=names, shares=tuple(float(share) for share in shares), dice=dice, sameness=sameness)


def with_whole_heart(names: Sequence[str], factors: NDArray[np.uint8], labels: NDArray[np.uint8]) -> tuple[str, ...]:
    """Return names in which every structure of the heart has a channel, arguments as for `match_channels`.

    A structure without one takes, of the channels that are not the heart's, the one that shows most of it. What is put
    together from channels needs a place for every structure, however poorly a network tells it apart.
    """
    table, out = _shared_pixels(factors, labels), list(names)
    heart = [structure.name.lower() for structure in HEART]
    for structure, name in zip(HEART, heart, strict=True):
        free = [channel for channel, own in enumerate(out) if own not in heart]
        if name not in out and free:
            out[max(free, key=lambda channel: (table[channel, structure], -channel))] = name
    return tuple(out)


def _shared_pixels(factors: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return `(C, tissues)`: how many pixels a channel shares with a tissue."""
    if factors.ndim != 4 or labels.shape != (len(factors), *factors.shape[2:]) or not len(factors):
        got = f"factors {factors.shape}, labels {labels.shape}"
        raise InputError("factors", expected="(N, C, H, W) with labels (N, H, W)", got=got)
    count, tissues = factors.shape[1], len(Tissue)
    pairs = factors.argmax(axis=1).astype(np.int64) * tissues + labels
    return np.bincount(pairs.ravel(), minlength=count * tissues).reshape(count, tissues)


def channels_of(names: Sequence[str], structure: str) -> list[int]:
    """Return the channels called `structure` (case-insensitive), at least one.

    Raises
    ------
    InputError
        If no channel shows it, or channels have no names yet.
    """
    found = [channel for channel, name in enumerate(names) if name == structure.lower()]
    if not found:
        raise InputError(structure, expected=f"one of the channels {', '.join(names) or '(not named yet)'}", got="none")
    return found


def mask_of(factors: NDArray[np.uint8], names: Sequence[str], structure: str) -> NDArray[np.bool_]:
    """Return where factors `(..., C, H, W)` show `structure`: `(..., H, W)`."""
    return np.any(factors[..., channels_of(names, structure), :, :], axis=-3)


def exchange(factors: NDArray[np.uint8], names: Sequence[str], first: str, second: str) -> NDArray[np.uint8]:
    """Return factors `(..., C, H, W)` in which two structures have changed places (paper, Fig. 7, fourth picture).

    Of a structure with several channels the largest takes the other's pixels, so that doing it twice restores the
    structures, if not their division into channels.
    """
    if first.lower() == second.lower():
        return factors.copy()
    masks = [mask_of(factors, names, structure) for structure in (first, second)]
    out = factors.copy()
    for structure in (first, second):
        out[..., channels_of(names, structure), :, :] = 0
    for structure, mask in zip((second, first), masks, strict=True):
        out[..., _main(factors, names, structure), :, :] |= mask.astype(np.uint8)
    return out


def merge(factors: NDArray[np.uint8], names: Sequence[str], source: str, target: str) -> NDArray[np.uint8]:
    """Return factors `(..., C, H, W)` in which the pixels of `source` count as `target` (paper, Fig. 7, third)."""
    mask = mask_of(factors, names, source)
    out = factors.copy()
    out[..., channels_of(names, source), :, :] = 0
    out[..., _main(factors, names, target), :, :] |= mask.astype(np.uint8)
    return out


def _main(factors: NDArray[np.uint8], names: Sequence[str], structure: str) -> int:
    """Return the channel of `structure` with the most pixels."""
    own = channels_of(names, structure)
    pixels = [int(factors[..., channel, :, :].sum()) for channel in own]
    return own[int(np.argmax(pixels))]
