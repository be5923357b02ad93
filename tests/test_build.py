import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import make_bundle, shared_bundle

from synthgen.build import build, dry_run
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.verify import verify
from synthgen.engine.gate import Verdict
from synthgen.engine.generate import UnreachableError
from synthgen.engine.recipe import Condition, Recipe
from synthgen.errors import InputError, PartialError
from synthgen.labels import Pathology, Phase, Vendor

COUNT = 4


def recipe(count=COUNT, *, bundle=None, **changes):
    """Return a recipe for the tiny bundle."""
    conditions = changes.pop("conditions", (Condition(pathology=Pathology.ARV, count=count),))
    return Recipe(conditions=conditions, bundle=str(bundle or shared_bundle()), **changes)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A cohort of four, made by one worker, and what its build said."""
    seen = []
    folder = tmp_path_factory.mktemp("built") / "cohort"
    summary = build(recipe(), folder, workers=1, progress=lambda done, total: seen.append((done, total)))
    return folder, summary, seen


def content(folder):
    """Return the hash of every file of a dataset."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def same_subject(one, other, subject_id):
    """Hold one subject of two datasets against each other."""
    first, second = (StoredDataset(folder).read(subject_id) for folder in (one, other))
    for phase in Phase:
        np.testing.assert_array_equal(first.images[phase].voxels, second.images[phase].voxels)
        np.testing.assert_array_equal(first.labels[phase].voxels, second.labels[phase].voxels)
        np.testing.assert_array_equal(first.images[phase].affine, second.images[phase].affine)
    assert first.record == second.record
    assert first.indices == second.indices


def test_a_build_publishes_what_was_asked_for(built):
    """The dataset verifies, holds the counts of the recipe, and the summary tells them."""
    folder, summary, seen = built
    assert verify(folder, deep=True) == ()
    assert summary.counts == {"ARV-A": 2, "ARV-B": 1, "ARV-D": 1}
    assert (summary.subjects, summary.resumed) == (COUNT, 0)
    assert summary.slices == sum(
        2 * StoredDataset(folder).read(i).images[Phase.ED].shape[0] for i in StoredDataset(folder).ids
    )
    assert summary.draws["ARV"] >= COUNT
    assert summary.limit in {"compute", "disk"}
    assert seen == [(done, COUNT) for done in range(COUNT + 1)]
    assert (folder / "preview.png").exists()
    json.dumps(summary.as_dict())


def test_the_manifest_names_recipe_bundle_and_source(built):
    """A dataset says what it was asked to be, from which weights, and under which terms."""
    manifest = json.loads((built[0] / "manifest.json").read_text())
    assert manifest["plan"]["recipe"]["conditions"][0]["pathology"] == "ARV"
    assert "spade.safetensors" in manifest["plan"]["bundle"]
    assert manifest["models"][0]["name"] == "tiny"
    assert manifest["legal"]["source_data"][0]["licence"] == "Apache-2.0"


def test_the_number_of_workers_changes_no_byte(built, tmp_path):
    """Three workers give the dataset that one gives, byte for byte."""
    build(recipe(), tmp_path / "cohort", workers=3)
    assert content(tmp_path / "cohort") == content(built[0])


def test_a_subject_is_the_same_alone_and_in_a_cohort(built, tmp_path):
    """Subject 1 of 1 equals subject 1 of 4, and stays the same behind another class."""
    build(recipe(1), tmp_path / "one", workers=1)
    same_subject(tmp_path / "one", built[0], "ARV-A-0001")
    hcm = Condition(pathology=Pathology.HCM, vendor=Vendor.B, count=1)
    both = recipe(conditions=(hcm, Condition(pathology=Pathology.ARV, count=2)))
    build(both, tmp_path / "two", workers=2)
    same_subject(tmp_path / "two", built[0], "ARV-B-0002")


CHILD = """
import sys, time, torch
torch.set_num_threads(1)
sys.path.insert(0, {support!r})
from synthgen.build import build
from synthgen.engine.recipe import Recipe
from pathlib import Path
build(Recipe.load(Path({recipe!r})), Path({out!r}), workers=2, progress=lambda done, total: time.sleep(0.1))
"""


def test_a_killed_build_goes_on_where_it_stopped(built, tmp_path):
    """After kill -9 the same call finishes the cohort, keeps what was done, and no byte tells of it."""
    asked, out = recipe(), tmp_path / "cohort"
    asked.save(tmp_path / "recipe.json")
    script = CHILD.format(support="", recipe=str(tmp_path / "recipe.json"), out=str(out))
    child = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[1])
    records, deadline = out.with_name("cohort.partial") / "records", time.monotonic() + 120
    while not (records.is_dir() and any(records.glob("*.json"))):
        assert child.poll() is None, "the build ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not out.exists()
    summary = build(asked, out, workers=1)
    assert summary.resumed >= 1
    assert summary.subjects == COUNT
    assert content(out) == content(built[0])


