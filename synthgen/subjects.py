"""`SourceSubject`: one patient or virtual heart to learn from, and the protocol of a cohort of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from synthgen.errors import InputError
from synthgen.labels import Pathology, Phase, Sex, Vendor
from synthgen.volumes import Volume

LabelScheme = Literal["heart", "tissue"]
"""`heart`: labels 0 to 3 only, everything else is background. `tissue`: all nine classes of `Tissue`."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """Body size, for indexing volumes and mass."""

    height_cm: float
    weight_kg: float
    sex: Sex | None = None

    @property
    def surface_m2(self) -> float:
        """Body surface area (Mosteller 1987, doi 10.1056/NEJM198710223171717)."""
        return math.sqrt(self.height_cm * self.weight_kg / 3600.0)


@dataclass(frozen=True, kw_only=True)
class SourceSubject:
    """One patient or virtual heart: ED and ES, image and label, on one grid.

    `truth` holds indices that are known rather than measured (virtual hearts), by the names of `indices.Indices`;
    `made_from` the `indices.heart_digest` of the subject whose label maps were rendered, None for any other.

    Raises
    ------
    InputError
        If a phase is missing or the four volumes do not share one shape.
    """

    subject_id: str
    pathology: Pathology
    vendor: Vendor
    body: Body | None
    images: Mapping[Phase, Volume]
    labels: Mapping[Phase, Volume]
    truth: Mapping[str, float] = field(default_factory=dict)
    made_from: str | None = None

    def __post_init__(self) -> None:
        """Refuse a subject that lacks a phase or mixes grids."""
        for phase in Phase:
            if phase not in self.images or phase not in self.labels:
                raise InputError(self.subject_id, expected=f"image and label at {phase}", got="none")
        shapes = {v.shape for v in (*self.images.values(), *self.labels.values())}
        if len(shapes) != 1:
            expected = "one shape for image and label at ED and ES"
            raise InputError(self.subject_id, expected=expected, got=f"{sorted(shapes)}")


@runtime_checkable
class SourceCohort(Protocol):
    """A readable cohort. Configuration happens in the constructor; reading happens in `__getitem__`, lazily.

    Responsible for: a stable order, unique ids, labels in the codes of `Tissue`, geometry checked. `of_patients` tells
    whether ids and voxels are somebody's, so that what is stored of them is kept to what is needed. Class and vendor
    of each subject are known without reading voxels.
    Not responsible for: resampling, cropping, normalising (`cohorts.preprocess`).
    """

    name: str
    licence: str
    citation: str
    label_scheme: LabelScheme
    of_patients: bool
    subject_pathologies: list[Pathology]
    subject_vendors: list[Vendor]

    def fingerprint(self) -> str:
        """Return a text that changes when the cohort does: what a fit compares to know whether it can go on."""
        ...

    def __len__(self) -> int:
        """Return the number of subjects."""
        ...

    def __getitem__(self, index: int) -> SourceSubject:
        """Read subject `index`."""
        ...


@dataclass(frozen=True, kw_only=True)
class SyntheticSubject:
    """What the engine or the simulator made, ready to be written.

    Attributes
    ----------
    images, labels
        Float32 image and uint8 nine-tissue label per phase, all on one grid.
    indices
        Clinical indices measured on `labels`, by the names of `indices.Indices`.
    record
        JSON-able history: what was requested, drawn, tried, rejected and why. Enough to make the subject again.
    anatomy
        Name of the known anatomy that this subject, and perhaps others, go back to, in body or heart; None for one of
        its own.
    """

    subject_id: str
    pathology: Pathology
    vendor: Vendor
    body: Body | None
    images: Mapping[Phase, Volume]
    labels: Mapping[Phase, Volume]
    indices: Mapping[str, float]
    record: Mapping[str, object]
    anatomy: str | None = None
