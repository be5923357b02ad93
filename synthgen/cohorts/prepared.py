"""`PreparedStore`: a cohort resampled, cropped and normalised once, a file per subject, so that fitting can resume."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from synthgen.cohorts.preprocess import PreparedSubject, prepare
from synthgen.indices import Indices
from synthgen.labels import Pathology, Phase, Sex, Vendor
from synthgen.processes import worker_deaths, worker_pool
from synthgen.subjects import Body, SourceCohort
from synthgen.whole_file import whole_file

Progress = Callable[[int, int], None]


class PreparedStore:
    """Prepared subjects of one cohort in a folder.

    Parameters
    ----------
    folder
        Where the files lie; made when missing.
    pixels, spacing_mm
        The in-plane grid that every subject is brought to.
    images
        Whether images are kept beside label maps; of patients no more lies on a disk than is needed.
    """

    def __init__(self, folder: Path, *, pixels: int, spacing_mm: float, images: bool = True) -> None:
        self.folder, self.pixels, self.spacing_mm, self.images = folder, pixels, spacing_mm, images
        folder.mkdir(parents=True, exist_ok=True)

    def fill(self, cohort: SourceCohort, *, workers: int | None = None, progress: Progress | None = None) -> None:
        """Prepare every subject that is not there yet, on `workers` processes.

        Raises
        ------
        InputError
            What reading or preparing the first bad subject raised; subjects done before it stay.
        PartialError
            If a worker process was killed; subjects done before stay.
        """
        missing = [i for i in range(len(cohort)) if not self._file(i).exists()]
        done = len(cohort) - len(missing)
        with worker_deaths(), worker_pool(workers) as pool:
            jobs = [pool.submit(self._prepare, cohort, i) for i in missing]
            try:
                for job in as_completed(jobs):
                    job.result()
                    done += 1
                    if progress:
                        progress(done, len(cohort))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def __len__(self) -> int:
        """Return how many subjects are there."""
        return len(list(self.folder.glob("[0-9]*.safetensors")))

    def __iter__(self) -> Iterator[PreparedSubject]:
        """Read the subjects in the cohort's order."""
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> PreparedSubject:
        """Read subject `index`."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return _read(self._file(index))

    def _file(self, index: int) -> Path:
        return self.folder / f"{index:05d}.safetensors"

    def _prepare(self, cohort: SourceCohort, index: int) -> None:
        """Bring subject `index` into its file; the work of a process."""
        file = self._file(index)
        subject = prepare(cohort[index], pixels=self.pixels, spacing_mm=self.spacing_mm)
        arrays = {f"image_{p}": subject.images[p].astype(np.float16) for p in Phase if self.images}
        arrays |= {f"label_{p}": np.ascontiguousarray(subject.labels[p]) for p in Phase}
        arrays["affine"] = np.ascontiguousarray(subject.affine)
        body = asdict(subject.body) if subject.body else None
        header = {
            "subject_id": subject.subject_id,
            "pathology": subject.pathology,
            "vendor": subject.vendor,
            "body": body,
            "spacing_mm": list(subject.spacing_mm),
            "indices": subject.indices.as_dict(),
        }
        with whole_file(file) as staged:
            save_file(arrays, staged, metadata={"subject": json.dumps(header)})


def _read(file: Path) -> PreparedSubject:
    with safe_open(file, framework="numpy") as store:
        header = json.loads(store.metadata()["subject"])
        arrays = {name: store.get_tensor(name) for name in store.keys()}  # noqa: SIM118 - not a mapping
    body = header["body"]
    return PreparedSubject(
        subject_id=header["subject_id"],
        pathology=Pathology(header["pathology"]),
        vendor=Vendor(header["vendor"]),
        body=Body(**{**body, "sex": Sex(body["sex"]) if body["sex"] else None}) if body else None,
        images={p: arrays[f"image_{p}"].astype(np.float32) for p in Phase if f"image_{p}" in arrays},
        labels={p: arrays[f"label_{p}"] for p in Phase},
        spacing_mm=tuple(header["spacing_mm"]),
        affine=arrays["affine"],
        indices=Indices(**header["indices"]),
    )
