"""ACDC, read from and written in the challenge's own layout.

- `patientNNN/Info.cfg`: ED, ES (frames, counted from 1), Group, Height, Weight, NbFrame
- `patientNNN/patientNNN_frameFF.nii.gz`: image at ED or ES
- `patientNNN/patientNNN_frameFF_gt.nii.gz`: labels, 1 RV cavity, 2 LV myocardium, 3 LV cavity
"""

from __future__ import annotations

import re
from pathlib import Path

from synthgen.cohorts.assembly import Loaded, Person, assemble, parse_body, staged_folder
from synthgen.cohorts.conventions import ACDC_CODES, from_tissue
from synthgen.cohorts.fingerprint import fingerprint
from synthgen.cohorts.nifti import KINDS, Kind, read_volume, write_volume
from synthgen.errors import InputError
from synthgen.labels import Pathology, Phase, Vendor
from synthgen.subjects import Body, LabelScheme, SourceCohort, SourceSubject

_PATIENT = re.compile(r"patient\d{3,}")
_FOLDERS = (".", "training", "database/training")
_RIGHT_VENTRICLE = "RV"  # what ACDC calls the class ARV
_MAX_FRAMES = 200
_MAX_CONFIG_BYTES = 2**16
_FRAMES = {Phase.ED: 1, Phase.ES: 2}  # of a written cohort


class Acdc(SourceCohort):
    """The ACDC training set (Bernard et al. 2018, doi 10.1109/TMI.2018.2837502).

    Every `Info.cfg` is read at once; volumes when a subject is asked for.

    Parameters
    ----------
    folder
        The folder that holds `patient001` and so on, or the one above its `training`.

    Attributes
    ----------
    subject_pathologies, subject_vendors
        Class and vendor of each subject, in the order of the cohort.

    Raises
    ------
    InputError
        If the folder holds no patient, or an `Info.cfg` is missing or wrong; naming the file.
    """

    name = "ACDC"
    licence = "CC BY-NC-SA 4.0"
    of_patients = True
    citation = (
        "O. Bernard et al., Deep Learning Techniques for Automatic MRI Cardiac Multi-structures Segmentation and "
        "Diagnosis: Is the Problem Solved?, IEEE TMI 37(11):2514-2525, 2018, doi 10.1109/TMI.2018.2837502"
    )
    label_scheme: LabelScheme = "heart"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        roots = [folder / name for name in _FOLDERS]
        found = ([p for p in sorted(r.glob("patient*")) if _PATIENT.fullmatch(p.name)] for r in roots if r.is_dir())
        self._folders = next((patients for patients in found if patients), [])
        if not self._folders:
            got = "no such folder inside" if folder.is_dir() else "no such folder"
            raise InputError(folder, expected="ACDC's patient001, patient002 and so on", got=got)
        self._info = [_read_info(patient / "Info.cfg") for patient in self._folders]
        entries = zip(self._folders, self._info, strict=True)
        self.subject_pathologies = [_parse_group(patient / "Info.cfg", info) for patient, info in entries]
        self.subject_vendors = [Vendor.A] * len(self._folders)

    def fingerprint(self) -> str:
        """Return a digest of the names and content of what is read: every `Info.cfg` and the files of ED and ES.

        Raises
        ------
        InputError
            If an `Info.cfg` does not say which frames these are; naming it.
        """
        configs = [patient / "Info.cfg" for patient in self._folders]
        volumes = [self._file(i, phase, kind) for i in range(len(self)) for phase in Phase for kind in KINDS]
        return fingerprint(self._folders[0].parent, [*configs, *volumes])

    def __len__(self) -> int:
        """Return the number of patients."""
        return len(self._folders)

    def __getitem__(self, index: int) -> SourceSubject:
        """Read patient `index`.

        Raises
        ------
        InputError
            If a frame is missing or a file is damaged or not what ACDC holds; naming the file.
        """
        patient, info = self._folders[index], self._info[index]
        config = patient / "Info.cfg"
        frames = {phase: _parse_frame(config, info, phase) for phase in Phase}
        if frames[Phase.ED] == frames[Phase.ES]:
            raise InputError(config, expected="ED and ES at different frames", got=f"both at frame {frames[Phase.ED]}")
        size = parse_body(config, info.get("Height", ""), info.get("Weight", ""))
        person = Person(
            subject_id=patient.name,
            pathology=self.subject_pathologies[index],
            vendor=self.subject_vendors[index],
            body=Body(height_cm=size[0], weight_kg=size[1]) if size else None,
        )
        return assemble(
            person,
            {phase: self._load(index, phase, "image") for phase in Phase},
            {phase: self._load(index, phase, "label") for phase in Phase},
            ACDC_CODES,
        )

    def _load(self, index: int, phase: Phase, kind: Kind) -> Loaded:
        file = self._file(index, phase, kind)
        return Loaded(read_volume(file, kind=kind), file)

    def _file(self, index: int, phase: Phase, kind: Kind) -> Path:
        """Return the file of one volume, packed or plain; the packed name if there is neither."""
        patient = self._folders[index]
        frame = _parse_frame(patient / "Info.cfg", self._info[index], phase)
        stem = f"{patient.name}_frame{frame:02d}" + ("_gt" if kind == "label" else "")
        packed, plain = patient / f"{stem}.nii.gz", patient / f"{stem}.nii"
        return plain if plain.is_file() and not packed.is_file() else packed


