"""`PublishedCohort`: a dataset on disk as a cohort to learn from or to measure on."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from synthgen.datasets.reader import StoredDataset
from synthgen.subjects import LabelScheme, SourceCohort, SourceSubject

HEART_DIGEST = "heart_digest"
"""Name in a record: which subject's label maps were rendered."""


class PublishedCohort(SourceCohort):
    """The subjects of a dataset that `build`, `hearts`, `render` or `extend` published.

    Parameters
    ----------
    folder
        The dataset's folder.

    Raises
    ------
    InputError
        If there is no dataset.
    DamageError
        If its manifest was changed.
    """

    label_scheme: LabelScheme = "tissue"
    of_patients = False

    def __init__(self, folder: Path) -> None:
        self._dataset = StoredDataset(folder)
        manifest = self._dataset.manifest
        self.name = self._dataset.path.name
        self.licence, self.citation = manifest.legal.licence, manifest.legal.citation
        self.subject_pathologies = [entry.pathology for entry in manifest.subjects]
        self.subject_vendors = [entry.vendor for entry in manifest.subjects]

    def was_made_from(self, cohort: SourceCohort) -> bool:
        """Return whether the generator of this dataset was fitted on `cohort` itself, not on a part or a copy of it."""
        models = self._dataset.manifest.models
        return cohort.fingerprint() in [_value(model.get("provenance"), "source") for model in models]

    def rendered_hearts(self) -> frozenset[str]:
        """Return the `indices.heart_digest` of every subject whose label maps were rendered into this dataset."""
        if "rendering" not in self._dataset.manifest.plan:
            return frozenset()
        records = map(self._dataset.record, self._dataset.ids)
        return frozenset(str(record.history.get(HEART_DIGEST)) for record in records)

    def fingerprint(self) -> str:
        """Return the hash of the manifest, which names every voxel's."""
        return self._dataset.digest

    def __len__(self) -> int:
        """Return the number of subjects."""
        return len(self._dataset)

    def __getitem__(self, index: int) -> SourceSubject:
        """Read subject `index`; DamageError if a volume is missing or changed."""
        subject = self._dataset[index]
        return SourceSubject(
            subject_id=subject.subject_id,
            pathology=subject.pathology,
            vendor=subject.vendor,
            body=subject.body,
            images=subject.images,
            labels=subject.labels,
        )


def _value(document: JsonValue, name: str) -> JsonValue:
    return document.get(name) if isinstance(document, dict) else None
