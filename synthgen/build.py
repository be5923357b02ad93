"""`build`: from a recipe to a published dataset, resumable, the same whatever the workers."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import torch

from synthgen.datasets.containers import store_of
from synthgen.datasets.manifest import MANIFEST, Manifest, load_manifest
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.staging import store_subject
from synthgen.datasets.writer import DatasetWriter
from synthgen.engine.generate import Generator
from synthgen.engine.plan import SubjectSpec, plan
from synthgen.engine.recipe import Recipe
from synthgen.errors import InputError, SynthgenError
from synthgen.networks.bundle import Bundle, bundle_of, load_bundle
from synthgen.networks.device import device_of
from synthgen.processes import one_torch_thread, uninterrupted, usable_processors
from synthgen.subjects import SyntheticSubject

Progress = Callable[[int, int], None]
"""Called with the subjects done and the subjects in all."""

_QUEUED_PER_WORKER = 2
_DISK_IS_THE_LIMIT = 0.2  # share of the workers' time spent waiting for the writer
_RECORD_BYTES = 16_384
_TRIALS = 2


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a build did.

    Attributes
    ----------
    subjects, slices
        In the dataset, ED and ES slices counted.
    resumed
        Subjects that an earlier run had made.
    counts
        Subjects by class and vendor, such as `ARV-A`.
    draws, rejected
        By class: hearts drawn, and gates that rejected one with how often (a heart can fail several).
    seconds, slices_per_second
        Of this run.
    limit
        `compute` or `disk`: what the run waited for.
    """

    dataset: str
    subjects: int
    slices: int
    resumed: int
    counts: dict[str, int]
    draws: dict[str, int]
    rejected: dict[str, dict[str, int]]
    seconds: float
    slices_per_second: float
    limit: str
    workers: int
    device: str

    def as_dict(self) -> dict[str, object]:
        """Return the summary as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a build would take.

    Attributes
    ----------
    seconds
        Wall time on `workers` of this machine, from subjects made for timing.
    memory_bytes, disk_bytes
        Peak resident memory of the process and size of the dataset.
    """

    subjects: int
    slices: int
    seconds: float
    memory_bytes: int
    disk_bytes: int
    workers: int
    device: str

    def as_dict(self) -> dict[str, object]:
        """Return the estimate as JSON values."""
        return asdict(self)


