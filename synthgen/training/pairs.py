"""Levels of a cohort at end-diastole and end-systole together, and which levels of two subjects are mixed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.factors.codes import LABELS
from synthgen.factors.registration import centre, paired_levels
from synthgen.factors.swap import donors_for
from synthgen.labels import HEART, Phase, Tissue
from synthgen.networks.classifier import CLASSES

if TYPE_CHECKING:
    from synthgen.cohorts.preprocess import PreparedSubject


@dataclass(frozen=True, eq=False, kw_only=True)
class LevelPairs:
    """Levels that show the left ventricle in both phases; the slice at ES is the one of equal level on its own axis.

    Attributes
    ----------
    labels
        `(N, 2 phases, H, W)` uint8, codes of `Tissue`.
    images
        `(N, 2 phases, H, W)` float16 or float32 in [-1, 1].
    subjects
        `(N,)` int64 from 0; levels of one subject share a number and lie together.
    levels
        `(N,)` float32, 0 at the base of the left ventricle's axis to 1 at its apex.
    classes
        `(N,)` int64, numbers in `CLASSES`.
    centres
        `(N, 2)` float64, the subject's centre of mass (y, x) in pixels, over its whole stack.

    Raises
    ------
    InputError
        If the arrays do not fit together, are empty, or hold images outside [-1, 1].
    """

    labels: NDArray[np.uint8]
    images: NDArray[np.floating]
    subjects: NDArray[np.int64]
    levels: NDArray[np.float32]
    classes: NDArray[np.int64]
    centres: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse arrays that cannot be trained on."""
        count = len(self.labels)
        lengths = {len(part) for part in (self.images, self.subjects, self.levels, self.classes, self.centres)}
        if not count or lengths != {count} or self.labels.shape != self.images.shape or self.labels.shape[1] != 2:
            got = f"labels {self.labels.shape}, images {self.images.shape}, lengths {sorted(lengths)}"
            raise InputError("level pairs", expected="labels and images (N, 2, H, W), N of everything", got=got)
        low, high = float(self.images.min()), float(self.images.max())
        if not (low >= -1.001 and high <= 1.001):  # also refuses NaN
            raise InputError("level pairs", expected="images within [-1, 1]", got=f"{low:.3f} to {high:.3f}")

    def __len__(self) -> int:
        """Return the number of levels."""
        return len(self.labels)

    @property
    def image_size(self) -> int:
        """Height of a slice in pixels."""
        return self.labels.shape[-1]

    def select(self, chosen: NDArray[np.integer] | NDArray[np.bool_]) -> LevelPairs:
        """Return the levels at `chosen` (row numbers or mask)."""
        return LevelPairs(
            labels=self.labels[chosen],
            images=self.images[chosen],
            subjects=self.subjects[chosen],
            levels=self.levels[chosen],
            classes=self.classes[chosen],
            centres=self.centres[chosen],
        )

    def with_imitations(self, images: NDArray[np.floating], classes: NDArray[np.int64]) -> LevelPairs:
        """Return these levels and imitated ones `(M, 2, H, W)` behind them, which have no anatomy: labels are 0.

        Every imitation is a subject of its own, at the middle of the field and of the heart.
        """
        count, edge = len(images), self.image_size
        return LevelPairs(
            labels=np.concatenate([self.labels, np.zeros(images.shape, np.uint8)]),
            images=np.concatenate([self.images, images.astype(self.images.dtype)]),
            subjects=np.concatenate([self.subjects, self.subjects.max() + 1 + np.arange(count)]),
            levels=np.concatenate([self.levels, np.full(count, 0.5, np.float32)]),
            classes=np.concatenate([self.classes, classes]),
            centres=np.concatenate([self.centres, np.full((count, 2), (edge - 1) / 2)]),
        )

    def digest(self) -> str:
        """Return the SHA-256 of the content, for telling a resumed run from another one."""
        digest = hashlib.sha256()
        for part in (self.labels, self.images, self.subjects, self.levels, self.classes, self.centres):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def partners(self, rows: NDArray[np.int64], stream: np.random.Generator) -> NDArray[np.int64]:
        """Return for every row a donor's: a class that the swap table allows, a subject of it, the level nearest.

        Allowed classes that the data have are equally likely, subjects of a class likewise. The recipient itself is
        never its own donor, unless its class allows no other.
        """
        chance = stream.random((len(rows), 2))
        heads = np.unique(self.subjects, return_index=True)[1]
        return np.array([self._partner(row, draw, heads) for row, draw in zip(rows, chance, strict=True)], np.int64)

    def _partner(self, row: np.int64, chance: NDArray[np.float64], heads: NDArray[np.intp]) -> int:
        allowed = [CLASSES.index(p) for p in donors_for(CLASSES[self.classes[row]])]
        others = heads[self.subjects[heads] != self.subjects[row]]
        present = [c for c in allowed if (self.classes[others] == c).any()]
        if not present:
            return int(row)
        fitting = others[self.classes[others] == present[int(chance[0] * len(present))]]
        donor = self.subjects[fitting[int(chance[1] * len(fitting))]]
        own = np.flatnonzero(self.subjects == donor)
        return int(own[np.abs(self.levels[own] - self.levels[row]).argmin()])


def collect_pairs(prepared: Iterable[PreparedSubject]) -> LevelPairs:
    """Return the levels of prepared subjects, images as float16; subjects are numbered in order.

    Raises
    ------
    InputError
        If there is no subject, or one shows no left ventricle in a phase.
    """
    parts: dict[str, list[NDArray]] = {
        name: [] for name in ("labels", "images", "subjects", "levels", "classes", "centres")
    }
    for number, subject in enumerate(prepared):
        hearts = np.stack([_heart(subject.labels[phase]) for phase in Phase])
        at_ed, at_es = paired_levels(hearts)
        chosen = {Phase.ED: at_ed, Phase.ES: at_es}
        parts["labels"].append(np.stack([subject.labels[p][chosen[p]] for p in Phase], axis=1).astype(np.uint8))
        parts["images"].append(np.stack([subject.images[p][chosen[p]] for p in Phase], axis=1).astype(np.float16))
        parts["subjects"].append(np.full(len(at_ed), number, np.int64))
        parts["levels"].append(np.linspace(0, 1, len(at_ed), dtype=np.float32))
        parts["classes"].append(np.full(len(at_ed), CLASSES.index(subject.pathology), np.int64))
        parts["centres"].append(np.tile(centre(hearts, LABELS), (len(at_ed), 1)))
    if not parts["labels"]:
        raise InputError("level pairs", expected="at least one prepared subject", got="none")
    return LevelPairs(**{name: np.concatenate(arrays) for name, arrays in parts.items()})


def _heart(stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.where(np.isin(stack, HEART), stack, np.uint8(Tissue.BACKGROUND)).astype(np.uint8)
