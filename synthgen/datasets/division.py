"""Dividing a cohort into parts without dividing what belongs together, every kind of subject in each part alike."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

_LEAST = 0.5
"""Subjects that a part must be entitled to, if it is to get a group in any case."""

_NEARLY = 1e-6
"""Shares are fractions: room for 2.9999999 subjects is room for 3."""


def divide(groups: Sequence[Sequence[Sequence[Hashable]]], shares: Sequence[float]) -> list[int]:
    """Return the part that each group goes to, whole.

    Large groups are placed first, each in the part with room for it that lacks most of its kinds; groups of one size in
    the order given. So sizes come out exact if there are small groups enough, and kinds nearly so.

    Parameters
    ----------
    groups
        Of each group its members; of each member its kinds, such as class and vendor.
    shares
        Of all members, that a part is to have; positive or 0, their sum 1.
    """
    kinds = {kind: place for place, kind in enumerate(dict.fromkeys(k for group in groups for m in group for k in m))}
    counts = np.zeros((len(groups), len(kinds)))
    for number, group in enumerate(groups):
        for kind in (kind for member in group for kind in member):
            counts[number, kinds[kind]] += 1
    sizes = np.array([len(group) for group in groups])
    room, missing = sizes.sum() * np.array(shares), np.outer(shares, counts.sum(axis=0))
    entitled, empty = room >= _LEAST, np.ones(len(shares), dtype=bool)
    parts = [0] * len(groups)
    for left, number in zip(range(len(groups), 0, -1), np.argsort(-sizes, kind="stable"), strict=True):
        fitting = room > sizes[number] - _NEARLY
        if left <= (entitled & empty).sum():  # as many groups as parts that have none
            fitting = entitled & empty
        wanted = np.where(fitting, missing @ counts[number], -np.inf) if fitting.any() else room
        part = int(wanted.argmax())
        parts[number] = part
        room[part] -= sizes[number]
        missing[part] -= counts[number]
        empty[part] = False
    return parts
