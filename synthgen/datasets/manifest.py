"""`manifest.json`: what a dataset holds, what was asked for, what made it.

It knows no wall-clock time, so equal builds are equal bytes; when a dataset was made, the file system says.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, model_validator

from synthgen import __version__
from synthgen.datasets.documents import Document, Frozen
from synthgen.datasets.record import Digest, FileEntry, Identifier, SubjectEntry, SubjectRecord, content_id, recipe_id
from synthgen.errors import InputError
from synthgen.labels import Tissue

MANIFEST = "manifest.json"
RECORDS = "records"

Container = Literal["zarr", "hdf5", "nifti"]
"""How volumes are kept; content, records and hashes of content are the same in all."""

DISCLAIMER = "Synthetic data: no patient's images. Not for diagnosis or treatment."

COLOURS: Mapping[Tissue, tuple[int, int, int]] = {
    Tissue.BACKGROUND: (0, 0, 0),
    Tissue.LV: (230, 60, 60),
    Tissue.MYO: (70, 200, 90),
    Tissue.RV: (70, 130, 240),
    Tissue.LUNG: (120, 210, 230),
    Tissue.MUSCLE: (180, 120, 90),
    Tissue.FAT: (240, 220, 110),
    Tissue.ABDOMEN: (170, 110, 200),
    Tissue.VESSEL: (240, 140, 190),
}
"""Colour of each tissue (red, green, blue), in previews and in the stores."""

_ENVIRONMENT = ("numpy", "torch", "numcodecs")

Version = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
ContentId = Annotated[str, Field(pattern=r"^sgc1:[0-9a-f]{64}$")]


class Generator(Frozen):
    """The program that made the dataset."""

    name: Literal["synthgen"] = "synthgen"
    version: str


class Environment(Frozen):
    """Where it ran, as far as it can change voxels."""

    python: str
    machine: str
    packages: dict[str, str]


class SourceData(Frozen):
    """Data behind the dataset: what its generator was fitted on, or whose label maps were rendered."""

    name: str
    licence: str
    citation: str = ""
    use: Literal["generator", "label maps"] = "generator"


class Legal(Frozen):
    """Terms. `licence` is an SPDX expression or a sentence; empty when the maker did not say."""

    licence: str = ""
    citation: str = ""
    source_data: tuple[SourceData, ...] = ()


class LabelTable(Frozen):
    """Meaning and colour of each label value."""

    id: Literal["synthgen/tissue@1"] = "synthgen/tissue@1"
    values: dict[str, int]
    colours: dict[str, tuple[int, int, int]]


class ZarrLayout(Frozen):
    """How voxels are stored in Zarr: a group per subject, a chunk per phase."""

    container: Literal["zarr"] = "zarr"
    zarr_format: Literal[3] = 3
    ome: Literal["0.5"] = "0.5"
    axes: tuple[Literal["t"], Literal["z"], Literal["y"], Literal["x"]] = ("t", "z", "y", "x")
    phases: tuple[Literal["ED"], Literal["ES"]] = ("ED", "ES")
    image: Literal["int16"] = "int16"
    label: Literal["uint8"] = "uint8"
    chunk: Literal["one phase"] = "one phase"
    codecs: tuple[str, ...] = ("bytes", "blosc(zstd,3,bitshuffle)", "crc32c")


class Hdf5Layout(Frozen):
    """How voxels are stored in HDF5: a file per subject, a chunk per phase, an index without links."""

    container: Literal["hdf5"] = "hdf5"
    axes: tuple[Literal["t"], Literal["z"], Literal["y"], Literal["x"]] = ("t", "z", "y", "x")
    phases: tuple[Literal["ED"], Literal["ES"]] = ("ED", "ES")
    image: Literal["int16"] = "int16"
    label: Literal["uint8"] = "uint8"
    chunk: Literal["one phase"] = "one phase"
    filters: tuple[str, ...] = ("shuffle", "gzip(1)")
    checksum: Literal["crc32c in the user block"] = "crc32c in the user block"


class NiftiLayout(Frozen):
    """How voxels are stored in NIfTI: a file per phase and kind, in the tree that nnU-Net v2 reads."""

    container: Literal["nifti"] = "nifti"
    tree: Literal["nnU-Net v2"] = "nnU-Net v2"
    axes: tuple[Literal["z"], Literal["y"], Literal["x"]] = ("z", "y", "x")
    phases: tuple[Literal["ED"], Literal["ES"]] = ("ED", "ES")
    image: Literal["int16"] = "int16"
    label: Literal["uint8"] = "uint8"
    compression: Literal["gzip(1)"] = "gzip(1)"


Layout = Annotated[ZarrLayout | Hdf5Layout | NiftiLayout, Field(discriminator="container")]


class RecordEntry(SubjectEntry):
    """A subject in the manifest: its entry, and the size and hash of its record file."""

    record: FileEntry


class Parent(Frozen):
    """The version that a dataset grew from, whose subjects it holds unchanged, before its own."""

    version: Version
    content_id: ContentId
    manifest: Digest


class Change(Frozen):
    """One version in the changelog.

    Attributes
    ----------
    subjects
        Subjects of that version: the first so many of any later one.
    added
        Of these, how many are new in it.
    content_id
        Its identity.
    generator
        The program that made the new subjects.
    """

    version: Version
    subjects: Annotated[int, Field(ge=1)]
    added: Annotated[int, Field(ge=0)]
    content_id: ContentId
    generator: Generator


class Plan(Document):
    """`plan.json` of an unfinished dataset: the resume key. Its content moves into the manifest at the end.

    `parent` is the SHA-256 of the manifest of the version that it grows from.
    """

    schema_: Literal["synthgen/plan@1"] = Field(default="synthgen/plan@1", alias="schema")
    generator: Generator
    container: Container = "zarr"
    parent: Digest | None = None
    plan: dict[str, JsonValue]
    subject_ids: tuple[Identifier, ...]


class Manifest(Document):
    """The whole dataset at a glance; its own first line is the hash of the rest (see `documents.render_document`).

    Attributes
    ----------
    version
        Semantic version of the dataset: MINOR when subjects are appended, MAJOR when content changes.
    content_id, recipe_id
        Identity of the content and of the request; see `record`. Neither depends on the container.
    parent
        The version it grew from, if it did.
    changelog
        Every version up to this one, oldest first.
    plan
        The request, whole: enough to build the dataset again.
    models
        Bundles that made it, as the builder describes them.
    subjects
        One per subject, in the order of the plan.
    files
        Every file that belongs to no subject, this one excepted.
    extra
        Whatever else the builder had to say.
    """

    schema_: Literal["synthgen/manifest@1"] = Field(default="synthgen/manifest@1", alias="schema")
    version: Version = "1.0.0"
    content_id: ContentId
    recipe_id: Annotated[str, Field(pattern=r"^sgr1:[0-9a-f]{64}$")]
    parent: Parent | None = None
    changelog: tuple[Change, ...] = ()
    synthetic: Literal[True] = True
    disclaimer: str = DISCLAIMER
    legal: Legal
    generator: Generator
    environment: Environment
    labels: LabelTable
    layout: Layout
    plan: dict[str, JsonValue]
    models: tuple[dict[str, JsonValue], ...]
    subjects: tuple[RecordEntry, ...]
    files: tuple[FileEntry, ...]
    extra: dict[str, JsonValue]

    @model_validator(mode="after")
    def _subjects_differ(self) -> Self:
        """Refuse two subjects that would share a folder, also where the file system ignores case."""
        if len({subject.id.lower() for subject in self.subjects}) != len(self.subjects):
            raise ValueError("two subjects have the same id")
        return self

    def subject(self, subject_id: str) -> RecordEntry:
        """Return the entry of one subject; InputError if there is none."""
        for subject in self.subjects:
            if subject.id == subject_id:
                return subject
        raise InputError(
            "subject", expected=f"an id of this dataset, such as {self.subjects[0].id}", got=repr(subject_id)
        )


def record_path(subject_id: str) -> str:
    """Return the path of a subject's record inside the dataset."""
    return f"{RECORDS}/{subject_id}.json"


