"""What is written about one subject, and the hashes that name its content whatever container holds it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, JsonValue

from synthgen.datasets.documents import Document, Frozen, canonical_json
from synthgen.datasets.files import IDENTIFIER, check_relative
from synthgen.errors import InputError
from synthgen.labels import Pathology, Phase, Sex, Vendor
from synthgen.subjects import Body

LABEL_MAP = "synthgen/tissue@1"
"""Name of the table of label values; a new table gets a new name."""

MAX_AXIS = 4096
MAX_VOXELS = 1 << 28
"""Largest volume that is read (voxels of one phase): what a manifest claims is never allocated unchecked."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[str, Field(max_length=1024), AfterValidator(check_relative)]
Identifier = Annotated[str, Field(pattern=IDENTIFIER)]
Axis = Annotated[int, Field(ge=1, le=MAX_AXIS)]
Row = tuple[float, float, float, float]


class FileEntry(Frozen):
    """One file of the dataset: POSIX path relative to the dataset folder, size, SHA-256."""

    path: RelativePath
    bytes: Annotated[int, Field(ge=0)]
    sha256: Digest


class Intensity(Frozen):
    """How stored integers become intensities: `value = stored * scale + offset`, in float32.

    Attributes
    ----------
    bits
        Bits that the integers use: 9; earlier datasets say 12.
    """

    scale: Annotated[float, Field(gt=0)]
    offset: float
    bits: Literal[9, 12] = 9


class BodyEntry(Frozen):
    """Body size and sex, as far as known."""

    height_cm: Annotated[float, Field(gt=0)]
    weight_kg: Annotated[float, Field(gt=0)]
    sex: Sex | None = None


class PhaseDigests(Frozen):
    """Array digests of one phase."""

    image: Digest
    label: Digest


class SubjectEntry(Frozen):
    """What the manifest says about a subject: enough to place its voxels without reading them.

    Attributes
    ----------
    index
        Place in the plan.
    shape, spacing_mm
        Along `(z, y, x)`, of one phase; ED and ES share the grid.
    affine
        4 x 4, voxel `(x, y, z)` to RAS+ millimetres; every element is a float32 value, so that NIfTI keeps it exactly.
    indices
        Clinical indices by the names of `synthgen.indices`; None where not measurable.
    subject_digest
        See `subject_digest`.
    anatomy
        Name of the known anatomy that this subject, and perhaps others, go back to, in body or heart; None for one of
        its own.
    """

    id: Identifier
    index: Annotated[int, Field(ge=0)]
    pathology: Pathology
    vendor: Vendor
    body: BodyEntry | None
    phases: tuple[Literal["ED"], Literal["ES"]] = ("ED", "ES")
    shape: tuple[Axis, Axis, Axis]
    spacing_mm: tuple[float, float, float]
    affine: tuple[Row, Row, Row, Row]
    intensity: Intensity
    indices: dict[str, float | None]
    digests: dict[Phase, PhaseDigests]
    subject_digest: Digest
    anatomy: Identifier | None = None

    @property
    def heart(self) -> str:
        """The same text for subjects that must not be divided between training and testing.

        They go back to one anatomy, whose body they share, or have the same label maps in other styles.
        """
        if self.anatomy is not None:
            return self.anatomy
        labels = [self.digests[phase].label for phase in Phase]
        return hashlib.sha256(canonical_json({"affine": self.affine, "labels": labels})).hexdigest()[:16]

    @property
    def affine_ras(self) -> NDArray[np.float64]:
        """The affine as a 4 x 4 array."""
        return np.array(self.affine, dtype=np.float64)

    @property
    def voxels(self) -> int:
        """Voxels of one phase."""
        return math.prod(self.shape)

    def to_body(self) -> Body | None:
        """Return the body as the rest of the program knows it."""
        return None if self.body is None else Body(**dict(self.body))

    def entry(self) -> SubjectEntry:
        """Return these fields alone, without what a record or a manifest adds."""
        return SubjectEntry(**{name: getattr(self, name) for name in SubjectEntry.model_fields})

    def refuse_oversized(self) -> None:
        """Raise InputError if one phase has more than `MAX_VOXELS` voxels."""
        if self.voxels > MAX_VOXELS:
            raise InputError(self.id, expected=f"at most {MAX_VOXELS} voxels", got=f"{self.voxels}")


class SubjectRecord(SubjectEntry, Document):
    """`records/<id>.json`: the commit mark of a subject, with its files and its history."""

    schema_: Literal["synthgen/subject@1"] = Field(default="synthgen/subject@1", alias="schema")
    files: tuple[FileEntry, ...]
    history: dict[str, JsonValue]


def array_digest(array: NDArray) -> str:
    """Return the SHA-256 of one stored volume `(z, y, x)`, whatever its chunks, codecs, byte order or memory layout."""
    canonical = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    header = canonical_json({"v": 1, "dtype": array.dtype.name, "shape": array.shape, "axes": "zyx"})
    digest = hashlib.sha256(len(header).to_bytes(8, "little"))
    digest.update(header)
    digest.update(canonical.data if canonical.size else b"")
    return digest.hexdigest()


def subject_digest(entry: Mapping[str, object]) -> str:
    """Return the SHA-256 of what makes a subject: voxels, geometry, intensities, class; no history, time or container.

    Parameters
    ----------
    entry
        Fields of `SubjectEntry`; digested are id, pathology, vendor, body, phases, affine (to 1e-6 mm), intensity and
        the array digests.
    """
    affine = np.round(np.asarray(entry["affine"], dtype=np.float64), 6) + 0.0  # + 0.0: no negative zero
    named = {name: entry[name] for name in ("id", "pathology", "vendor", "body", "phases", "intensity", "digests")}
    return hashlib.sha256(canonical_json({"v": 1, "labels": LABEL_MAP, "affine": affine, **named})).hexdigest()


def content_id(subject_digests: Sequence[str]) -> str:
    """Return the identity of a cohort's content: a hash over the sorted subject digests, so order does not matter."""
    return "sgc1:" + hashlib.sha256("\n".join(sorted(subject_digests)).encode()).hexdigest()


def recipe_id(plan: Mapping[str, object]) -> str:
    """Return the identity of what was asked for: a hash over the plan's canonical JSON."""
    return "sgr1:" + hashlib.sha256(canonical_json(plan)).hexdigest()
