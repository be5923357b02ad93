"""`segment`: nine tissues on real images, of one file or of a whole cohort."""

from __future__ import annotations

import functools
import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path

from synthgen.cohorts.assembly import staged_folder
from synthgen.cohorts.nifti import write_frames
from synthgen.cohorts.nifti_folder import write_subjects
from synthgen.cohorts.orientation import pose_by_affine
from synthgen.engine.tissue_maps import label_tissues, read_scan, segmentor_of, tissue_map
from synthgen.errors import InputError, writing_failed
from synthgen.evaluation.overlap import Spread, dice_of_subject, summarise
from synthgen.labels import Phase
from synthgen.networks.bundle import load_bundle
from synthgen.networks.segmentor import Segmentor
from synthgen.processes import share_processors, usable_processors, worker_deaths, worker_pool
from synthgen.subjects import SourceCohort, SourceSubject

AGREEMENT_FILE = "agreement.json"

_AHEAD = 2
"""Subjects per process that are on their way."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well the network's own hearts agree with the expert's.

    Attributes
    ----------
    folder
        Where the cohort with its nine tissues lies.
    subjects
        Dice coefficients in [0, 1] by subject: `lv`, `myo`, `rv` and their `mean`.
    """

    folder: Path
    subjects: dict[str, dict[str, float]]

    @property
    def dice(self) -> dict[str, Spread]:
        """Mean and standard deviation over the subjects."""
        return summarise(list(self.subjects.values()))


def segment_image(image: Path, out: Path, *, bundle: str | Path = "default") -> Path:
    """Write the tissues of every frame of a NIfTI file, in the codes of `Tissue`, on the file's own grid.

    The network knows hearts with the right ventricle to the left and the chest wall up. An affine that points where
    hearts point tells how a stack must be turned in plane for that; with any other it is taken as it lies.

    Parameters
    ----------
    image
        Short-axis stack, `.nii` or `.nii.gz`, with or without a time axis.
    out
        Folder; made when missing. The file is named as the image, `_tissues` appended.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        If the image cannot be read or is no scan, the file exists, or the bundle has no segmentor.
    SynthgenError
        If the file system refuses to write.
    """
    image, out = Path(image), Path(out)
    file = out / f"{image.name.removesuffix('.gz').removesuffix('.nii')}_tissues.nii.gz"
    if file.exists():
        raise InputError(file, expected="a name that is free", got="a file")
    if out.exists() and not out.is_dir():
        raise InputError(out, expected="a folder", got="a file")
    net = _segmentor(bundle)
    frames = read_scan(image)
    pose = pose_by_affine(frames[0])
    labels = []
    for frame in frames:
        found = tissue_map(net, pose.apply(frame))
        labels.append(frame.with_voxels(pose.undo(found.with_heart(found.heart))))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_failed(out, error) from error
    write_frames(file, labels)
    return file


def segment_cohort(
    cohort: SourceCohort,
    out: Path,
    *,
    bundle: str | Path = "default",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Agreement:
    """Write a cohort with nine tissues around the expert's hearts, and how well the network finds hearts by itself.

    The folder can be read as `cohorts.nifti_folder.NiftiFolder(out, label_scheme="tissue")`. `agreement.json` has the
    Dice coefficients of the network's own hearts, subject by subject, before the expert's take their place. Stacks
    are segmented lying as the cohort brings them to lie, by the expert's labels.

    Parameters
    ----------
    out
        Folder; new or empty.
    workers
        Processes; one per core when None. The result is the same for any number.

    Raises
    ------
    InputError
        If `out` holds something, `workers` is below 1, a subject cannot be read, or the bundle has no segmentor.
    PartialError
        If a worker process was killed; nothing is left then.
    """
    out = Path(out)
    if workers is not None and workers < 1:
        raise InputError("workers", expected="at least 1", got=str(workers))
    _segmentor(bundle)  # refuse now what every worker would refuse
    agreement = Agreement(folder=out, subjects={})
    with staged_folder(out) as staged:
        about = {"name": cohort.name, "licence": cohort.licence, "citation": cohort.citation}
        write_subjects(_labelled(cohort, bundle, workers, progress, agreement), staged, about)
        dice = {name: asdict(spread) for name, spread in agreement.dice.items()}
        document = {"bundle": str(bundle), "cohort": about, "dice": dice, "subjects": agreement.subjects}
        (staged / AGREEMENT_FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return agreement


def _labelled(
    cohort: SourceCohort,
    bundle: str | Path,
    workers: int | None,
    progress: Progress | None,
    agreement: Agreement,
) -> Iterator[SourceSubject]:
    """Yield the subjects with their tissues, in the cohort's order, and note the agreement of each."""
    count, ahead = len(cohort), _AHEAD * (workers or usable_processors())
    jobs: deque[Future[tuple[SourceSubject, dict[str, float]]]] = deque()
    with worker_deaths(), worker_pool(workers) as pool:
        try:
            for index in range(count + ahead):
                if index < count:
                    jobs.append(pool.submit(_label, cohort, index, bundle))
                if index >= ahead and jobs:  # a few subjects wait at a time, however slow the disk is
                    subject, dice = jobs.popleft().result()
                    agreement.subjects[subject.subject_id] = dice
                    yield subject
                    if progress:
                        progress(len(agreement.subjects), count)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _label(cohort: SourceCohort, index: int, bundle: str | Path) -> tuple[SourceSubject, dict[str, float]]:
    """Work of one process: read a subject, label its tissues, compare its heart with the expert's."""
    share_processors()
    known = cohort[index]
    labelled, hearts = label_tissues(_segmentor(bundle), known)
    return labelled, dice_of_subject(hearts, {phase: known.labels[phase].voxels for phase in Phase})


@functools.lru_cache(maxsize=1)
def _segmentor(bundle: str | Path) -> Segmentor:
    return segmentor_of(load_bundle(bundle))
