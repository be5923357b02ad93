"""Anyone's cohort: NIfTI files and one table, `subjects.csv`.

Columns, in any order:

- `subject_id`: unique; letters, digits, dot, dash, underscore
- `pathology`: NOR, MINF, DCM, HCM or ARV
- `vendor`: A, B, C or D (Siemens, Philips, GE, Canon)
- `height_cm`, `weight_kg`, `sex` (F or M): empty, `N/A`, `-` or `unknown` if not known
- `ed_image`, `ed_label`, `es_image`, `es_label`: paths inside the folder, `.nii` or `.nii.gz`, one volume each

A file `cohort.json` beside it may say `name`, `licence` and `citation`, which a bundle fitted on the folder repeats.

Labels are 1 LV cavity, 2 LV myocardium, 3 RV cavity; with `label_scheme="tissue"` all nine codes of `Tissue`.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from synthgen.cohorts.assembly import Loaded, Person, assemble, is_stated, parse_body
from synthgen.cohorts.conventions import MNMS_CODES
from synthgen.cohorts.csv_table import read_table
from synthgen.cohorts.fingerprint import fingerprint
from synthgen.cohorts.nifti import KINDS, Kind, read_volume, write_volume
from synthgen.errors import InputError
from synthgen.labels import Pathology, Phase, Sex, Vendor
from synthgen.subjects import Body, LabelScheme, SourceCohort, SourceSubject

TABLE, ABOUT = "subjects.csv", "cohort.json"

_MAX_ABOUT_BYTES = 1 << 16

_FILES = {(phase, kind): f"{phase.value.lower()}_{kind}" for phase in Phase for kind in KINDS}
_BODY = ("height_cm", "weight_kg", "sex")
_COLUMNS = ("subject_id", "pathology", "vendor", *_BODY, *_FILES.values())
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class NiftiFolder(SourceCohort):
    """A folder of NIfTI files with a table `subjects.csv`.

    The table is read at once; volumes when a subject is asked for.

    Parameters
    ----------
    folder
        The folder that holds the table. Files outside it are refused.
    label_scheme
        `heart` for labels 0 to 3, `tissue` for all nine.

    Attributes
    ----------
    subject_pathologies, subject_vendors
        Of each subject, in the order of the table.

    Raises
    ------
    InputError
        If the table is missing, lacks a column, repeats an id or holds a value outside a vocabulary.
    """

    licence = "not stated"
    of_patients = True
    citation = ""

    def __init__(self, folder: Path, *, label_scheme: LabelScheme = "heart") -> None:
        about = _read_about(folder / ABOUT)
        self.name = about.get("name", _real(folder).name)
        self.licence, self.citation = about.get("licence", self.licence), about.get("citation", self.citation)
        self.label_scheme: LabelScheme = label_scheme
        self._folder = folder
        self._table = folder / TABLE
        self._rows = _read_table(self._table)
        self.subject_pathologies = [Pathology.parse(row["pathology"], subject=self._where(row)) for row in self._rows]
        self.subject_vendors = [Vendor.parse(row["vendor"], subject=self._where(row)) for row in self._rows]

    def fingerprint(self) -> str:
        """Return a digest of the names and content of the table and the volumes that it names.

        Raises
        ------
        InputError
            If the table names a file outside the folder.
        """
        volumes = [self._file(row, phase, kind) for row in self._rows for phase, kind in _FILES]
        return fingerprint(self._folder, [self._table, *volumes])

    def __len__(self) -> int:
        """Return the number of rows of the table."""
        return len(self._rows)

    def __getitem__(self, index: int) -> SourceSubject:
        """Read subject `index`.

        Raises
        ------
        InputError
            If a file is missing, outside the folder, damaged, or not as documented; naming it.
        """
        row = self._rows[index]
        person = Person(
            subject_id=row["subject_id"],
            pathology=self.subject_pathologies[index],
            vendor=self.subject_vendors[index],
            body=self._parse_body(row),
        )
        convention = MNMS_CODES if self.label_scheme == "heart" else None
        return assemble(person, self._load(row, "image"), self._load(row, "label"), convention)

    def _where(self, row: Mapping[str, str]) -> str:
        return f"{self._table}, {row['subject_id']}"

    def _parse_body(self, row: Mapping[str, str]) -> Body | None:
        size = parse_body(self._table, row["height_cm"], row["weight_kg"])
        sex = Sex.parse(row["sex"], subject=self._where(row)) if is_stated(row["sex"]) else None
        return Body(height_cm=size[0], weight_kg=size[1], sex=sex) if size else None

    def _load(self, row: Mapping[str, str], kind: Kind) -> dict[Phase, Loaded]:
        files = {phase: self._file(row, phase, kind) for phase in Phase}
        return {phase: Loaded(read_volume(file, kind=kind), file) for phase, file in files.items()}

    def _file(self, row: Mapping[str, str], phase: Phase, kind: Kind) -> Path:
        file = self._folder / row[_FILES[phase, kind]]
        if not _real(file).is_relative_to(_real(self._folder)):
            raise InputError(self._where(row), expected="a path inside the folder of the table", got=str(file))
        return file


def write_subjects(subjects: Iterable[SourceSubject], folder: Path, about: Mapping[str, str]) -> None:
    """Write subjects, their table and what there is to say about the cohort into an empty folder.

    Labels are written as they are, heart or tissue; `about` has `name`, `licence` and `citation`.

    Raises
    ------
    InputError
        If a subject's id cannot name a folder, or comes twice.
    """
    (folder / ABOUT).write_text(json.dumps(dict(about), indent=1) + "\n", encoding="utf-8")
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        table.writeheader()
        for subject in subjects:
            table.writerow(_write_subject(subject, folder))


def _write_subject(subject: SourceSubject, folder: Path) -> dict[str, object]:
    """Write a subject's volumes and return its row of the table."""
    place, body = folder / subject.subject_id, subject.body
    if not _ID.fullmatch(subject.subject_id) or place.exists():
        expected = "an id of its own, of letters, digits, dot, dash and underscore"
        raise InputError(f"subject {subject.subject_id!r}", expected=expected, got="another")
    place.mkdir()
    row: dict[str, object] = {
        "subject_id": subject.subject_id, "pathology": subject.pathology.value, "vendor": subject.vendor.value,
        "height_cm": f"{body.height_cm:.10g}" if body else "", "weight_kg": f"{body.weight_kg:.10g}" if body else "",
        "sex": body.sex.value if body and body.sex else "",
    }  # fmt: skip
    for (phase, kind), column in _FILES.items():
        file = place / f"{column}.nii.gz"
        write_volume(file, (subject.images if kind == "image" else subject.labels)[phase])
        row[column] = file.relative_to(folder).as_posix()
    return row


