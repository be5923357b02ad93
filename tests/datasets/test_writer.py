from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.verify import verify
from synthgen.datasets.writer import DatasetWriter
from synthgen.errors import InputError, PartialError, SynthgenError
from synthgen.labels import Phase

KILLER = Path(__file__).with_name("killer.py")


def open_writer(out, count=3, plan=None):
    """Open a writer for phantoms 0 to `count` - 1."""
    return DatasetWriter.open(out, plan=plan or {"seed": 0}, subject_ids=[f"syn-{n:04d}" for n in range(count)])


def test_what_is_read_is_what_was_written(published, phantom):
    """Labels, classes, body, indices, history and geometry come back; images within half a step."""
    dataset = StoredDataset(published)
    assert len(dataset) == 5
    for number, read in enumerate(dataset):
        made = phantom(number)
        assert (read.subject_id, read.pathology, read.vendor) == (made.subject_id, made.pathology, made.vendor)
        assert read.body == made.body
        assert read.record == {"attempts": [{"seed": number, "rejected": "none"}], "severity": float(np.float32(0.7))}
        assert math.isnan(read.indices.pop("rv_ef_percent"))
        assert read.indices == {k: v for k, v in made.indices.items() if k != "rv_ef_percent"}
        step = dataset.manifest.subject(read.subject_id).intensity.scale
        for phase in Phase:
            assert np.array_equal(read.labels[phase].voxels, made.labels[phase].voxels)
            assert read.labels[phase].voxels.dtype == np.uint8
            assert read.images[phase].voxels.dtype == np.float32
            assert np.abs(read.images[phase].voxels - made.images[phase].voxels).max() <= step / 2 * 1.001
            for volume in (read.images[phase], read.labels[phase]):
                assert volume.spacing_mm == made.labels[phase].spacing_mm
                assert np.allclose(volume.affine, made.labels[phase].affine, rtol=0, atol=1e-5)


def test_order_threads_and_interruption_do_not_show(tmp_path, phantom, write_dataset, tree):
    """Subjects added backwards, by four threads, over two sessions, give the bytes of a straightforward run."""
    whole = tree(write_dataset(tmp_path / "whole", 8))
    subjects = [phantom(number) for number in range(8)]
    ids = [subject.subject_id for subject in subjects]
    plan = {"seed": 0, "recipe": "phantoms", "count": 8}
    with DatasetWriter.open(tmp_path / "cohort", plan=plan, subject_ids=ids) as writer:
        for subject in subjects[5:2:-1]:
            writer.add(subject)
    with DatasetWriter.open(tmp_path / "cohort", plan=plan, subject_ids=ids) as writer:
        assert writer.done == set(ids[3:6])
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(writer.add, [s for s in reversed(subjects) if s.subject_id not in writer.done]))
        assert writer.finish({"models": [{"bundle": "none"}]}, preview_rows=0) == tmp_path / "cohort"
    assert tree(tmp_path / "cohort") == whole
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "cohort"}


def test_an_interrupt_says_how_to_go_on(tmp_path, phantom, monkeypatch):
    """Ctrl-C is a PartialError wherever it leaves an unfinished folder, and stays what it is where nothing is left."""
    out = tmp_path / "cohort"

    def interrupted(*numbers):
        with open_writer(out) as writer:
            for number in numbers:
                writer.add(phantom(number))
            if writer.done == {"syn-0000", "syn-0001", "syn-0002"}:
                writer.finish(preview_rows=0)
            raise KeyboardInterrupt

    def stop(writer):
        raise KeyboardInterrupt

    with pytest.raises(PartialError, match=r"cohort\.partial: interrupted after 1 of 3 .* same command"):
        interrupted(0)
    monkeypatch.setattr(DatasetWriter, "_recover", stop)
    with pytest.raises(PartialError, match=r"interrupted at .* same command"):
        open_writer(out)
    monkeypatch.undo()
    with pytest.raises(KeyboardInterrupt):
        interrupted(1, 2)
    assert verify(out) == ()


def test_a_name_that_exists_is_never_touched(published, tree):
    """Writing to an existing dataset is an InputError, and nothing in it changes."""
    before = tree(published)
    with pytest.raises(InputError, match="exists"):
        open_writer(published)
    assert tree(published) == before


