"""What training reads: slices in memory, and the order in which they come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.labels import Phase, Tissue
from synthgen.seeding import Stage, numpy_stream

if TYPE_CHECKING:
    from synthgen.cohorts.preprocess import PreparedSubject


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingSlices:
    """Prepared slices of a cohort.

    Attributes
    ----------
    labels
        `(N, H, W)` uint8, codes of `Tissue`.
    images
        `(N, H, W)` float16 or float32 in [-1, 1].
    subjects
        `(N,)` int64; slices of one subject share a number.
    positions
        `(N,)` float32, 0 at the base of the stack to 1 at its apex.

    Raises
    ------
    InputError
        If the arrays do not fit together, are empty, or hold values outside their range.
    """

    labels: NDArray[np.uint8]
    images: NDArray[np.floating]
    subjects: NDArray[np.int64]
    positions: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Refuse arrays that cannot be trained on."""
        count = len(self.labels)
        shapes = (self.labels.shape, self.images.shape, self.subjects.shape, self.positions.shape)
        if self.labels.ndim != 3 or shapes != (self.labels.shape, self.labels.shape, (count,), (count,)) or not count:
            raise InputError(
                "training slices", expected="labels and images (N, H, W), subjects and positions (N,)", got=f"{shapes}"
            )
        if self.labels.dtype != np.uint8 or int(self.labels.max()) >= len(Tissue):
            raise InputError(
                "training slices",
                expected=f"uint8 labels below {len(Tissue)}",
                got=f"{self.labels.dtype}, {self.labels.max()}",
            )
        low, high = float(self.images.min()), float(self.images.max())
        if not (low >= -1.001 and high <= 1.001):  # also refuses NaN
            raise InputError("training slices", expected="images within [-1, 1]", got=f"{low:.3f} to {high:.3f}")

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self.labels)

    @property
    def image_size(self) -> int:
        """Height of a slice in pixels."""
        return self.labels.shape[1]

    def select(self, chosen: NDArray[np.integer] | NDArray[np.bool_]) -> TrainingSlices:
        """Return the slices at `chosen` (row numbers or mask)."""
        return TrainingSlices(
            labels=self.labels[chosen],
            images=self.images[chosen],
            subjects=self.subjects[chosen],
            positions=self.positions[chosen],
        )

    def digest(self) -> str:
        """Return the SHA-256 of the content, for telling a resumed run from another one."""
        digest = hashlib.sha256()
        for part in (self.labels, self.images, self.subjects, self.positions):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


def collect(prepared: Iterable[PreparedSubject]) -> TrainingSlices:
    """Return all slices of prepared subjects, both phases, images as float16; subjects are numbered in order."""
    labels, images, subjects, positions = [], [], [], []
    for number, subject in enumerate(prepared):
        for phase in Phase:
            stack = subject.labels[phase]
            labels.append(stack.astype(np.uint8))
            images.append(subject.images[phase].astype(np.float16))
            subjects.append(np.full(len(stack), number, np.int64))
            positions.append(np.linspace(0, 1, len(stack), dtype=np.float32))
    if not labels:
        raise InputError("training slices", expected="at least one prepared subject", got="none")
    return TrainingSlices(
        labels=np.concatenate(labels),
        images=np.concatenate(images),
        subjects=np.concatenate(subjects),
        positions=np.concatenate(positions),
    )


def batch_rows(count: int, batch_size: int, step: int, seed: int, lane: int = 0) -> NDArray[np.int64]:
    """Return the rows of batch `step`: consecutive stretches of an endless sequence of permutations of `count` rows.

    A pure function of its arguments, so that a resumed run sees what an uninterrupted one would have seen. Objectives
    that read several batches per step take each from a `lane` of its own, 0 being the loop's.
    """
    wanted = np.arange(step * batch_size, (step + 1) * batch_size)
    rows = np.empty(batch_size, np.int64)
    for epoch in np.unique(wanted // count):
        order = numpy_stream(seed, int(epoch), lane, Stage.BATCH).permutation(count)
        of_epoch = wanted // count == epoch
        rows[of_epoch] = order[wanted[of_epoch] % count]
    return rows


def companions(
    subjects: NDArray[np.int64], rows: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return for every row another random slice of the same subject (itself when it has only one)."""
    order = np.argsort(subjects, kind="stable")
    ordered = subjects[order]
    first = np.searchsorted(ordered, subjects[rows], side="left")
    many = np.searchsorted(ordered, subjects[rows], side="right") - first
    return order[first + np.floor(generator.random(len(rows)) * many).astype(np.int64)]