def _real(path: Path) -> Path:
    """Return where a path leads; links that go round in a circle are left to whoever opens them."""
    return Path(os.path.realpath(path))


def _read_about(file: Path) -> dict[str, str]:
    """Return what a folder says about itself, nothing if it says nothing."""
    if not file.exists():
        return {}
    try:
        small = file.is_file() and file.stat().st_size <= _MAX_ABOUT_BYTES
        about = json.loads(file.read_text(encoding="utf-8")) if small else None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(file, expected="JSON", got=f"{type(error).__name__}: {error}") from error
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise InputError(file, expected="a small object of texts: name, licence, citation", got="something else")
    return about


def _read_table(table: Path) -> list[dict[str, str]]:
    names, found = read_table(table)
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise InputError(table, expected=f"columns {', '.join(_COLUMNS)}", got=f"no column {missing[0]}")
    rows = [{name: row[name] for name in _COLUMNS} for row in found]
    if not rows:
        raise InputError(table, expected="at least one subject", got="none")
    for name, count in Counter(row["subject_id"] for row in rows).items():
        if not _ID.fullmatch(name):
            raise InputError(table, expected="ids of letters, digits, dot, dash and underscore", got=repr(name))
        if count > 1:
            raise InputError(table, expected="one row per subject_id", got=f"{name} more than once")
    return rows