def build(
    recipe: Recipe,
    out: Path | str,
    *,
    parent: StoredDataset | None = None,
    workers: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Build the dataset that `recipe` asks for; the same call goes on with an unfinished one.

    Parameters
    ----------
    out
        Folder to publish. Until then the work lies in `out.partial`.
    parent
        A smaller dataset of the same conditions, whose subjects are taken over as they are; see `extend`.
    workers
        Threads that make subjects; the number of processors when None, one on a GPU.
    device
        `auto`, `cpu` or a CUDA device; None is `auto`.
    progress
        Called in the calling thread after every subject.

    Raises
    ------
    InputError
        If the bundle cannot serve the recipe, or `out` is taken.
    UnreachableError
        If a class is out of reach; accepted subjects stay in `out.partial`.
    PartialError
        If the run was interrupted; the same call goes on.
    """
    started = time.perf_counter()
    place = device_of(device)
    crew = _workers(workers, place)
    bundle = load_bundle(recipe.bundle)
    specs = plan(recipe, bundle)
    if parent is not None:
        _refuse_stranger(parent, specs)
    with DatasetWriter.open(
        out,
        plan=_plan_document(recipe, bundle),
        subject_ids=[spec.subject_id for spec in specs],
        container=recipe.format,
        parent=parent,
    ) as writer:
        done = writer.done
        todo = [spec for spec in specs if spec.subject_id not in done]
        line = _Line(writer, done=len(done), total=len(specs), progress=progress)
        if todo:
            line.run(Generator(bundle, device=place), todo, crew)
        folder = writer.finish(_extra(bundle, place))
    return _summarise(folder, specs, line, time.perf_counter() - started, (crew, place))


def dry_run(recipe: Recipe, *, workers: int | None = None, device: str | None = None) -> Estimate:
    """Estimate a build by making its first subjects and throwing them away.

    Raises
    ------
    InputError
        If the bundle cannot serve the recipe.
    UnreachableError
        If a subject made for timing is out of reach.
    """
    place = device_of(device)
    crew = _workers(workers, place)
    bundle = load_bundle(recipe.bundle)
    specs = plan(recipe, bundle)
    generator = Generator(bundle, device=place)
    with one_torch_thread():
        generator.generate(specs[0])  # first use of every kernel
        started = time.perf_counter()
        trials = [generator.generate(specs[i % len(specs)]) for i in range(_TRIALS)]
        each = (time.perf_counter() - started) / len(trials)
    slices = sum(_slices(subject) for subject in trials) / len(trials)
    size = sum(_stored_bytes(subject, recipe.format) for subject in trials) / len(trials)
    usable = min(crew, len(specs), usable_processors())
    return Estimate(
        subjects=len(specs),
        slices=round(slices * len(specs)),
        seconds=round(each * len(specs) / usable, 1),
        memory_bytes=_peak_memory() + int(usable * _stack_bytes(trials[0])),
        disk_bytes=round(size * len(specs)),
        workers=crew,
        device=place,
    )


@dataclass
class _Line:
    """The production line: workers make subjects, the calling thread writes them, a bounded queue lies between."""

    writer: DatasetWriter
    done: int
    total: int
    progress: Progress | None
    made: int = 0
    waited: float = 0.0
    worked: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _errors: list[BaseException] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def run(self, generator: Generator, todo: Sequence[SubjectSpec], workers: int) -> None:
        """Make and write every subject of `todo`; what was accepted before a failure is written first."""
        ready: queue.Queue[SyntheticSubject | None] = queue.Queue(maxsize=_QUEUED_PER_WORKER * workers)
        specs = iter(todo)
        crew = [
            threading.Thread(target=self._make, args=(generator, specs, ready), name=f"worker-{i}", daemon=True)
            for i in range(min(workers, len(todo)))
        ]
        self._report()
        try:
            for worker in crew:
                worker.start()
            self._write(ready, len(crew))
        finally:
            with uninterrupted():  # or Python would end under workers that compute, and crash
                self._stop.set()
                _drain(ready, crew)
        if self._errors:
            raise self._errors[0]

    def _write(self, ready: queue.Queue[SyntheticSubject | None], workers: int) -> None:
        while workers:
            subject = ready.get()
            if subject is None:
                workers -= 1
                continue
            self.writer.add(subject)
            self.done += 1
            self.made += 1
            self._report()

    def _make(self, generator: Generator, specs: Iterator[SubjectSpec], ready: queue.Queue) -> None:
        torch.set_num_threads(1)  # per thread: N workers of one thread beat one worker of N threads
        try:
            while not self._stop.is_set():
                with self._guard:
                    spec = next(specs, None)
                if spec is None:
                    return
                begun = time.perf_counter()
                subject = generator.generate(spec)
                between = time.perf_counter()
                ready.put(subject)
                with self._guard:
                    self.worked += between - begun
                    self.waited += time.perf_counter() - between
        except BaseException as error:  # noqa: BLE001 - carried to the calling thread, which raises it
            self._errors.append(error)
            self._stop.set()
        finally:
            ready.put(None)

    def _report(self) -> None:
        if self.progress:
            self.progress(self.done, self.total)


def _drain(ready: queue.Queue, crew: Sequence[threading.Thread]) -> None:
    """Let workers that wait for room finish; after a failure nobody else reads the queue."""
    while any(worker.is_alive() for worker in crew):
        try:
            ready.get(timeout=0.05)
        except queue.Empty:
            continue


def _workers(asked: int | None, device: str) -> int:
    if asked is not None and asked < 1:
        raise InputError("workers", expected="at least 1", got=str(asked))
    return asked or (1 if device != "cpu" else usable_processors())


def _plan_document(recipe: Recipe, bundle: Bundle) -> dict[str, object]:
    files = bundle.description.files
    asked = recipe.as_dict()
    del asked["format"]  # the same subjects in another container are the same request
    return {"recipe": asked, "bundle": {name: entry.sha256 for name, entry in sorted(files.items())}}


def recipe_of(manifest: Manifest, *, bundle: str | None = None) -> Recipe:
    """Return the recipe that a dataset was built from, with a bundle that has the bytes of the dataset's own.

    Parameters
    ----------
    bundle
        Name or folder; what the recipe says when None.

    Raises
    ------
    InputError
        If `build` did not make the dataset, or the bundle is not there or another one.
    """
    asked, hashes = manifest.plan.get("recipe"), manifest.plan.get("bundle")
    if not isinstance(asked, dict) or not isinstance(hashes, dict):
        raise InputError(MANIFEST, expected="the recipe of a dataset that `build` made", got="none")
    moved = {} if bundle is None else {"bundle": bundle}
    recipe = Recipe.parse({**asked, "format": manifest.layout.container, **moved}, subject=MANIFEST)
    bundle_of(recipe.bundle, hashes)
    return recipe


def _refuse_stranger(parent: StoredDataset, specs: Sequence[SubjectSpec]) -> None:
    """Refuse a parent whose subjects are not among those that the recipe asks for."""
    strangers = set(parent.ids) - {spec.subject_id for spec in specs}
    if strangers:
        raise InputError(parent.path, expected="subjects of the same conditions", got=f"{min(strangers)} among them")


def _extra(bundle: Bundle, device: str) -> dict[str, object]:
    """Return what the manifest says beside request and content: models, terms, and the arithmetic that made voxels."""
    source = bundle.description.source
    return {
        "models": [bundle.description],
        "legal": {
            "licence": source.licence,  # what is made from data falls under the terms of the data
            "source_data": [{"name": source.cohort, "licence": source.licence, "citation": source.citation}],
        },
        # another kind of processor adds in another order: last bits of images, rarely a voxel of a label
        "compute": {"device": device, "cpu": torch.backends.cpu.get_cpu_capability()},
    }


def _summarise(
    folder: Path, specs: Sequence[SubjectSpec], line: _Line, seconds: float, crew: tuple[int, str]
) -> Summary:
    """Count what was published and hold it against the plan."""
    manifest = load_manifest(folder)
    asked = Counter(f"{spec.pathology}-{spec.vendor}" for spec in specs)
    found = Counter(f"{entry.pathology}-{entry.vendor}" for entry in manifest.subjects)
    if asked != found:
        raise SynthgenError(f"{folder}: published {dict(found)}, asked for {dict(asked)}.")
    draws, rejected = _rejections(StoredDataset(folder))
    slices = sum(2 * entry.shape[0] for entry in manifest.subjects)
    made = line.made / max(len(specs), 1)
    return Summary(
        dataset=str(folder),
        subjects=len(specs),
        slices=slices,
        resumed=len(specs) - line.made,
        counts=dict(sorted(found.items())),
        draws=draws,
        rejected=rejected,
        seconds=round(seconds, 3),
        slices_per_second=round(slices * made / seconds, 2),
        limit="disk" if line.waited > _DISK_IS_THE_LIMIT * (line.waited + line.worked) else "compute",
        workers=crew[0],
        device=crew[1],
    )


def _rejections(dataset: StoredDataset) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    draws: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    for subject_id in dataset.ids:
        record = dataset.record(subject_id)
        attempts = cast("list[dict[str, list[str]]]", record.history.get("rejected", []))
        draws[record.pathology] += len(attempts) + 1
        counter = reasons.setdefault(str(record.pathology), Counter())
        for attempt in attempts:
            counter.update(attempt["failed"])
    return {str(k): v for k, v in sorted(draws.items())}, {k: dict(v.most_common()) for k, v in sorted(reasons.items())}


def _slices(subject: SyntheticSubject) -> int:
    return sum(volume.shape[0] for volume in subject.images.values())


def _stored_bytes(subject: SyntheticSubject, container: str) -> int:
    files = store_of(container).encode(store_subject(subject, 0))
    return sum(map(len, files.values())) + _RECORD_BYTES


def _stack_bytes(subject: SyntheticSubject) -> int:
    """Return what one worker holds beside the networks: some 64 float32 feature maps of the finest level."""
    return 64 * 4 * sum(volume.voxels.size for volume in subject.images.values())


def _peak_memory() -> int:
    if sys.platform == "win32":
        return 1 << 30
    import resource  # noqa: PLC0415 - does not exist on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