def label_table() -> LabelTable:
    """Return the table of the nine tissues."""
    return LabelTable(
        values={tissue.name.lower(): tissue.value for tissue in Tissue},
        colours={tissue.name.lower(): COLOURS[tissue] for tissue in Tissue},
    )


def make_manifest(
    plan: Plan,
    layout: Layout,
    records: Sequence[tuple[SubjectRecord, FileEntry]],
    files: Sequence[FileEntry],
    extra: Mapping[str, Any],
    *,
    parent: Manifest | None = None,
) -> Manifest:
    """Return the manifest of a finished dataset.

    Parameters
    ----------
    plan
        The request.
    layout
        What the container says about itself.
    records
        Each subject's record and the entry of the record's own file, in the order of the plan.
    files
        Files that belong to no subject.
    extra
        Anything JSON-able. `version`, `legal` and `models` become the fields of that name, the rest stays together.
    parent
        Manifest of the version that this one grows from; the version is then the next minor one.
    """
    rest = dict(extra)
    identity = content_id([record.subject_digest for record, _ in records])
    number = str(rest.pop("version", "1.0.0" if parent is None else next_version(parent.version)))
    change = {
        "version": number,
        "subjects": len(records),
        "added": len(records) - (0 if parent is None else len(parent.subjects)),
        "content_id": identity,
        "generator": plan.generator,
    }
    return Manifest.model_validate(
        {
            "version": number,
            "content_id": identity,
            "recipe_id": recipe_id(plan.plan),
            "parent": parent and _as_parent(parent, plan),
            "changelog": [*(parent.changelog if parent else ()), change],
            "legal": rest.pop("legal", {}),
            "generator": plan.generator,
            "environment": _environment(),
            "labels": label_table(),
            "layout": layout,
            "plan": plan.plan,
            "models": rest.pop("models", ()),
            "subjects": [RecordEntry(**dict(record.entry()), record=file) for record, file in records],
            "files": list(files),
            "extra": rest,
        }
    )


