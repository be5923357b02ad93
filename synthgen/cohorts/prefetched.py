"""`Prefetched`: a cohort whose next subjects are being made on other processes while one is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import Self

from synthgen.processes import usable_processors, worker_deaths, worker_pool
from synthgen.subjects import LabelScheme, SourceCohort, SourceSubject

Progress = Callable[[int, int], None]

_AHEAD = 2  # subjects in the making per process: enough to keep it busy, few enough to stay small in memory


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
