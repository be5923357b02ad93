"""`DatasetWriter`: subjects become a dataset, whole or not at all, and a killed build goes on where it stopped.

NAME.partial/ grows; each subject is staged, hashed, renamed into place, and then marked by its record. The manifest
comes last, and only then does the folder get its name. Nothing that depends on time or order of arrival is written, so
a resumed dataset equals an uninterrupted one byte for byte.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from synthgen.datasets.card import CARD, dataset_card
from synthgen.datasets.containers import store_of
from synthgen.datasets.documents import plain_object
from synthgen.datasets.files import (
    check_identifier,
    check_relative,
    sync_folder,
    write_atomic,
)
from synthgen.datasets.manifest import (
    MANIFEST,
    RECORDS,
    Manifest,
    Plan,
    RecordEntry,
    make_manifest,
    record_path,
    this_program,
)
from synthgen.datasets.preview import draw_sheet, png_bytes, varied
from synthgen.datasets.reader import StoredDataset, read_subject
from synthgen.datasets.record import FileEntry, SubjectEntry, SubjectRecord
from synthgen.datasets.staging import stage_subject, store_subject
from synthgen.datasets.store import StoredSubject
from synthgen.datasets.verify import is_whole
from synthgen.errors import DamageError, InputError, PartialError, SynthgenError, writing_failed
from synthgen.lock import FolderLock
from synthgen.subjects import SyntheticSubject

PLAN = "plan.json"
PREVIEW = "preview.png"
_STAGING = ".staging"


class DatasetWriter:
    """Writer of one dataset; made by `open`, used as a context manager, from as many threads as you like.

    Responsible for: atomic subjects, resume, the lock, the manifest, the published name.
    Not responsible for: making subjects, or their order; `.done` says which ones need not be made.

    Example
    -------
    >>> with DatasetWriter.open("cohort", plan=plan, subject_ids=ids) as writer:  # doctest: +SKIP
    ...     for subject_id in ids:
    ...         if subject_id not in writer.done:
    ...             writer.add(make(subject_id))
    ...     writer.finish({"models": [bundle.description]})
    """

    def __init__(self, out: Path, plan: Plan, lock: FolderLock, model: StoredDataset | None = None) -> None:
        self._out = out
        self._plan = plan
        self._model = model  # whose manifest this dataset copies or continues
        self._parent = model if model and model.digest == plan.parent else None
        self._store = store_of(plan.container)
        self._lock = lock
        self._folder = out.with_name(out.name + ".partial")
        self._index = {subject_id: index for index, subject_id in enumerate(plan.subject_ids)}
        self._guard = threading.Lock()
        self._busy: set[str] = set()
        self._records: dict[str, tuple[SubjectRecord, FileEntry]] = {}

    @classmethod
    def open(
        cls,
        out: Path | str,
        *,
        plan: Mapping[str, object],
        subject_ids: Sequence[str],
        container: str = "zarr",
        parent: StoredDataset | None = None,
    ) -> Self:
        """Begin the dataset `out`, or go on with it.

        Parameters
        ----------
        out
            Folder to publish; must not exist. `out.partial` beside it is where the work lies until then.
        plan
            Everything that decides the content, as JSON: recipe, bundle hashes. The same plan and version resume.
        subject_ids
            The ids to write, in the order of the dataset. They become names of files and folders.
        container
            `zarr`, `hdf5` or `nifti`.
        parent
            The version that this one grows from, in its container. Its subjects come first, unchanged, and are `done`
            from the start; their files are hard links where the file system has them.

        Raises
        ------
        InputError
            If `out` exists, another process is writing it, an unfinished dataset of another plan lies there, or an id
            cannot be a folder name.
        DamageError
            If a subject of the parent is not whole.
        PartialError
            If it was interrupted, here or in the block of the context manager; the same call goes on.
        """
        ids = [*(parent.ids if parent else ()), *subject_ids]
        container = parent.manifest.layout.container if parent else container
        content = Plan(
            generator=this_program(),
            container=store_of(container).container,
            parent=parent and parent.digest,
            plan=plain_object(plan),
            subject_ids=_checked_ids(list(dict.fromkeys(ids)) if parent else ids),
        )
        return cls._begin(out, content, parent)

    @classmethod
    def like(cls, out: Path | str, dataset: StoredDataset, container: str) -> Self:
        """Begin or go on with `out`, a dataset that says of itself what `dataset` says, in another container.

        Add each subject of `dataset` by `add_stored`. Raises as `open`.
        """
        manifest = dataset.manifest
        content = Plan(
            generator=manifest.generator,
            container=store_of(container).container,
            parent=manifest.parent and manifest.parent.manifest,
            plan=manifest.plan,
            subject_ids=dataset.ids,
        )
        return cls._begin(out, content, dataset)

    @classmethod
    def _begin(cls, path: Path | str, plan: Plan, model: StoredDataset | None) -> Self:
        out = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow a link that the user means
        if model is not None:
            refuse_inside(model.path, out)
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            lock = FolderLock(out)
        except OSError as error:
            raise writing_failed(out, error) from error
        try:
            writer = cls(out, plan, lock, model)
            writer._prepare()
        except OSError as error:
            lock.release()
            raise writing_failed(out, error) from error
        except BaseException:
            lock.release()
            raise
        return writer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let others write; an interrupt that leaves something to go on with becomes a PartialError that says so."""
        self.close()
        if isinstance(error, KeyboardInterrupt) and self._folder.is_dir():
            raise PartialError(
                f"{self._folder}: interrupted after {len(self._records)} of {len(self._index)} subjects; "
                "the same command goes on with it."
            ) from None

    def close(self) -> None:
        """Let others write. What is not finished stays in `NAME.partial` for the next run of the same plan."""
        self._lock.release()

    @property
    def folder(self) -> Path:
        """Where the unfinished dataset lies."""
        return self._folder

    @property
    def done(self) -> frozenset[str]:
        """Ids of the subjects that are written and whole."""
        with self._guard:
            return frozenset(self._records)

    def _prepare(self) -> None:
        if self._out.exists() or self._out.is_symlink():
            raise InputError(
                self._out,
                expected="a name that is free",
                got="one that exists",
                hint="A published dataset is never overwritten: choose another name or remove it",
            )
        self._refuse_other_plan()
        try:
            self._lay_out()
        except KeyboardInterrupt:
            raise PartialError(
                f"{self._folder}: interrupted at its beginning; the same command goes on with it."
            ) from None

    def _lay_out(self) -> None:
        """Make the folder, and find in it, or take from the parent, what is done."""
        for name in ("", RECORDS, *self._store.folders, _STAGING):
            (self._folder / name).mkdir(exist_ok=True)
        write_atomic(self._folder / PLAN, self._plan.to_bytes(), staging=self._folder / _STAGING)
        self._recover()
        if self._parent is not None:
            self._adopt(self._parent)

    def _refuse_other_plan(self) -> None:
        """Refuse to mix two datasets, and to take over a folder that is none."""
        if self._folder.is_symlink() or (self._folder.exists() and not self._folder.is_dir()):
            raise InputError(self._folder, expected="a folder or nothing", got="a link or a file")
        if not self._folder.exists():
            return
        names = {path.name for path in self._folder.iterdir()}
        if not names & {PLAN, MANIFEST}:
            # killed before the plan was written: nothing but empty folders can be there
            same = names <= {RECORDS, self._store.folders[0], _STAGING} and not self._holds_files()
        else:
            same = self._found_plan(names) == self._plan
        if not same:
            raise InputError(
                self._folder,
                expected="an unfinished dataset of this plan, begun by this version",
                got="something else",
                hint=f"Run the command that began it, choose another name, or remove {self._folder.name}",
            )

    def _holds_files(self) -> bool:
        staging = self._folder / _STAGING
        return any(p.is_file() and staging not in p.parents for p in self._folder.rglob("*"))

    def _found_plan(self, names: set[str]) -> Plan | None:
        try:
            if PLAN in names:
                return Plan.read(self._folder, PLAN)
            manifest = Manifest.read(self._folder, MANIFEST)  # killed between the last two steps of publishing
            ids = tuple(entry.id for entry in manifest.subjects)
            parent = manifest.parent and manifest.parent.manifest
            content = {"plan": manifest.plan, "subject_ids": ids, "container": manifest.layout.container}
            return Plan(generator=manifest.generator, parent=parent, **content)
        except SynthgenError:
            return None

    def _recover(self) -> None:
        """Keep the subjects that are whole and remove every other trace of an earlier run."""
        _remove(self._folder / _STAGING)
        (self._folder / _STAGING).mkdir()
        for path in self._folder.iterdir():
            if path.name not in {PLAN, RECORDS, self._store.folders[0], _STAGING}:
                _remove(path)
        for path in (self._folder / RECORDS).iterdir():
            record = self._whole_record(path)
            if record is None:
                _remove(path)
            else:
                self._records[record.id] = record, _entry(self._folder, record_path(record.id))
        kept = {piece for subject_id in self._records for piece in self._store.pieces(subject_id)}
        for folder in reversed(self._store.folders):  # deepest first
            for path in (self._folder / folder).iterdir():
                name = f"{folder}/{path.name}"
                if name not in kept and name not in self._store.folders:
                    _remove(path)

    def _whole_record(self, path: Path) -> SubjectRecord | None:
        try:
            record = SubjectRecord.read(self._folder, f"{RECORDS}/{path.name}")
        except SynthgenError:
            return None
        named = path.name == f"{record.id}.json" and self._index.get(record.id) == record.index
        return record if named and is_whole(self._folder, record, self._store) else None

    def add(self, subject: SyntheticSubject) -> None:
        """Write one subject. Returns when it is part of the dataset; safe to call from several threads at once.

        Raises
        ------
        InputError
            If the subject is not in the plan, is there already, or cannot be stored (not finite, no tissue code, mixed
            grids).
        SynthgenError
            If the file system refuses.
        """
        with self._claim(subject.subject_id) as staged:
            stored = store_subject(subject, self._index[subject.subject_id])
            self._commit(staged, stage_subject(staged, stored, self._store))

    def add_stored(self, subject: StoredSubject) -> None:
        """Write one subject as another dataset has it; raises as `add`."""
        with self._claim(subject.entry.id) as staged:
            self._commit(staged, stage_subject(staged, subject, self._store))

    def entry(self, subject_id: str) -> SubjectEntry:
        """Return what stands in the record of a subject that is `done`."""
        with self._guard:
            return self._records[subject_id][0].entry()

    @contextmanager
    def _claim(self, subject_id: str) -> Iterator[Path]:
        """Reserve a subject and give the folder to stage it in; what fails inside leaves no trace."""
        if subject_id not in self._index:
            raise InputError(subject_id, expected="a subject of the plan", got="one that the plan does not name")
        with self._guard:
            if subject_id in self._records or subject_id in self._busy:
                raise InputError(subject_id, expected="a subject that is not written yet", got="one that is")
            self._busy.add(subject_id)
        staged = self._folder / _STAGING / subject_id
        try:
            yield staged
        except OSError as error:
            raise writing_failed(staged, error) from error
        finally:
            with self._guard:
                self._busy.discard(subject_id)
                failed = subject_id not in self._records
            _remove(staged)
            if failed:
                for piece in self._store.pieces(subject_id):
                    _remove(self._folder / piece)

    def _commit(self, staged: Path, record: SubjectRecord, data: bytes | None = None) -> None:
        """Move staged files into place, then write the record, which makes them part of the dataset."""
        for piece in self._store.pieces(record.id):
            (staged / piece).rename(self._folder / piece)
        path = record_path(record.id)
        data = record.to_bytes() if data is None else data
        write_atomic(self._folder / path, data, staging=self._folder / _STAGING)
        entry = FileEntry(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        with self._guard:
            self._records[record.id] = record, entry

    def _adopt(self, parent: StoredDataset) -> None:
        """Take over every subject of the parent that is not here yet, byte for byte."""
        for known in parent.manifest.subjects:
            if known.id not in self._records:
                record = parent.record(known.id)
                if not is_whole(parent.path, record, self._store):
                    raise DamageError(f"{parent.path}: {known.id} is not what was written; `verify` says more.")
                with self._claim(known.id) as staged:
                    for file in record.files:
                        _link(parent.path / file.path, staged / file.path)
                    self._commit(staged, record, (parent.path / known.record.path).read_bytes())

    def add_file(self, name: str, data: bytes) -> None:
        """Put a file that belongs to no subject into the dataset's top folder; it is in the manifest and is verified.

        An equal name replaces the file. Files of an earlier, interrupted run are gone: add them again before `finish`.
        """
        check_relative(name)
        if "/" in name or name.startswith(".") or name in {PLAN, MANIFEST, RECORDS, self._store.folders[0]}:
            raise InputError("file name", expected="a plain file name that the dataset does not use", got=repr(name))
        write_atomic(self._folder / name, data, staging=self._folder / _STAGING)

    def finish(self, extra: Mapping[str, object] | None = None, *, preview_rows: int = 5) -> Path:
        """Publish the dataset and return its folder.

        Parameters
        ----------
        extra
            JSON-able facts for the manifest; `version`, `legal` and `models` become its fields of that name. Leave out
            times and durations if equal builds shall be equal bytes.
        preview_rows
            Subjects on `preview.png`; 0 for no preview.

        Raises
        ------
        PartialError
            If subjects of the plan are missing; what is there stays for the next run.
        """
        missing = [subject_id for subject_id in self._plan.subject_ids if subject_id not in self._records]
        if missing or self._busy:
            raise PartialError(
                f"{self._out}: {len(missing)} of {len(self._index)} subjects are missing (first: {missing[:1]}); "
                "the same command goes on with it."
            )
        try:
            return self._publish(dict(extra or {}), preview_rows)
        except OSError as error:
            raise writing_failed(self._out, error) from error

    def _publish(self, extra: dict[str, object], preview_rows: int) -> Path:
        records = [self._records[subject_id] for subject_id in self._plan.subject_ids]
        if preview_rows > 0:
            by_id = {record.id: record for record, _ in records}
            kinds = {name: (record.pathology, record.vendor) for name, record in by_id.items()}
            shown = [by_id[name] for name in varied(kinds, preview_rows)]
            subjects = [read_subject(self._folder, record, self._plan.container) for record in shown]
            sheet = draw_sheet(subjects, rows=preview_rows)
            self.add_file(PREVIEW, png_bytes(sheet))
        manifest = self._manifest(records, (), extra)
        if not (self._folder / CARD).exists():  # a copy in another container brings the card of its original
            self.add_file(CARD, dataset_card(manifest).encode())
        ours = {PLAN, MANIFEST, RECORDS, self._store.folders[0], _STAGING}
        names = [path.name for path in self._folder.iterdir() if path.name not in ours]
        shared = self._store.shared([record.entry() for record, _ in records])
        for path, data in shared.items():
            write_atomic(self._folder / path, data, staging=self._folder / _STAGING)
        files = [_entry(self._folder, name) for name in sorted([*names, *shared])]
        manifest = manifest.model_copy(update={"files": tuple(files)})
        write_atomic(self._folder / MANIFEST, manifest.to_bytes(), staging=self._folder / _STAGING)
        os.sync()  # one call instead of a sync per chunk: the name must not be on the disk before the voxels are
        _remove(self._folder / _STAGING)
        (self._folder / PLAN).unlink()
        self._folder.rename(self._out)
        sync_folder(self._out.parent)
        self.close()
        return self._out

    def _manifest(
        self, records: Sequence[tuple[SubjectRecord, FileEntry]], files: Sequence[FileEntry], extra: dict[str, object]
    ) -> Manifest:
        layout = self._store.layout()
        if self._model is None or self._parent is not None:
            parent = None if self._parent is None else self._parent.manifest
            return make_manifest(self._plan, layout, records, files, plain_object(extra), parent=parent)
        subjects = tuple(RecordEntry(**dict(record.entry()), record=file) for record, file in records)
        changed = {"layout": layout, "subjects": subjects, "files": tuple(files)}
        return self._model.manifest.model_copy(update=changed)


def refuse_inside(dataset: Path, target: Path) -> None:
    """Refuse to write into the dataset that is read; InputError if `target` lies in it, through links or not."""
    own, other = (Path(os.path.realpath(path)) for path in (dataset, target))  # links to themselves do not stop it
    if own in other.parents:
        raise InputError(
            target,
            expected=f"a place outside the dataset {dataset}",
            got="one in it",
            hint="`verify` would find the new file and call the dataset damaged",
        )


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system cannot."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)


def _checked_ids(subject_ids: Sequence[str]) -> tuple[str, ...]:
    ids = tuple(check_identifier(subject_id) for subject_id in subject_ids)
    if not ids:
        raise InputError("subject ids", expected="at least one", got="none")
    if len({subject_id.lower() for subject_id in ids}) != len(ids):
        raise InputError("subject ids", expected="ids that differ by more than case", got="two that do not")
    return ids


def _entry(root: Path, path: str) -> FileEntry:
    data = (root / path).read_bytes()
    return FileEntry(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
