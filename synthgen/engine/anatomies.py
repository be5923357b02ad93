"""Hearts that can be taken apart: what a bundle keeps of subjects for disentangled anatomy arithmetic.

Of a normal subject, into whom structures are put, the whole field of factors; of any other the heart alone. Labels of
the heart are the expert's (or the simulator's): `factors.codes.imposed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.engine.packing import PackedStacks, reading, spacing_of
from synthgen.errors import InputError
from synthgen.factors.codes import NOBODY
from synthgen.labels import Pathology

ANATOMIES_FILE = "anatomies.safetensors"


@dataclass(frozen=True, eq=False, kw_only=True)
class Anatomy:
    """One subject as SDNet's factors.

    Attributes
    ----------
    codes
        `(2 phases, z, H, W)` uint8, the number of the active channel; `NOBODY` where nothing is kept.
    spacing_mm
        Along `(z, y, x)`.
    """

    subject_id: str
    pathology: Pathology
    codes: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]


class AnatomyBank:
    """Anatomies by id, packed."""

    def __init__(self, packed: PackedStacks) -> None:
        self._packed = packed

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids in the order of the source cohort."""
        return self._packed.ids

    def of_class(self, pathology: Pathology) -> tuple[str, ...]:
        """Return the ids of a class, in order."""
        return tuple(name for name in self.ids if self._packed.header(name).get("pathology") == pathology.value)

    def pathology_of(self, subject_id: str) -> Pathology:
        """Return the class of a subject; InputError if there is none of that id."""
        with reading(subject_id):
            return Pathology(self._packed.header(subject_id)["pathology"])

    def __getitem__(self, subject_id: str) -> Anatomy:
        """Return one anatomy; InputError if there is none of that id or its stack has another size."""
        header, codes = self._packed.header(subject_id), self._packed.stack(subject_id)
        with reading(subject_id):
            return Anatomy(
                subject_id=subject_id,
                pathology=Pathology(header["pathology"]),
                codes=codes,
                spacing_mm=spacing_of(header),
            )

    @classmethod
    def of(cls, anatomies: Sequence[Anatomy]) -> Self:
        """Pack anatomies; InputError if there is none."""
        if not anatomies:
            raise InputError("anatomies", expected="at least one", got="none")
        return cls(
            PackedStacks.of(
                (
                    anatomy.subject_id,
                    {
                        "pathology": anatomy.pathology.value,
                        "spacing_mm": [float(v) for v in anatomy.spacing_mm],
                    },
                    anatomy.codes,
                )
                for anatomy in anatomies
            )
        )

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return the bank as a flat dictionary for a safetensors file."""
        return self._packed.to_tensors()

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Self:
        """Read what `to_tensors` wrote; InputError if a stack is missing."""
        return cls(PackedStacks.from_tensors(tensors, ANATOMIES_FILE))


def heart_only(codes: NDArray[np.uint8], heart: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return codes that are kept where `heart` is and `NOBODY` elsewhere."""
    return np.where(heart, codes, np.uint8(NOBODY)).astype(np.uint8)