def test_another_plan_is_refused_with_advice(tmp_path, phantom):
    """An unfinished dataset of another plan, or of other subjects, is kept, and the message says what can be done."""
    with open_writer(tmp_path / "cohort") as writer:
        writer.add(phantom(0))
    for other in ({"plan": {"seed": 1}}, {"count": 4}):
        with pytest.raises(InputError, match=r"remove cohort\.partial"):
            open_writer(tmp_path / "cohort", **other)
    with open_writer(tmp_path / "cohort") as writer:
        assert writer.done == {"syn-0000"}


def test_another_version_does_not_go_on(tmp_path, monkeypatch):
    """Half a dataset of one version of the program is not completed by another: its subjects could differ."""
    open_writer(tmp_path / "cohort").close()
    monkeypatch.setattr("synthgen.datasets.manifest.__version__", "99.0.0")
    with pytest.raises(InputError, match="version"):
        open_writer(tmp_path / "cohort")


@pytest.mark.parametrize("name", ["notes.txt", "records/notes.txt", "volumes.zarr/x/notes.txt"])
def test_a_folder_of_somebody_else_is_not_taken_over(tmp_path, name):
    """A folder that happens to be called NAME.partial and holds files is refused and left alone."""
    path = tmp_path / "cohort.partial" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(InputError):
        open_writer(tmp_path / "cohort")
    assert path.read_text() == "mine"


def test_leftovers_of_a_killed_run_are_removed(tmp_path, phantom, write_dataset, tree):
    """Unmarked volumes, damaged records and volumes, strangers and staged files vanish when the work is resumed."""
    write_dataset(tmp_path / "whole", 5)
    plan = {"recipe": "phantoms", "count": 5, "seed": 0}
    ids = [f"syn-{n:04d}" for n in range(5)]
    with DatasetWriter.open(tmp_path / "cohort", plan=plan, subject_ids=ids) as writer:
        for number in range(5):
            writer.add(phantom(number))
        folder = writer.folder
    (folder / "records" / "syn-0000.json").unlink()
    (folder / "records" / "syn-0001.json").write_text("{")
    chunk = next((folder / "volumes.zarr" / "syn-0002").rglob("c/0/0/0/0"))
    chunk.write_bytes(chunk.read_bytes()[:-1])
    (folder / "volumes.zarr" / "syn-0003" / "extra").write_text("x")
    (folder / "records" / "copy.json").write_bytes((folder / "records" / "syn-0004.json").read_bytes())
    (folder / "volumes.zarr" / "stranger").mkdir()
    (folder / ".staging" / "syn-0000").mkdir()
    (folder / "old.txt").write_text("x")
    with DatasetWriter.open(tmp_path / "cohort", plan=plan, subject_ids=ids) as writer:
        assert writer.done == {"syn-0004"}
        for number in range(4):
            writer.add(phantom(number))
        writer.finish({"models": [{"bundle": "none"}]}, preview_rows=0)
    assert tree(tmp_path / "cohort") == tree(tmp_path / "whole")


def test_missing_subjects_are_not_published(tmp_path, phantom):
    """Finishing early is a PartialError that counts what is missing; the work stays."""
    with open_writer(tmp_path / "cohort") as writer:
        writer.add(phantom(0))
        with pytest.raises(PartialError, match="2 of 3"):
            writer.finish()
    assert not (tmp_path / "cohort").exists()
    assert (tmp_path / "cohort.partial" / "records" / "syn-0000.json").exists()


def test_subjects_that_are_not_wanted_are_refused(tmp_path, phantom):
    """A subject outside the plan, or one that is there already, is an InputError."""
    with open_writer(tmp_path / "cohort", count=1) as writer:
        with pytest.raises(InputError, match="plan"):
            writer.add(phantom(3))
        writer.add(phantom(0))
        with pytest.raises(InputError, match="written"):
            writer.add(phantom(0))


