"""`open_cohort`: a cohort from the words that say what and where it is."""

from __future__ import annotations

from pathlib import Path

from synthgen.cohorts.acdc import Acdc
from synthgen.cohorts.mnms import Mnms
from synthgen.cohorts.nifti_folder import NiftiFolder
from synthgen.errors import InputError
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.subjects import SourceCohort

_KINDS = ("hearts", "acdc", "mnms", "nifti", "tissues")


def open_cohort(text: str | Path, *, seed: int = 0) -> SourceCohort:
    """Return the cohort written as `hearts:400`, `acdc:DIR`, `mnms:DIR`, `nifti:DIR` or `tissues:DIR`.

    Parameters
    ----------
    text
        That many virtual hearts, 1048576 at most, or a folder of ACDC, of M&Ms, or of NIfTI files with a table
        `subjects.csv`; after `tissues:` the last with labels of all nine tissues. A path is taken as its text.
    seed
        Of virtual hearts.

    Raises
    ------
    InputError
        If the kind is unknown, or what the cohort itself refuses.
    """
    kind, _, place = str(text).partition(":")
    if kind not in _KINDS or not place:
        raise InputError(
            "COHORT", expected="hearts:COUNT, acdc:DIR, mnms:DIR, nifti:DIR or tissues:DIR", got=repr(text)
        )
    if kind == "hearts":
        if not place.isdecimal() or len(place) > 99:  # Python reads and writes no number of thousands of digits
            raise InputError("COHORT", expected="hearts:COUNT, such as hearts:400", got=repr(text)[:99])
        return VirtualHearts(int(place), seed=seed)
    return _open_files(kind, Path(place))


def _open_files(kind: str, folder: Path) -> SourceCohort:
    if kind == "acdc":
        return Acdc(folder)
    if kind == "mnms":
        return Mnms(folder)
    return NiftiFolder(folder, label_scheme="tissue" if kind == "tissues" else "heart")
