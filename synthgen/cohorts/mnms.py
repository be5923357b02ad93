"""M&Ms, read from and written in the challenge's own layout.

- `*.csv` with one row per subject: External code, VendorName, Vendor, Centre, ED, ES (frames, counted from 0), Age,
  Pathology, Sex, Height, Weight
- `.../CODE/CODE_sa.nii.gz` and `CODE_sa_gt.nii.gz` with a time axis, or `CODE_sa_ED.nii.gz`, `CODE_sa_ED_gt.nii.gz` and
  the same for ES; labels 1 LV cavity, 2 LV myocardium, 3 RV cavity
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from synthgen.cohorts.assembly import Loaded, Person, assemble, parse_body, staged_folder
from synthgen.cohorts.conventions import MNMS_CODES, from_tissue
from synthgen.cohorts.csv_table import read_table
from synthgen.cohorts.fingerprint import fingerprint
from synthgen.cohorts.nifti import KINDS, Kind, read_frames, read_volume, write_frames
from synthgen.errors import InputError
from synthgen.labels import Pathology, Phase, Sex, Vendor
from synthgen.subjects import Body, LabelScheme, SourceCohort, SourceSubject

_CODE, _VENDOR, _PATHOLOGY = "External code", "Vendor", "Pathology"
_COLUMNS = (_CODE, "VendorName", _VENDOR, "Centre", "ED", "ES", "Age", _PATHOLOGY, "Sex", "Height", "Weight")
_REQUIRED = (_CODE, _VENDOR, "ED", "ES", _PATHOLOGY)
_INFORMATION = "M&Ms_Dataset_information.csv"
_LABELLED = Path("Training", "Labeled")
_SUFFIXES: Mapping[Kind, str] = {"image": "", "label": "_gt"}
_NOT_A_TABLE = "._"  # what macOS puts beside a file on disks that are not its own
_DEPTH = 3  # folders between the root and a subject

Row = Mapping[str, str]


class Mnms(SourceCohort):
    """The M&Ms challenge set (Campello et al. 2021, doi 10.1109/TMI.2021.3090082).

    The table is read at once; volumes when a subject is asked for. Subjects of other classes than ours, without labels,
    or not in the folder are left out and counted.

    Parameters
    ----------
    folder
        The folder that holds the table; subjects may lie up to three folders below.

    Attributes
    ----------
    subject_pathologies, subject_vendors
        Of each subject, in the order of the cohort.
    skipped
        How many rows were left out, by reason.

    Raises
    ------
    InputError
        If there is no table, it lacks a column, repeats a code, or no row is usable; naming the file.
    """

    name = "M&Ms"
    licence = "terms of the M&Ms challenge (www.ub.edu/mnms)"
    of_patients = True
    citation = (
        "V. M. Campello et al., Multi-Centre, Multi-Vendor and Multi-Disease Cardiac Segmentation: The M&Ms Challenge, "
        "IEEE TMI 40(12):3543-3554, 2021, doi 10.1109/TMI.2021.3090082"
    )
    label_scheme: LabelScheme = "heart"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._table = _find_table(folder)
        self.skipped: Counter[str] = Counter()
        self._subjects: list[tuple[Row, Path]] = []
        places = _find_folders(folder)
        for row in _read_table(self._table):
            code, pathology = row[_CODE], row[_PATHOLOGY]
            if pathology.upper() not in Pathology.__members__:
                self.skipped[f"pathology {pathology or 'not stated'}"] += 1
            elif code not in places:
                self.skipped["no folder"] += 1
            elif not _has_labels(places[code], code):
                self.skipped["no labels"] += 1
            else:
                self._subjects.append((row, places[code]))
        if not self._subjects:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.skipped.items()))
            expected = "at least one labelled subject of a known class"
            raise InputError(self._table, expected=expected, got=reasons or "an empty table")
        rows = [row for row, _ in self._subjects]
        self.subject_pathologies = [Pathology[row[_PATHOLOGY].upper()] for row in rows]
        self.subject_vendors = [Vendor.parse(row[_VENDOR], subject=f"{self._table}, {row[_CODE]}") for row in rows]

    def fingerprint(self) -> str:
        """Return a digest of the names and content of what is read: the table and the usable subjects' volumes."""
        places = [(place, row[_CODE], suffix) for row, place in self._subjects for suffix in _SUFFIXES.values()]
        return fingerprint(self._folder, [self._table, *(file for where in places for file in _files(*where).values())])

    def __len__(self) -> int:
        """Return the number of usable subjects."""
        return len(self._subjects)

    def __getitem__(self, index: int) -> SourceSubject:
        """Read subject `index`.

        Raises
        ------
        InputError
            If a frame is missing or a file is damaged or not what M&Ms holds; naming the file.
        """
        row, place = self._subjects[index]
        frames = {phase: self._parse_frame(row, phase) for phase in Phase}
        person = Person(
            subject_id=row[_CODE],
            pathology=self.subject_pathologies[index],
            vendor=self.subject_vendors[index],
            body=_parse_person(self._table, row),
        )
        images, labels = (_load(place, row[_CODE], kind, frames) for kind in KINDS)
        return assemble(person, images, labels, MNMS_CODES)

    def _parse_frame(self, row: Row, phase: Phase) -> int:
        text = row[phase.value]
        number = text.removesuffix(".0")  # what becomes of whole numbers in a column with gaps
        if not number.isdecimal():
            subject = f"{self._table}, {row[_CODE]}"
            raise InputError(subject, expected=f"a frame number at {phase}, counted from 0", got=repr(text))
        return int(number)