def _other(subject, which, **voxels):
    volumes = dict(getattr(subject, which))
    volumes[Phase.ES] = replace(volumes[Phase.ES], **voxels)
    return replace(subject, **{which: volumes})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: _other(s, "labels", voxels=s.labels[Phase.ES].voxels.astype(np.int64)),
        lambda s: _other(s, "labels", voxels=np.full_like(s.labels[Phase.ES].voxels, 9)),
        lambda s: _other(s, "images", voxels=np.full_like(s.images[Phase.ES].voxels, np.nan)),
        lambda s: _other(s, "images", voxels=s.images[Phase.ES].voxels[:, :-1]),
        lambda s: _other(s, "images", affine=s.images[Phase.ES].affine + np.eye(4)[:, [3, 3, 3, 3]] * [0, 0, 0, 1]),
        lambda s: replace(s, record={"object": object()}),
    ],
)
def test_a_subject_that_cannot_be_stored_leaves_no_trace(tmp_path, phantom, spoil):
    """Wrong labels, intensities, grids and records are refused, and the right subject can still be added."""
    with open_writer(tmp_path / "cohort", count=1) as writer:
        with pytest.raises(InputError):
            writer.add(spoil(phantom(0)))
        assert writer.done == set()
        assert list((writer.folder / ".staging").iterdir()) == []
        writer.add(phantom(0))
        assert verify(writer.finish(preview_rows=0)) == ()


@pytest.mark.parametrize("ids", [[], ["a", "a"], ["a", "A"], ["../a"], [""]])
def test_ids_that_cannot_be_folders_are_refused(tmp_path, ids):
    """Ids are checked before anything is written."""
    with pytest.raises(InputError):
        DatasetWriter.open(tmp_path / "cohort", plan={}, subject_ids=ids)
    assert list(tmp_path.iterdir()) == []


def test_two_writers_cannot_write_one_dataset(tmp_path, phantom):
    """A second writer is refused while the first is open, and welcome afterwards."""
    with open_writer(tmp_path / "cohort") as writer:
        writer.add(phantom(0))
        with pytest.raises(InputError, match="nobody else is writing"):
            open_writer(tmp_path / "cohort")
    open_writer(tmp_path / "cohort").close()


def test_many_threads_may_add_the_same_subject_once(tmp_path, phantom):
    """Of four threads that add one subject at once, one succeeds and three are told so."""
    with open_writer(tmp_path / "cohort", count=1) as writer:
        barrier = threading.Barrier(4)

        def add():
            barrier.wait()
            try:
                writer.add(phantom(0))
            except InputError:
                return 0
            return 1

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(lambda _: add(), range(4))) == 1
        assert verify(writer.finish(preview_rows=0)) == ()


def test_files_of_the_dataset_are_in_the_manifest(tmp_path, phantom):
    """An added file is published, listed and verified; reserved and odd names are refused."""
    with open_writer(tmp_path / "cohort", count=1) as writer:
        for name in ("manifest.json", "plan.json", "records", ".hidden", "a/b"):
            with pytest.raises((InputError, ValueError)):
                writer.add_file(name, b"")
        writer.add(phantom(0))
        writer.add_file("notes.txt", b"hello")
        out = writer.finish()
    assert (out / "notes.txt").read_bytes() == b"hello"
    assert (out / "preview.png").stat().st_size > 1000
    assert verify(out) == ()
    (out / "notes.txt").write_bytes(b"hallo")
    assert [damage.where for damage in verify(out)] == ["notes.txt"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    """A folder that cannot be made is a SynthgenError with the path, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SynthgenError, match="cannot be written"):
        open_writer(tmp_path / "file" / "cohort")


def test_a_full_disk_is_one_line(tmp_path, phantom, monkeypatch):
    """When the file system refuses a write, the subject is not there, and the next attempt succeeds."""
    with open_writer(tmp_path / "cohort", count=1) as writer:

        def full(*arguments, **options):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("synthgen.datasets.writer.write_atomic", full)
            with pytest.raises(SynthgenError, match="No space left"):
                writer.add(phantom(0))
        assert writer.done == set()
        writer.add(phantom(0))
        assert verify(writer.finish(preview_rows=0)) == ()


@pytest.mark.parametrize("mode", ["exhaustive", "growth", "conversion", "timed"])
def test_a_killed_build_resumes_to_the_same_bytes(tmp_path, mode, child_environment):
    """After a kill -9 before any file operation of a build, an extension or a conversion, or at any moment of them,
    nothing half-written is visible, and resuming gives the uninterrupted dataset byte for byte.
    """
    command = [sys.executable, str(KILLER), str(tmp_path), mode]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, env=child_environment)
    result = json.loads(done.stdout)
    assert result["faults"] == []
    assert result["kills"] >= (20 if mode == "timed" else 50)
    assert result.get("fewest", 1) >= 1
