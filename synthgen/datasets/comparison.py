"""`compare`: what two datasets have in common, subject by subject, whatever containers hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthgen.datasets.manifest import Manifest, RecordEntry
from synthgen.datasets.quantisation import dequantise
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.record import Intensity, SubjectEntry
from synthgen.datasets.store import Kind, StoredSubject
from synthgen.labels import Phase

_PLACE = frozenset({"index", "digests", "subject_digest"})  # where it stands, and what follows from the rest


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How two subjects of one id differ.

    Attributes
    ----------
    fields
        Names of the facts that differ, `image` and `label` among them when voxels do.
    largest_intensity
        Largest difference of an intensity, in intensity; NaN when images are equal or have other shapes.
    label_voxels
        Voxels whose label differs; 0 when labels are equal or have other shapes.
    """

    subject_id: str
    fields: tuple[str, ...]
    largest_intensity: float
    label_voxels: int

    def as_dict(self) -> dict[str, object]:
        """Return the difference as JSON values."""
        nan = np.isnan(self.largest_intensity)
        return asdict(self) | {"largest_intensity": None if nan else self.largest_intensity}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two datasets, the first and the second.

    Attributes
    ----------
    same_content, same_request
        Whether `content_id` and `recipe_id` are equal. An equal request with other content means that another machine
        or version of the program made it.
    relation
        `same content`, `second grew from first`, `first grew from second`, or `none known`.
    kept
        Number of subjects that are equal in both.
    removed, added
        Ids that only the first, or only the second has.
    changed
        Subjects of one id that differ.
    """

    same_content: bool
    same_request: bool
    relation: str
    kept: int
    removed: tuple[str, ...]
    added: tuple[str, ...]
    changed: tuple[Difference, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the comparison as JSON values."""
        return asdict(self) | {"changed": [difference.as_dict() for difference in self.changed]}


def compare(first: Path | str, second: Path | str) -> Comparison:
    """Compare two published datasets. Voxels are read only of subjects whose digests differ.

    Raises
    ------
    InputError
        If one of them is no dataset.
    DamageError
        If a manifest, or what must be read of a subject, is not what was written.
    """
    old, new = StoredDataset(first), StoredDataset(second)
    mine = {entry.id: entry for entry in old.manifest.subjects}
    theirs = {entry.id: entry for entry in new.manifest.subjects}
    shared = [subject_id for subject_id in mine if subject_id in theirs]
    changed = tuple(
        difference(old.stored(subject_id), new.stored(subject_id))
        for subject_id in shared
        if _facts(mine[subject_id]) != _facts(theirs[subject_id])
    )
    return Comparison(
        same_content=old.manifest.content_id == new.manifest.content_id,
        same_request=old.manifest.recipe_id == new.manifest.recipe_id,
        relation=_relation(old.manifest, new.manifest),
        kept=len(shared) - len(changed),
        removed=tuple(subject_id for subject_id in mine if subject_id not in theirs),
        added=tuple(subject_id for subject_id in theirs if subject_id not in mine),
        changed=changed,
    )


def _relation(first: Manifest, second: Manifest) -> str:
    if first.content_id == second.content_id:
        return "same content"
    if first.content_id in {change.content_id for change in second.changelog}:
        return "second grew from first"
    if second.content_id in {change.content_id for change in first.changelog}:
        return "first grew from second"
    return "none known"


def _facts(entry: RecordEntry | SubjectEntry) -> Mapping[str, object]:
    facts = entry.entry().model_dump(mode="json")
    return {name: value for name, value in facts.items() if name != "index"}


def difference(first: StoredSubject, second: StoredSubject) -> Difference:
    """Return how two subjects differ; no field at all if they are equal but for their places in the datasets."""
    mine, theirs = _facts(first.entry), _facts(second.entry)
    fields = [name for name in mine if name not in _PLACE and mine[name] != theirs[name]]
    voxels = {kind: _largest(first, second, kind) for kind in ("image", "label") if _differ(first, second, kind)}
    return Difference(
        subject_id=first.entry.id,
        fields=(*fields, *voxels),
        largest_intensity=voxels.get("image", float("nan")),
        label_voxels=int(voxels.get("label", 0)),
    )


def _differ(first: StoredSubject, second: StoredSubject, kind: Kind) -> bool:
    digests = first.entry.digests, second.entry.digests
    return any(getattr(digests[0][phase], kind) != getattr(digests[1][phase], kind) for phase in Phase)


def _largest(first: StoredSubject, second: StoredSubject, kind: Kind) -> float:
    """Return the largest difference of intensities, or the number of labels that differ."""
    if first.entry.shape != second.entry.shape:
        return float("nan") if kind == "image" else 0
    pairs = [(first.volumes[kind][phase], second.volumes[kind][phase]) for phase in Phase]
    if kind == "label":
        return sum(int(np.count_nonzero(a != b)) for a, b in pairs)
    scales = first.entry.intensity, second.entry.intensity
    return max(_distance(pair, scales) for pair in pairs)


def _distance(pair: tuple[NDArray, NDArray], scales: tuple[Intensity, Intensity]) -> float:
    a, b = (dequantise(stored, scale) for stored, scale in zip(pair, scales, strict=True))
    return float(np.abs(a.astype(np.float64) - b).max())