def write_cohort(cohort: SourceCohort, folder: Path) -> list[str]:
    """Write a cohort in the layout of M&Ms, tissues outside the heart dropped, two frames (ED 0, ES 1) per file.

    Returns
    -------
    list[str]
        The subjects' codes, in the order of the cohort: their ids with everything but letters and digits taken out.

    Raises
    ------
    InputError
        If the folder exists and is not empty, another process is writing it, or two codes are equal.
    """
    codes: list[str] = []
    with staged_folder(folder) as staged, (staged / _INFORMATION).open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, _COLUMNS)
        table.writeheader()
        for index in range(len(cohort)):
            subject = cohort[index]
            code = "".join(c for c in subject.subject_id if c.isascii() and c.isalnum())
            if not code or code in codes:
                raise InputError(subject.subject_id, expected="letters or digits that no other id has", got=repr(code))
            codes.append(code)
            table.writerow(_row(code, subject))
            _write_volumes(staged / _LABELLED / code, code, subject)
    return codes


def _row(code: str, subject: SourceSubject) -> dict[str, str]:
    body = subject.body
    return {
        _CODE: code,
        "VendorName": subject.vendor.manufacturer,
        _VENDOR: subject.vendor.value,
        "Centre": "",
        **{phase.value: str(frame) for frame, phase in enumerate(Phase)},
        "Age": "",
        _PATHOLOGY: subject.pathology.value,
        "Sex": body.sex.value if body and body.sex else "",
        "Height": f"{body.height_cm:.1f}" if body else "",
        "Weight": f"{body.weight_kg:.1f}" if body else "",
    }


def _write_volumes(place: Path, code: str, subject: SourceSubject) -> None:
    place.mkdir(parents=True)
    write_frames(place / f"{code}_sa.nii.gz", [subject.images[phase] for phase in Phase])
    labels = [subject.labels[phase] for phase in Phase]
    coded = [label.with_voxels(from_tissue(label.voxels, MNMS_CODES)) for label in labels]
    write_frames(place / f"{code}_sa_gt.nii.gz", coded)


def _find_table(folder: Path) -> Path:
    tables = [table for table in sorted(folder.glob("*.csv")) if not table.name.startswith(_NOT_A_TABLE)]
    named = [table for table in tables if "nformation" in table.name] or tables
    if not named:
        got = "no table in it" if folder.is_dir() else "no such folder"
        raise InputError(folder, expected="the table of M&Ms, *Information*.csv", got=got)
    return named[0]


def _read_table(table: Path) -> list[Row]:
    names, found = read_table(table)
    rows: list[Row] = [*found]
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise InputError(table, expected=f"a column {missing[0]}", got=", ".join(names) or "none")
    repeated = [code for code, count in Counter(row[_CODE] for row in rows).items() if count > 1]
    if repeated:
        raise InputError(table, expected="one row per External code", got=f"{repeated[0]} more than once")
    return rows


def _find_folders(root: Path) -> dict[str, Path]:
    """Return every folder below `root`, down to the depth of a subject, by its name."""
    found: dict[str, Path] = {}
    for place, names, _ in os.walk(root, followlinks=True):  # no further than its depth, so that no circle is followed
        names.sort()
        here = Path(place)
        found.update((name, here / name) for name in names if name not in found)
        if len(here.relative_to(root).parts) >= _DEPTH - 1:
            names.clear()
    return found


def _names(code: str, suffix: str, phase: Phase) -> tuple[str, ...]:
    """Return how a file of one phase may be called; the second challenge writes SA in capitals."""
    return tuple(f"{code}_{view}_{phase}{suffix}.nii.gz" for view in ("sa", "SA"))


def _has_labels(place: Path, code: str) -> bool:
    names = (f"{code}_sa_gt.nii.gz", *_names(code, "_gt", Phase.ED))
    return any((place / name).is_file() for name in names)


def _files(place: Path, code: str, suffix: str) -> dict[Phase, Path]:
    """Return the file of each phase; the cine for both if one has no file of its own."""
    stacks = {phase: [place / n for n in _names(code, suffix, phase) if (place / n).is_file()] for phase in Phase}
    cine = place / f"{code}_sa{suffix}.nii.gz"
    return {phase: files[0] if all(stacks.values()) else cine for phase, files in stacks.items()}


def _load(place: Path, code: str, kind: Kind, frames: Mapping[Phase, int]) -> dict[Phase, Loaded]:
    files = _files(place, code, _SUFFIXES[kind])
    cine = files[Phase.ED]
    if cine != files[Phase.ES]:
        return {phase: Loaded(read_volume(file, kind=kind), file) for phase, file in files.items()}
    volumes = read_frames(cine, kind=kind, frames=[frames[phase] for phase in Phase])
    return {phase: Loaded(volume, cine) for phase, volume in zip(Phase, volumes, strict=True)}


def _parse_person(table: Path, row: Row) -> Body | None:
    size = parse_body(table, row.get("Height", ""), row.get("Weight", ""))
    letter = row.get("Sex", "").upper()
    sex = Sex(letter) if letter in Sex.__members__ else None
    return Body(height_cm=size[0], weight_kg=size[1], sex=sex) if size else None
