"""`simulate`: virtual hearts on disk, as a dataset of our own or in the layout of ACDC or M&Ms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from synthgen.cohorts import acdc, mnms
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.writer import DatasetWriter
from synthgen.errors import InputError
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.indices import measure
from synthgen.labels import Pathology, Vendor
from synthgen.processes import usable_processors, worker_deaths, worker_pool
from synthgen.subjects import LabelScheme, SourceCohort, SourceSubject, SyntheticSubject


class _Hearts(BaseModel):
    """What a dataset's plan says of virtual hearts: the arguments of `VirtualHearts`."""

    model_config = ConfigDict(extra="forbid")

    source: Literal["virtual hearts"]
    count: int
    seed: int
    pathologies: tuple[Pathology, ...]
    vendors: tuple[Vendor, ...]
    pixels: int
    spacing_mm: float | None
    artefacts: bool


Layout = Literal["dataset", "acdc", "mnms"]
Progress = Callable[[int, int], None]

_WRITERS: Mapping[Layout, Callable[[SourceCohort, Path], object]] = {
    "acdc": acdc.write_cohort,
    "mnms": mnms.write_cohort,
}
_AHEAD = 2  # subjects in the making per process: enough to keep it busy, few enough to stay small in memory


def simulate(
    hearts: VirtualHearts,
    out: Path,
    *,
    layout: Layout = "dataset",
    container: str | None = None,
    parent: StoredDataset | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Simulate every subject of `hearts` into the new folder `out` and return it.

    Parameters
    ----------
    layout
        `dataset`: a synthgen dataset with nine-tissue labels; an interrupted run goes on where it stopped. `acdc`,
        `mnms`: the layout and the heart labels of that challenge; an interrupted run starts over.
    container
        `zarr` (also when None), `hdf5` or `nifti`, of a dataset; the challenges have formats of their own.
    parent
        A dataset of fewer of the same hearts, which are taken over as they are; see `extend`.
    workers
        Processes that simulate; the number of cores when None.
    progress
        Called with (subjects done, subjects in all).

    Raises
    ------
    InputError
        If `out` exists, `workers` is below 1 or a challenge is asked for in a container.
    """
    if workers is not None and workers < 1:
        raise InputError("workers", expected="at least 1", got=str(workers))
    if layout == "dataset":
        target = {"container": container or "zarr", "parent": parent}
        return _as_dataset(hearts, out, target, workers, progress)
    if container is not None:
        raise InputError("format", expected=f"none, for the layout of {layout} has its own", got=container)
    return _as_challenge(hearts, out, layout, workers, progress)


def _as_dataset(
    hearts: VirtualHearts, out: Path, target: Mapping[str, Any], workers: int | None, progress: Progress | None
) -> Path:
    ids = [hearts.subject_id(index) for index in range(len(hearts))]
    with DatasetWriter.open(out, plan=_plan(hearts), subject_ids=ids, **target) as writer:
        missing = [index for index, subject_id in enumerate(ids) if subject_id not in writer.done]
        with Prefetched(hearts, missing, workers=workers, progress=progress) as ahead:
            for index in missing:
                writer.add(synthetic(ahead[index], hearts, index))
        return writer.finish({"legal": {"licence": hearts.licence, "citation": hearts.citation}})


def _as_challenge(
    hearts: VirtualHearts, out: Path, layout: Layout, workers: int | None, progress: Progress | None
) -> Path:
    if out.exists():
        raise InputError(out, expected="a name that is free", got="one that exists")
    with Prefetched(hearts, range(len(hearts)), workers=workers, progress=progress) as ahead:
        _WRITERS[layout](ahead, out)
    return out


def _plan(hearts: VirtualHearts) -> dict[str, object]:
    """Return everything that decides what the subjects are."""
    return {
        "source": hearts.name,
        "count": len(hearts),
        "seed": hearts.seed,
        "pathologies": list(hearts.pathologies),
        "vendors": list(hearts.vendors),
        "pixels": hearts.pixels,
        "spacing_mm": hearts.spacing_mm,
        "artefacts": hearts.artefacts,
    }


def hearts_of(plan: Mapping[str, object], *, more: int = 0) -> VirtualHearts:
    """Return the hearts of a dataset that `simulate` made, from its manifest's plan, and `more` of them.

    Raises
    ------
    InputError
        If the plan is not one of virtual hearts.
    """
    try:
        known = _Hearts.model_validate(plan)
    except ValidationError as error:
        reason = f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}"
        raise InputError(
            "manifest", expected="a dataset that `build` or `hearts` made", got=f"unknown origin ({reason})"
        ) from None
    return VirtualHearts(known.count + more, **known.model_dump(exclude={"source", "count"}))


def synthetic(subject: SourceSubject, hearts: VirtualHearts, index: int) -> SyntheticSubject:
    """Return a simulated subject with its indices measured and its history: the draw that makes it again."""
    return SyntheticSubject(
        subject_id=subject.subject_id,
        pathology=subject.pathology,
        vendor=subject.vendor,
        body=subject.body,
        images=subject.images,
        labels=subject.labels,
        indices=measure(subject.labels, subject.body).as_dict(),
        record={
            "source": hearts.name,
            "index": index,
            "truth": dict(subject.truth),
            "drawn": asdict(hearts.draw(index)),
        },
    )


class Prefetched:
    """A cohort whose next subjects are being made on other processes while one is used (a `SourceCohort`).

    Parameters
    ----------
    cohort
        Where subjects come from; it and its subjects cross process borders.
    order
        Indices in the order in which they will be asked for.
    workers
        Processes; the number of cores when None. With 1, everything happens in this process.
    progress
        Called with (subjects handed out, all) at each subject.
    """

    def __init__(
        self,
        cohort: SourceCohort,
        order: Sequence[int],
        *,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.name: str = cohort.name
        self.licence: str = cohort.licence
        self.citation: str = cohort.citation
        self.label_scheme: LabelScheme = cohort.label_scheme
        self.of_patients: bool = cohort.of_patients
        self.subject_pathologies, self.subject_vendors = cohort.subject_pathologies, cohort.subject_vendors
        self._cohort, self._order, self._progress = cohort, list(order), progress
        self._workers = min(workers or usable_processors(), max(len(self._order), 1))
        self._pool: ProcessPoolExecutor | None = None
        self._jobs: dict[int, Future[SourceSubject]] = {}
        self._next, self._handed = 0, len(cohort) - len(self._order)

    def __enter__(self) -> Self:
        """Start the processes."""
        if self._workers > 1:
            self._pool = worker_pool(self._workers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes; what nobody asked for is dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def fingerprint(self) -> str:
        """Return that of the cohort behind it."""
        return self._cohort.fingerprint()

    def __len__(self) -> int:
        """Return the number of subjects of the cohort."""
        return len(self._cohort)

    def __getitem__(self, index: int) -> SourceSubject:
        """Return subject `index`; waits until it is made, or makes it here when it is not the next in order."""
        subject = self._cohort[index] if self._pool is None else self._await(self._pool, index)
        self._handed += 1
        if self._progress:
            self._progress(self._handed, len(self._cohort))
        return subject

    def _await(self, pool: ProcessPoolExecutor, index: int) -> SourceSubject:
        with worker_deaths():
            while self._next < len(self._order) and len(self._jobs) < _AHEAD * self._workers:
                job = self._order[self._next]
                self._jobs[job] = pool.submit(_make, self._cohort, job)
                self._next += 1
            made = self._jobs.pop(index, None)
            return self._cohort[index] if made is None else made.result()


def _make(cohort: SourceCohort, index: int) -> SourceSubject:
    return cohort[index]
