"""A cohort divided into subjects to train on, in the order in which they get their labels, and subjects to test on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthgen.errors import InputError
from synthgen.labels import Pathology, Vendor
from synthgen.seeding import Stage, numpy_stream

_ORDER = len(Pathology)
"""Key of the stream that orders classes, after those of the classes themselves."""


@dataclass(frozen=True, kw_only=True)
class SubjectSplit:
    """Which subjects of a cohort are for what, by their numbers.

    Attributes
    ----------
    train
        In the order of labelling: classes take turns, so that the first k are as balanced as k allows, and whoever is
        labelled among k is so among more.
    test
        In ascending order.
    """

    train: tuple[int, ...]
    test: tuple[int, ...]

    def labelled(self, fraction: float) -> tuple[int, ...]:
        """Return the training subjects that have labels when `fraction` of them have, at least one.

        Raises
        ------
        InputError
            If the fraction is not in (0, 1].
        """
        if not 0 < fraction <= 1:
            raise InputError("fraction", expected="more than 0 and at most 1 (100 %)", got=f"{fraction:g}")
        return self.train[: max(1, round(fraction * len(self.train)))]


def split_subjects(
    classes: Sequence[Pathology] | Sequence[Vendor], *, test_share: float = 0.3, seed: int = 0
) -> SubjectSplit:
    """Divide subjects, stratified by class, or by vendor.

    Parameters
    ----------
    classes
        Class of each subject, or its vendor.
    test_share
        Part of the subjects to test on, exact to one subject in every class.
    seed
        Root of chance.

    Raises
    ------
    InputError
        If no subject would be left to train on, or none to test on.
    """
    train: list[list[int]] = []
    test: list[int] = []
    dealt = 0
    for key, group in enumerate(Vendor if classes and isinstance(classes[0], Vendor) else Pathology):
        members = np.array([i for i, name in enumerate(classes) if name is group], np.int64)
        numpy_stream(seed, subject=key, stage=Stage.SPLIT).shuffle(members)
        before, dealt = dealt, dealt + len(members)
        # Rounded over the classes together, so that small classes do not all lose or all win by rounding.
        count = round(test_share * dealt) - round(test_share * before)
        test += members[:count].tolist()
        train.append(members[count:].tolist())
    if not test or not any(train):
        expected = "enough subjects to train and to test on"
        raise InputError("cohort", expected=expected, got=f"{len(classes)} subjects, {len(test)} of them for testing")
    return SubjectSplit(train=_in_turn(train, seed), test=tuple(sorted(test)))


def _in_turn(groups: Sequence[Sequence[int]], seed: int) -> tuple[int, ...]:
    """Return the members of all groups, one of each per round, groups in another order in every round."""
    stream = numpy_stream(seed, subject=_ORDER, stage=Stage.SPLIT)
    rounds = range(max(map(len, groups)))
    return tuple(groups[g][turn] for turn in rounds for g in stream.permutation(len(groups)) if turn < len(groups[g]))
