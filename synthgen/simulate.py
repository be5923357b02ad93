"""`simulate`: virtual hearts on disk, as a dataset of our own or in the layout of ACDC or M&Ms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from synthgen.cohorts import acdc, mnms
from synthgen.cohorts.prefetched import Prefetched
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.writer import DatasetWriter
from synthgen.errors import InputError
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.indices import measure
from synthgen.labels import Pathology, Vendor
from synthgen.subjects import SourceCohort, SourceSubject, SyntheticSubject


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
    PartialError
        If it was interrupted or a worker process was killed; the same call goes on with a dataset.
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
            "manifest", expected="a dataset that `build`, `hearts` or `render` made", got=f"unknown origin ({reason})"
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
