"""Vendors recognised: what a classifier of the source cohort takes subjects for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from synthgen import cli
from synthgen.datasets.published_cohort import PublishedCohort
from synthgen.errors import InputError
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import Phase, Vendor
from synthgen.simulate import simulate
from synthgen.training.report import Report
from synthgen.vendor_check import Recognition, recognise_vendors, recognised

pytestmark = pytest.mark.usefixtures("prepared_here")

SAMPLES = 32


def hearts(count: int, seed: int = 0, vendors: tuple[Vendor, ...] = (Vendor.A, Vendor.D)) -> VirtualHearts:
    """A small cohort of two vendors in turn."""
    return VirtualHearts(count, seed=seed, vendors=vendors, pixels=64, spacing_mm=3.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated subjects of one vendor as a dataset."""
    return simulate(hearts(2, 5, (Vendor.D,)), tmp_path_factory.mktemp("made") / "set", workers=1)


@pytest.fixture(scope="module")
def study(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recognition]:
    """A finished study and what it found."""
    out = tmp_path_factory.mktemp("recognised") / "study"
    return out, recognise_vendors(PublishedCohort(dataset), hearts(20), out, samples=SAMPLES)


def test_a_dataset_is_a_cohort(dataset: Path) -> None:
    """Class, vendor, ids and labels of a published dataset are those that were written."""
    cohort, source = PublishedCohort(dataset), hearts(2, 5, (Vendor.D,))
    assert len(cohort) == 2
    assert (cohort.subject_pathologies, cohort.subject_vendors) == (source.subject_pathologies, source.subject_vendors)
    for index in range(2):
        assert cohort[index].subject_id == source[index].subject_id
        for phase in Phase:
            np.testing.assert_array_equal(cohort[index].labels[phase].voxels, source[index].labels[phase].voxels)
    assert cohort.fingerprint() == PublishedCohort(dataset).fingerprint()


def test_every_subject_is_taken_for_a_vendor(dataset: Path, study: tuple[Path, Recognition]) -> None:
    """Held-out subjects of each vendor and all of the dataset are counted once; a second run trains nothing."""
    out, found = study
    assert {vendor: sum(row.values()) for vendor, row in found.held_out.items()} == {"A": 3, "D": 3}
    assert {vendor: sum(row.values()) for vendor, row in found.dataset.items()} == {"D": 2}
    weights = out / "classifier" / "snapshot.safetensors"
    before = weights.stat().st_mtime_ns
    counted: list[str] = []
    report = Report(count=lambda noun, _done, _total: counted.append(noun))
    again = recognise_vendors(PublishedCohort(dataset), hearts(20), out, samples=SAMPLES, report=report)
    assert again == found
    assert weights.stat().st_mtime_ns == before
    assert not counted


def test_shares_are_of_those_said_to_be_of_a_vendor() -> None:
    """Three of four A are taken for A, no D for D."""
    confusion = {"A": {"A": 3, "B": 1}, "D": {"A": 1}}
    assert (recognised(confusion), recognised(confusion, "A"), recognised(confusion, "D")) == (0.6, 0.75, 0.0)


def test_what_cannot_be_told_apart_is_refused(dataset: Path, tmp_path: Path) -> None:
    """A cohort of one vendor, and a dataset with a vendor that the cohort lacks."""
    with pytest.raises(InputError, match="at least two vendors"):
        recognise_vendors(PublishedCohort(dataset), hearts(4, 0, (Vendor.D,)), tmp_path / "a")
    single = hearts(22, 0, (Vendor.A, Vendor.B))  # the only D, the last, will be held out
    single.subject_vendors[-1] = Vendor.D
    with pytest.raises(InputError, match="got vendor D"):
        recognise_vendors(PublishedCohort(dataset), single, tmp_path / "c")
    with pytest.raises(InputError, match="vendor D"):
        recognise_vendors(PublishedCohort(dataset), hearts(10, 0, (Vendor.A, Vendor.B)), tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_the_command_prints_both_tables(dataset: Path, study: tuple[Path, Recognition], capsys, monkeypatch) -> None:
    """Rows of held-out subjects and of the dataset, a share each, and one document with `--json`."""
    import synthgen.commands.evaluate as module

    monkeypatch.setattr(module, "cohort_of", lambda _text, seed, quiet: hearts(20, seed))
    line = ["evaluate", "vendors", str(dataset), "hearts:20", "--out", str(study[0]), "--samples", str(SAMPLES)]
    assert cli.run(line) == 0
    out = capsys.readouterr().out
    assert "| D, dataset | 2 |" in out
    assert "recognised:" in out
    assert cli.run([*line, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["recognised"]) == {"held_out", "dataset"}
