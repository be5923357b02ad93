"""Virtual hearts on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthgen.cohorts.acdc import Acdc
from synthgen.cohorts.mnms import Mnms
from synthgen.cohorts.prefetched import Prefetched
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.verify import verify
from synthgen.datasets.writer import DatasetWriter
from synthgen.errors import InputError, PartialError
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.indices import measure
from synthgen.labels import HEART, Pathology, Phase, Vendor
from synthgen.simulate import simulate


@pytest.fixture(scope="module")
def hearts() -> VirtualHearts:
    """Return three small hearts of three classes."""
    return VirtualHearts(3, seed=3, pixels=64, spacing_mm=2.0)


@pytest.fixture(scope="module")
def dataset(hearts, tmp_path_factory) -> Path:
    """Return them as a dataset, made by one process."""
    return simulate(hearts, tmp_path_factory.mktemp("hearts") / "cohort", workers=1)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_simulated_dataset_is_whole_and_true(hearts, dataset) -> None:
    """The dataset verifies; labels are the cohort's, indices are measured on them, and the history tells the truth."""
    assert verify(dataset) == ()
    stored = StoredDataset(dataset)
    assert len(stored) == len(hearts)
    for index, subject in enumerate(stored):
        source = hearts[index]
        assert subject.subject_id == source.subject_id == hearts.subject_id(index)
        assert (subject.pathology, subject.vendor, subject.body) == (source.pathology, source.vendor, source.body)
        for phase in Phase:
            np.testing.assert_array_equal(subject.labels[phase].voxels, source.labels[phase].voxels)
        measured = measure(source.labels, source.body).as_dict()
        assert subject.indices["rv_edv_ml"] == pytest.approx(measured["rv_edv_ml"])
        assert subject.record["truth"] == pytest.approx(dict(source.truth))


def test_workers_and_resume_change_no_byte(hearts, dataset, tmp_path, monkeypatch) -> None:
    """Stopped after the first heart and gone on with on two processes, the dataset is the same to the last byte."""
    add = DatasetWriter.add

    def add_one_then_stop(writer, subject) -> None:
        if writer.done:
            raise KeyboardInterrupt
        add(writer, subject)

    monkeypatch.setattr(DatasetWriter, "add", add_one_then_stop)
    with pytest.raises(PartialError, match="goes on"):
        simulate(hearts, tmp_path / "cohort", workers=1)
    monkeypatch.undo()
    seen: list[tuple[int, int]] = []
    simulate(hearts, tmp_path / "cohort", workers=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 3), (3, 3)]
    assert contents(tmp_path / "cohort") == contents(dataset)


@pytest.mark.parametrize(("layout", "reader"), [("acdc", Acdc), ("mnms", Mnms)])
def test_a_challenge_layout_is_read_by_its_own_reader(layout, reader, hearts, tmp_path) -> None:
    """Hearts written as ACDC or M&Ms come back from the reader of the real data, with the same heart and class."""
    folder = simulate(hearts, tmp_path / layout, layout=layout, workers=1)
    cohort = reader(folder)
    assert len(cohort) == len(hearts)
    for index in range(len(hearts)):
        source, found = hearts[index], cohort[index]
        assert found.pathology is source.pathology
        for phase in Phase:
            for tissue in HEART:
                count = np.count_nonzero(found.labels[phase].voxels == tissue)
                assert count == np.count_nonzero(source.labels[phase].voxels == tissue)


@pytest.mark.parametrize("layout", ["dataset", "acdc", "mnms"])
def test_an_existing_folder_is_refused(layout, hearts, tmp_path) -> None:
    """No layout writes into a folder that exists."""
    with pytest.raises(InputError, match="exists"):
        simulate(hearts, tmp_path, layout=layout, workers=1)


def test_no_worker_is_refused(hearts, tmp_path) -> None:
    """Fewer workers than one is bad input."""
    with pytest.raises(InputError, match="workers"):
        simulate(hearts, tmp_path / "cohort", workers=0)


def test_prefetching_keeps_the_cohort(hearts) -> None:
    """A prefetched cohort gives the subjects of the cohort behind it, in order or out of order."""
    with Prefetched(hearts, [0, 2], workers=2) as ahead:
        assert ahead[2].subject_id == hearts.subject_id(2)
        assert ahead[0].subject_id == hearts.subject_id(0)
        assert ahead[1].subject_id == hearts.subject_id(1)
        assert (ahead.name, ahead.licence, len(ahead)) == (hearts.name, hearts.licence, 3)


def test_a_killed_worker_is_a_message(hearts) -> None:
    """When a worker process dies, the next subject is a PartialError in one line, not a hang or a traceback."""
    with Prefetched(hearts, [0, 1, 2], workers=2) as ahead:
        ahead[0]
        for process in list(ahead._pool._processes.values()):
            process.kill()
        with pytest.raises(PartialError, match="worker process was killed"):
            list(map(ahead.__getitem__, [1, 2, 0]))


def test_classes_and_vendors_are_those_asked_for(tmp_path) -> None:
    """A cohort of one class and one vendor has nothing else in it."""
    hearts = VirtualHearts(2, pathologies=[Pathology.ARV], vendors=[Vendor.D], pixels=64, spacing_mm=2.0)
    stored = StoredDataset(simulate(hearts, tmp_path / "cohort", workers=1))
    assert {(subject.pathology, subject.vendor) for subject in stored} == {(Pathology.ARV, Vendor.D)}
