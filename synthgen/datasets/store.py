"""`Store`: what every container of volumes does, and `StoredSubject`, the subject as all of them hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from synthgen.datasets.manifest import Container, Layout
from synthgen.datasets.record import SubjectEntry
from synthgen.labels import Phase

Kind = Literal["image", "label"]
KINDS: tuple[Kind, ...] = ("image", "label")

DTYPES: Mapping[Kind, np.dtype] = {"image": np.dtype("<i2"), "label": np.dtype("u1")}
"""Type of the stored volumes, in every container."""


@dataclass(frozen=True, kw_only=True)
class StoredSubject:
    """A subject in memory as it is stored: the same voxels and facts in every container.

    Attributes
    ----------
    entry
        Everything about it but its files.
    volumes
        By kind and phase, `(z, y, x)`, of type `DTYPES`.
    history
        How it was made.
    """

    entry: SubjectEntry
    volumes: Mapping[Kind, Mapping[Phase, NDArray]]
    history: Mapping[str, Any]


@runtime_checkable
class Store(Protocol):
    """How one container keeps the volumes of a dataset. Without state; paths are relative to the dataset folder.

    Responsible for: paths, bytes and their decoding, checked against what the manifest says.
    Not responsible for: writing, names, records (`DatasetWriter`), intensities (`quantisation`).

    Attributes
    ----------
    container
        Its name.
    folders
        Folders that hold the pieces of subjects; the first lies at the top and holds all of the container's files.
    """

    container: Container
    folders: tuple[str, ...]

    def layout(self) -> Layout:
        """Return what the manifest says about the container."""
        ...

    def pieces(self, subject_id: str) -> tuple[str, ...]:
        """Return the files or folders, each directly in one of `folders`, that together are this subject's volumes."""
        ...

    def encode(self, subject: StoredSubject) -> dict[str, bytes]:
        """Return the files of a subject by their paths; the same subject gives the same bytes."""
        ...

    def shared(self, entries: Sequence[SubjectEntry]) -> dict[str, bytes]:
        """Return the files of the container that belong to no subject, by their paths.

        Parameters
        ----------
        entries
            All subjects of the dataset, in order.
        """
        ...

    def read(self, root: Path, entry: SubjectEntry, phase: Phase, kind: Kind) -> NDArray:
        """Return one volume `(z, y, x)` as stored, of type `DTYPES[kind]`.

        Raises
        ------
        DamageError
            If its file is missing, changed, or holds something else than the manifest says.
        InputError
            If the manifest gives a shape that is too large to read.
        """
        ...