def write_cohort(cohort: SourceCohort, folder: Path) -> list[str]:
    """Write a cohort in the layout of ACDC, tissues outside the heart dropped.

    Patients are numbered from `patient001` in the order of the cohort; `Info.cfg` gets a line `Source` with the
    subject's own id. Vendor and sex have no place in this layout and are not written.

    Returns
    -------
    list[str]
        The patients' names, in the order of the cohort.

    Raises
    ------
    InputError
        If the folder exists and is not empty, or another process is writing it.
    """
    names = [f"patient{index + 1:03d}" for index in range(len(cohort))]
    with staged_folder(folder) as staged:
        for index, name in enumerate(names):
            _write_subject(cohort[index], staged / name)
    return names


def _write_subject(subject: SourceSubject, patient: Path) -> None:
    patient.mkdir()
    group = _RIGHT_VENTRICLE if subject.pathology is Pathology.ARV else subject.pathology.value
    lines = [f"{phase}: {frame}" for phase, frame in _FRAMES.items()]
    lines += [f"Group: {group}", f"NbFrame: {len(_FRAMES)}", f"Source: {subject.subject_id}"]
    if subject.body is not None:
        lines += [f"Height: {subject.body.height_cm:.1f}", f"Weight: {subject.body.weight_kg:.1f}"]
    (patient / "Info.cfg").write_text("\n".join(sorted(lines)) + "\n", encoding="ascii", errors="backslashreplace")
    for phase, frame in _FRAMES.items():
        stem = f"{patient.name}_frame{frame:02d}"
        write_volume(patient / f"{stem}.nii.gz", subject.images[phase])
        label = subject.labels[phase]
        write_volume(patient / f"{stem}_gt.nii.gz", label.with_voxels(from_tissue(label.voxels, ACDC_CODES)))


def _read_info(config: Path) -> dict[str, str]:
    if not config.is_file() or config.stat().st_size > _MAX_CONFIG_BYTES:  # reading a pipe would never end
        got = "a larger file" if config.is_file() else "no file"
        raise InputError(config, expected=f"a text file of at most {_MAX_CONFIG_BYTES} bytes", got=got)
    try:
        text = config.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(config, expected="a text file with ED, ES and Group", got=type(error).__name__) from error
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _parse_group(config: Path, info: dict[str, str]) -> Pathology:
    if "Group" not in info:
        raise InputError(config, expected="a line Group", got="none")
    if info["Group"].upper() == _RIGHT_VENTRICLE:
        return Pathology.ARV
    return Pathology.parse(info["Group"], subject=str(config))


def _parse_frame(config: Path, info: dict[str, str], phase: Phase) -> int:
    text = info.get(phase.value, "")
    if not (text.isdecimal() and 1 <= int(text) <= _MAX_FRAMES):
        got = repr(text) if text else "none"
        raise InputError(config, expected=f"a frame number at {phase}, counted from 1", got=got)
    return int(text)