def _as_parent(manifest: Manifest, plan: Plan) -> dict[str, object]:
    return {"version": manifest.version, "content_id": manifest.content_id, "manifest": plan.parent}


def next_version(number: str) -> str:
    """Return the version that follows when subjects are added: the next minor one."""
    major, minor, _ = number.split(".")
    return f"{major}.{int(minor) + 1}.0"


def this_program() -> Generator:
    """Return what stands in a manifest for the running program."""
    return Generator(version=__version__)


def package_version(name: str) -> str:
    """Return the version of an installed package, or an empty text."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _environment() -> Environment:
    packages = {name: found for name in _ENVIRONMENT if (found := package_version(name))}
    return Environment(
        python=platform.python_version(), machine=f"{platform.system()} {platform.machine()}", packages=packages
    )


def load_manifest(folder: Path) -> Manifest:
    """Read the manifest of a published dataset.

    Raises
    ------
    InputError
        If `folder` is no dataset, is unfinished, or was written by a newer schema.
    DamageError
        If the manifest is not what was written.
    """
    if not folder.is_dir():
        partial = folder.with_name(folder.name + ".partial").is_dir()
        hint = f"{folder.name}.partial is unfinished: run the command that began it again" if partial else ""
        raise InputError(folder, expected="a dataset folder", got="no folder of that name", hint=hint)
    if not (folder / MANIFEST).exists():
        raise InputError(folder, expected="a dataset folder", got=f"a folder without {MANIFEST}")
    manifest = Manifest.read(folder, MANIFEST)
    for subject in manifest.subjects:
        subject.refuse_oversized()
    return manifest
