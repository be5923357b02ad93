"""BIDS derivative: raw-like names with a `desc-` entity per phase, `participants.tsv`, and the limits in its README.

BIDS has no cardiac extension yet: the released standard knows neither a body part nor a cine suffix, so the images
carry `T2w`, the nearest suffix that validators accept, and `acq-sax` says what they are.

Reference: https://bids-specification.readthedocs.io/en/stable/derivatives/introduction.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from synthgen.datasets.card import provisos, sources_of, title
from synthgen.datasets.manifest import Manifest
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.record import SubjectEntry
from synthgen.datasets.store import Kind
from synthgen.errors import InputError
from synthgen.exports.cases import Progress, body_facts, index_names, json_bytes, separated, write_cases, write_file
from synthgen.exports.export import export
from synthgen.labels import Pathology, Phase, Sex, Tissue, Vendor

_BIDS = "1.10.0"
_SUFFIXES: Mapping[Kind, str] = {"image": "T2w", "label": "dseg"}
_README = """\
{title}

A BIDS derivative, exported by synthgen {version}. {disclaimer}
{provisos}
Limits of this format
---------------------
- BIDS has released no cardiac extension. `T2w` is the nearest suffix that validators accept: the images are like
  balanced steady-state free precession cine, not T2-weighted spin echo. `acq-sax` means a short-axis stack.
- `desc-ED` is end-diastole, `desc-ES` end-systole: two volumes, no cine.
- Grey values are arbitrary; scale and offset stand in each NIfTI header.
- No history of a subject is in here: it stays with the dataset that this was exported from, content id
  {content_id}.
"""


@export
def export_bids(source: StoredDataset, folder: Path, name: str, progress: Progress | None) -> None:
    """Write `dataset` as the BIDS derivative `out` and return it.

    Raises
    ------
    InputError
        If two ids are equal once they have letters and digits only.
    """
    subjects = source.manifest.subjects
    names = _participants(subjects)

    def place(entry: SubjectEntry, phase: Phase, kind: Kind) -> str:
        name = names[entry.id]
        return f"{name}/anat/{name}_acq-sax_desc-{phase}_{_SUFFIXES[kind]}.nii.gz"

    write_cases(source, folder, place, progress)
    for path, data in _texts(name, source.manifest, names).items():
        write_file(folder, path, data)


def _participants(subjects: Iterable[SubjectEntry]) -> dict[str, str]:
    """Return the BIDS name of each subject by its id: BIDS allows letters and digits only."""
    names = {entry.id: f"sub-{''.join(c for c in entry.id if c.isalnum())}" for entry in subjects}
    if len({name.lower() for name in names.values()}) != len(names):
        raise InputError(
            "subject ids", expected="ids that differ by their letters and digits, as BIDS asks", got="two that do not"
        )
    return names


def _texts(name: str, manifest: Manifest, names: Mapping[str, str]) -> dict[str, bytes]:
    indices = index_names(manifest.subjects)
    columns = {
        "pathology": {"Description": "Diagnostic class", "Levels": {p.value: p.name for p in Pathology}},
        "vendor": {"Description": "Style of the images", "Levels": {v.value: v.manufacturer for v in Vendor}},
        "synthgen_id": {"Description": "Id of the subject in the dataset that this was exported from"},
        "heart": {"Description": "The same for subjects that share a body: keep them on one side of a split"},
        "sex": {"Description": "Sex", "Levels": {sex.value: sex.name for sex in Sex}},
        "height_cm": {"Description": "Body height", "Units": "cm"},
        "weight_kg": {"Description": "Body weight", "Units": "kg"},
        **{index: {"Description": "Measured on the label maps; the name ends with the unit"} for index in indices},
    }
    rows = [
        {
            "participant_id": names[entry.id],
            "pathology": entry.pathology.value,
            "vendor": entry.vendor.value,
            "synthgen_id": entry.id,
            "heart": entry.heart,
            **{name: value or "n/a" for name, value in body_facts(entry).items()},
            **{index: _known(entry.indices.get(index)) for index in indices},
        }
        for entry in manifest.subjects
    ]
    tissues: list[Mapping[str, str | int | float]] = [{"index": t.value, "name": t.name.lower()} for t in Tissue]
    readme = _README.format(
        title=title(manifest),
        version=manifest.generator.version,
        disclaimer=manifest.disclaimer,
        provisos="".join(f"{line}\n" for line in provisos(manifest)),
        content_id=manifest.content_id,
    )
    return {
        "dataset_description.json": json_bytes(_description(name, manifest)),
        "participants.tsv": separated(rows, "\t"),
        "participants.json": json_bytes(columns),
        "dseg.tsv": separated(tissues, "\t"),
        "T2w.json": json_bytes({"SkullStripped": False}),  # required of every anatomical derivative, hearts included
        "README": readme.encode(),
    }


def _description(name: str, manifest: Manifest) -> dict[str, object]:
    sources = [f"{source.name} ({source.licence})" for source in sources_of(manifest)]
    return {
        "Name": name,
        "BIDSVersion": _BIDS,
        "DatasetType": "derivative",
        "License": manifest.legal.licence,
        "GeneratedBy": [
            {
                "Name": "synthgen",
                "Version": manifest.generator.version,
                "Description": "Synthetic; " + (f"made from {'; '.join(sources)}" if sources else "simulated"),
            }
        ],
        "SourceDatasets": [{"URL": f"urn:{manifest.content_id}", "Version": manifest.version}],
    }


def _known(value: float | None) -> str | float:
    return "n/a" if value is None else value
