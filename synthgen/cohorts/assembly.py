"""From files of one patient to a `SourceSubject`: codes checked, one grid, one orientation. Shared by all readers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import numpy as np

from synthgen.cohorts.conventions import Convention, check_codes, check_geometry, to_tissue
from synthgen.cohorts.orientation import find_move
from synthgen.errors import InputError, writing_failed
from synthgen.labels import HEART, Pathology, Phase, Tissue, Vendor
from synthgen.lock import FolderLock
from synthgen.subjects import Body, SourceSubject
from synthgen.volumes import Volume

HEIGHT_CM = (50.0, 250.0)
WEIGHT_KG = (3.0, 350.0)

_UNKNOWN = ("", "nan", "na", "n/a", "none", "-", "unknown")


@dataclass(frozen=True)
class Loaded:
    """One volume as its file holds it, and the file."""

    volume: Volume
    file: Path


@dataclass(frozen=True)
class Person:
    """What is known of a subject beside its volumes."""

    subject_id: str
    pathology: Pathology
    vendor: Vendor
    body: Body | None


def assemble(
    person: Person,
    images: Mapping[Phase, Loaded],
    labels: Mapping[Phase, Loaded],
    convention: Convention | None,
) -> SourceSubject:
    """Check and orient the volumes of one patient.

    Parameters
    ----------
    images, labels
        As read, by phase; labels in the codes of the file.
    convention
        What the codes mean; None when they are all nine codes of `Tissue` already.

    Raises
    ------
    InputError
        Naming the file at fault: volumes on different grids, codes outside the convention, a structure missing at ED,
        ventricles in another order than the convention says, tissues that are hearts alone, an LV cavity that does not
        contract, or a mirrored stack.
    """
    reference = images[Phase.ED]
    for other in (*images.values(), *labels.values()):
        _check_grid(reference, other)
    maps = {phase: _tissue_map(phase, loaded, convention) for phase, loaded in labels.items()}
    _check_contraction(person.subject_id, labels[Phase.ES].file, maps)
    move = find_move(str(labels[Phase.ED].file), maps[Phase.ED], maps[Phase.ES])
    return SourceSubject(
        subject_id=person.subject_id,
        pathology=person.pathology,
        vendor=person.vendor,
        body=person.body,
        images={phase: move.apply(loaded.volume) for phase, loaded in images.items()},
        labels={phase: move.apply(label) for phase, label in maps.items()},
    )


def parse_body(source: Path, height: str, weight: str) -> tuple[float, float] | None:
    """Return height in cm and weight in kg, or None if either is not stated or 0.

    Raises
    ------
    InputError
        If a stated value is not a number or not of a person; naming `source`.
    """
    if not all(is_stated(text) and text.strip(" 0.") for text in (height, weight)):
        return None
    return (
        parse_number(source, "height in cm", height, HEIGHT_CM),
        parse_number(source, "weight in kg", weight, WEIGHT_KG),
    )


def is_stated(text: str) -> bool:
    """Return whether a cell says something, other than that the value is unknown."""
    return text.strip().lower() not in _UNKNOWN


def parse_number(source: Path, what: str, text: str, limits: tuple[float, float]) -> float:
    """Return the number written as `text` if it lies within `limits`.

    Raises
    ------
    InputError
        Otherwise; naming `source` and `what`.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not limits[0] <= value <= limits[1]:  # false for NaN too
        raise InputError(source, expected=f"{what} from {limits[0]:g} to {limits[1]:g}", got=repr(text))
    return value


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to write into, and give it its final name when the block ends well; remove it when it does not.

    It lies beside `folder`, under a hidden name.

    Raises
    ------
    InputError
        If `folder` exists and holds something, or another process is writing it.
    SynthgenError
        If the file system refuses to write.
    """
    target = Path(os.path.realpath(folder))  # has a name, which `.` has not
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_failed(target, error) from error
    with FolderLock(target):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(folder, expected="a new or empty folder", got="something in its place")
        staged = target.with_name(f".{target.name}.partial")
        rmtree(staged, ignore_errors=True)  # of a killed process: nobody else writes here
        try:
            staged.mkdir()
            yield staged
            _publish(staged, target)
        except OSError as error:
            if error.filename is not None:  # it says itself of which file it is, perhaps one that is only read
                raise
            raise writing_failed(folder, error) from error
        finally:
            rmtree(staged, ignore_errors=True)


def _publish(staged: Path, target: Path) -> None:
    """Give `staged` its name; an empty folder stays and is filled, since it may be the one that a shell is in."""
    if target.is_dir():
        for entry in staged.iterdir():
            entry.replace(target / entry.name)
    else:
        staged.replace(target)


def _check_grid(reference: Loaded, other: Loaded) -> None:
    one, two = reference.volume, other.volume
    if one.shape != two.shape:
        got = f"{two.shape}"
        raise InputError(other.file, expected=f"the shape {one.shape} (z, y, x) of {reference.file.name}", got=got)
    if not np.allclose(one.spacing_mm, two.spacing_mm, rtol=1e-3):
        expected = f"the spacing {_mm(one)} of {reference.file.name}"
        raise InputError(other.file, expected=expected, got=_mm(two))
    corners = np.array([[0, 0, 0, 1], [*(n - 1 for n in one.shape[::-1]), 1]]).T
    if not np.allclose(one.affine @ corners, two.affine @ corners, atol=0.5 * min(one.spacing_mm)):
        got = "another position or orientation"
        raise InputError(other.file, expected=f"the place in space of {reference.file.name}", got=got)


def _check_contraction(subject_id: str, file: Path, maps: Mapping[Phase, Volume]) -> None:
    """Refuse a heart whose LV cavity is not smaller at ES: indices and motion of swapped phases would be nonsense."""
    ed_ml, es_ml = (np.count_nonzero(maps[p].voxels == Tissue.LV) * maps[p].voxel_ml for p in (Phase.ED, Phase.ES))
    if es_ml >= ed_ml:
        raise InputError(
            f"{file}, {subject_id}",
            expected=f"a smaller LV cavity at ES than the {ed_ml:.1f} ml at ED",
            got=f"{es_ml:.1f} ml",
            hint="Perhaps ED and ES are swapped, or the same frame",
        )


def _mm(volume: Volume) -> str:
    return " x ".join(f"{s:g}" for s in volume.spacing_mm) + " mm"


def _tissue_map(phase: Phase, loaded: Loaded, convention: Convention | None) -> Volume:
    """Return the label in the codes of `Tissue`; a hypertrophic cavity may vanish at ES, nothing else may.

    A map of tissues has some around the heart: one without would be learnt as a heart in empty space.
    """
    label, file = loaded.volume, loaded.file
    codes = {tissue: code for code, tissue in (convention or {t.value: t for t in Tissue}).items()}
    needed = HEART if phase is Phase.ED else (Tissue.MYO, Tissue.RV)
    allowed = range(len(Tissue) if convention is None else max(convention) + 1)
    check_codes(file, label.voxels, allowed, tuple(codes[tissue] for tissue in needed))
    if phase is Phase.ED:
        check_geometry(file, label.voxels, convention or {codes[tissue]: tissue for tissue in HEART})
    if convention is None and not (label.voxels > max(HEART)).any():
        hint = "For a folder of hearts alone write nifti:DIR, or label_scheme heart"
        raise InputError(file, expected="tissues around the heart, labels 4 to 8", got="none", hint=hint)
    return label if convention is None else label.with_voxels(to_tissue(label.voxels, convention))