def test_an_interrupted_build_is_partly_done(built, tmp_path, monkeypatch):
    """Ctrl-C, also twice, ends with exit code 3 and a resumable folder; the same call completes it."""
    module = sys.modules[build.__module__]
    drain = module._drain

    def interrupted_again(*arguments):
        signal.raise_signal(signal.SIGINT)
        drain(*arguments)

    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_drain", interrupted_again)
    with pytest.raises(PartialError, match="2 of 4"):
        build(recipe(), tmp_path / "cohort", workers=2, progress=interrupt)
    monkeypatch.undo()
    assert build(recipe(), tmp_path / "cohort", workers=1).resumed == 2
    assert content(tmp_path / "cohort") == content(built[0])


def test_what_is_out_of_reach_keeps_what_was_accepted(built, tmp_path, monkeypatch):
    """A class that no draw reaches ends the build with its reasons; accepted subjects wait in the partial folder."""
    from synthgen.engine import generate

    honest = generate.check

    def spite(measurement, gates):
        verdicts = honest(measurement, gates)
        refused = measurement.pathology is Pathology.DCM
        return [*verdicts, Verdict("spite", not refused, 0.0, "never")]

    monkeypatch.setattr("synthgen.engine.generate.check", spite)
    conditions = (Condition(pathology=Pathology.ARV, count=2), Condition(pathology=Pathology.DCM, count=2))
    asked = recipe(conditions=conditions, max_attempts=60)
    with pytest.raises(UnreachableError, match=r"class DCM .*spite \(60\)"):
        build(asked, tmp_path / "cohort", workers=1)
    assert not (tmp_path / "cohort").exists()
    assert len(list((tmp_path / "cohort.partial" / "records").glob("*.json"))) == 2
    monkeypatch.undo()
    assert build(asked, tmp_path / "cohort", workers=1).resumed == 2


def test_a_published_dataset_is_not_overwritten(built):
    """A taken name is refused before anything is computed."""
    with pytest.raises(InputError, match="free"):
        build(recipe(), built[0])


def test_paired_subjects_have_one_anatomy_and_several_styles(tmp_path):
    """The same place under another vendor: labels, indices and body to the bit, and another image."""
    vendors = (Vendor.A, Vendor.B, Vendor.D)
    conditions = tuple(Condition(pathology=Pathology.HCM, vendor=v, count=2, paired=True) for v in vendors)
    build(recipe(conditions=conditions), tmp_path / "paired", workers=1)
    dataset = StoredDataset(tmp_path / "paired")
    assert dataset.ids == tuple(f"HCM-{vendor}-{place:04d}" for vendor in vendors for place in (1, 2))
    for place in (1, 2):
        first, *others = (dataset.read(f"HCM-{vendor}-{place:04d}") for vendor in vendors)
        for other in others:
            assert (other.indices, other.body) == (first.indices, first.body)
            for phase in Phase:
                np.testing.assert_array_equal(other.labels[phase].voxels, first.labels[phase].voxels)
                assert not np.array_equal(other.images[phase].voxels, first.images[phase].voxels)


def test_a_request_without_pairs_is_what_it_was_before_there_were_pairs():
    """`paired` is written only where it is asked for, so that old requests keep their identity."""
    plain, paired = ({"pathology": "ARV", "vendor": "A", "count": 1, **more} for more in ({}, {"paired": True}))
    written = [Recipe.parse({"conditions": [c]}).as_dict()["conditions"][0] for c in (plain, paired)]
    assert "paired" not in written[0]
    assert written[1]["paired"] is True


def test_bad_workers_and_devices_are_refused(tmp_path):
    """Zero workers and unknown devices are bad input."""
    with pytest.raises(InputError, match="workers"):
        build(recipe(), tmp_path / "c", workers=0)
    for device in ("tpu", "meta", "cuda:99"):
        with pytest.raises(InputError, match="device"):
            build(recipe(), tmp_path / "c", device=device)


def test_a_dry_run_tells_and_writes_nothing(tmp_path, monkeypatch):
    """Subjects, slices, time, memory and disk are estimated; no folder appears."""
    monkeypatch.chdir(tmp_path)
    estimate = dry_run(recipe(), workers=2)
    assert estimate.subjects == COUNT
    assert 4 * COUNT * 2 < estimate.slices < 20 * COUNT * 2
    assert estimate.seconds > 0
    assert estimate.memory_bytes > 1e7
    assert 1e4 * COUNT < estimate.disk_bytes < 1e6 * COUNT
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_bundle_of_heart_labels_gives_heart_labels(tmp_path):
    """Fitted on labels 0 to 3 only, a bundle builds subjects with labels 0 to 3 only."""
    bundle = make_bundle(tmp_path / "hearts", scheme="heart")
    build(recipe(1, bundle=bundle), tmp_path / "cohort", workers=1)
    subject = StoredDataset(tmp_path / "cohort").read("ARV-A-0001")
    assert subject.labels[Phase.ED].voxels.max() == 3
    assert subject.record["background"] == "none"
