"""The rebalance study on a few hearts and the tiny bundle: what must hold whatever the networks learn."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import shared_bundle

from synthgen.cohorts.prepared import PreparedStore
from synthgen.engine.donors import DonorBank
from synthgen.engine.generate import UnreachableError
from synthgen.errors import InputError
from synthgen.evaluation.arms import (
    ACGAN,
    LATENT,
    MIX,
    ORACLE,
    ORIGINAL,
    OVERSAMPLING,
    RENDERED,
    SPADE,
    UNSEGMENTED,
    WRONG_CLASS,
    Rarity,
)
from synthgen.evaluation.study_folder import RESULTS_FILE, SPLIT_FILE
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import Pathology, Phase, Vendor
from synthgen.rebalance import Outcome, Study, rebalance
from synthgen.study_sources import pseudo_real

CLASSES = (Pathology.NOR, Pathology.HCM)
COHORT = VirtualHearts(4, seed=1, pathologies=CLASSES, pixels=64, spacing_mm=3.0)
TEST = VirtualHearts(2, seed=2, pathologies=CLASSES, pixels=64, spacing_mm=3.0)
ARMS = (ORIGINAL, OVERSAMPLING, LATENT, RENDERED, ORACLE, WRONG_CLASS, SPADE, ACGAN)
RARE = Rarity(by="class", rare=Pathology.HCM, keep=1)


class Patients(VirtualHearts):
    """Virtual hearts that are said to be somebody's."""

    of_patients = True


@pytest.fixture(scope="module", autouse=True)
def on_one_processor(prepared_here) -> Iterator[None]:
    """Networks are trained on one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthgen.rebalance.usable_processors", lambda: 1)
        yield


def run(out: Path, **changed: object) -> Outcome:
    """A study of all arms, or a changed one."""
    study = Study(rarity=RARE, arms=ARMS, seeds=2, tier="tiny", bundle=str(shared_bundle()))
    return rebalance(COHORT, out, replace(study, **changed), test=TEST)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Outcome:
    """A finished study."""
    return run(tmp_path_factory.mktemp("rebalance") / "study")


def test_every_arm_is_tested_on_the_same_subjects_with_every_seed(done: Outcome) -> None:
    """None of the test subjects trains; all but the original arm have one subject more."""
    split = json.loads((done.folder / SPLIT_FILE).read_text())
    assert (len(split["train"]), len(split["test"])) == (3, 2)
    assert not set(split["train"]) & set(split["test"])
    assert [(arm.name, arm.trained, arm.added) for arm in done.arms] == [
        (name, 3 + (name != ORIGINAL), int(name != ORIGINAL)) for name in ARMS
    ]
    for arm in done.arms:
        assert [sorted(scores) for scores in arm.subjects] == [sorted(split["test"])] * 2
        assert arm.table("right", rare=True).shape == (2, 1)
        segmented = np.isfinite(arm.table("hd95_mm/mean")).all()
        assert segmented == (arm.name not in UNSEGMENTED)


def test_results_are_json_whatever_was_not_measured(done: Outcome) -> None:
    """Arms without segmentation have null, not the NaN that strict readers refuse."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    results = json.loads((done.folder / RESULTS_FILE).read_text(), parse_constant=refuse)
    summaries = {arm["name"]: arm["summary"] for arm in results["arms"]}
    assert summaries[ACGAN]["dice/mean"]["mean"] is None
    assert summaries[ORIGINAL]["dice/mean"]["mean"] > 0


def test_an_arm_out_of_reach_leaves_the_others(done: Outcome, tmp_path: Path, monkeypatch) -> None:
    """A subject that no draw reaches is no reason to lose the other arms, unless its arm was asked for by name."""
    known = {arm.name: arm for arm in done.arms}

    def unlucky(arm, *_):
        if arm.name not in known:
            raise UnreachableError(f"{arm.name} was out of reach")
        return known[arm.name]

    monkeypatch.setattr("synthgen.rebalance._run_arm", unlucky)
    outcome = run(tmp_path / "study", arms=None)
    assert [arm.name for arm in outcome.arms] == list(ARMS)
    assert outcome.left_out == {MIX: "mix was out of reach"}
    with pytest.raises(UnreachableError):
        run(tmp_path / "study", arms=(MIX,))


def test_every_training_made_as_many_steps(done: Outcome) -> None:
    """The budget is one of steps, whatever the number of subjects."""
    for network in ("classifier", "segmentor"):
        files = list(done.folder.glob(f"arms/*/seed-*/{network}/statistics.jsonl"))
        assert len(files) == 2 * (len(ARMS) - len(UNSEGMENTED) * (network == "segmentor"))
        assert len({json.loads(file.read_text().splitlines()[-1])["step"] for file in files}) == 1


def test_what_is_added_is_what_was_planned(done: Outcome) -> None:
    """All sets are called rare; the wrong class has the subject of another; new images leave the labels as they are."""
    stores = {p.name: PreparedStore(p, pixels=32, spacing_mm=6.0) for p in (done.folder / "sets").iterdir()}
    redrawn = stores.pop(f"{RENDERED}-0")
    sets = {name: store[0] for name, store in stores.items()}
    assert {subject.pathology for subject in sets.values()} == {Pathology.HCM}
    assert sets[f"{WRONG_CLASS}-0"].subject_id.startswith("NOR")
    train = PreparedStore(done.folder / "prepared" / "train", pixels=32, spacing_mm=6.0)
    (rare,) = [subject for subject in train if subject.pathology is Pathology.HCM]
    again = sets[f"{SPADE}-0"]
    assert all((again.labels[p] == rare.labels[p]).mean() > 0.97 for p in Phase)  # centred anew on the grid
    assert any(np.abs(again.images[p] - rare.images[p]).max() > 0.1 for p in Phase)
    assert [(s.pathology, s.vendor) for s in redrawn] == [(s.pathology, s.vendor) for s in train]
    for drawn, original in zip(redrawn, train, strict=True):
        assert all((drawn.labels[p] == original.labels[p]).mean() > 0.97 for p in Phase)
        assert any(np.abs(drawn.images[p] - original.images[p]).max() > 0.1 for p in Phase)


def test_rendered_subjects_alone_train_in_their_arm(monkeypatch, done: Outcome, tmp_path: Path) -> None:
    """Observers of that arm are given new images of the original subjects and what is generated, no original image."""
    seen = {}

    def observe(_self, subjects, folder, *_, **__):
        seen[folder.parent.name] = [subject.subject_id for subject in subjects]
        return dict(done.arms[0].subjects[0])

    monkeypatch.setattr("synthgen.evaluation.observer.Observer.observe", observe)
    run(shutil.copytree(done.folder, tmp_path / "study"), arms=(LATENT, RENDERED), seeds=1)
    originals = json.loads((done.folder / SPLIT_FILE).read_text())["train"]
    assert seen[LATENT][:3] == originals
    assert len(seen[RENDERED]) == 4
    assert not set(originals) & set(seen[RENDERED])
    assert [name.rsplit("-", 2)[0] for name in seen[RENDERED][:3]] == originals
    assert seen[RENDERED][3] == seen[LATENT][3]


@pytest.mark.parametrize("lack", ["segmentor", "style"])
def test_what_a_bundle_cannot_render_is_left_out(lack: str, monkeypatch, done: Outcome, tmp_path: Path) -> None:
    """Without a segmentor for hearts alone, or a vendor's style, arms of rendered subjects are left out, and why."""
    monkeypatch.setattr("synthgen.rebalance._run_arm", lambda arm, *_: replace(done.arms[1], name=arm.name))
    cohort = VirtualHearts(4, seed=1, pathologies=CLASSES, pixels=64, spacing_mm=3.0)
    if lack == "style":
        monkeypatch.setattr("synthgen.rebalance.vendors_of", lambda _styles: [])
    else:
        cohort.label_scheme = "heart"
        monkeypatch.setattr("synthgen.rebalance.SEGMENTOR", "there is none")
    study = Study(rarity=RARE, tier="tiny", bundle=str(shared_bundle()))
    outcome = rebalance(cohort, tmp_path / "study", study, test=TEST)
    assert (RENDERED in outcome.left_out, SPADE in outcome.left_out) == (True, lack == "segmentor")
    assert lack in outcome.left_out[RENDERED]


def test_differences_are_told_of_every_arm_to_both_controls(done: Outcome) -> None:
    """They are the differences of the means, within their intervals; the file has all of them."""
    assert set(done.differences) == {ORIGINAL, OVERSAMPLING}
    assert set(done.differences[ORIGINAL]) == set(ARMS[1:])
    assert set(done.differences[OVERSAMPLING]) == set(ARMS[2:])
    by_name = {arm.name: arm for arm in done.arms}
    found = done.differences[ORIGINAL][LATENT]["dice"]
    means = [by_name[name].table("dice/mean").mean() for name in (LATENT, ORIGINAL)]
    assert found.difference == pytest.approx(means[0] - means[1])
    assert found.low <= found.difference <= found.high
    written = json.loads((done.folder / RESULTS_FILE).read_text())
    assert written["differences"][ORIGINAL][LATENT]["dice"]["low"] == pytest.approx(found.low)
    assert written["bundle"]["cohort"] == "phantoms"


def test_what_is_done_is_read(done: Outcome) -> None:
    """Run again with fewer arms and seeds, a study reads what it has; no file of a training changes."""
    files = {file: file.stat().st_mtime_ns for file in done.folder.glob("arms/**/*.safetensors")}
    again = run(done.folder, arms=(ORIGINAL, LATENT), seeds=1)
    assert [arm.subjects[0] for arm in again.arms] == [done.arms[i].subjects[0] for i in (0, 2)]
    assert {file: file.stat().st_mtime_ns for file in files} == files


def test_another_study_is_not_mixed_in(done: Outcome) -> None:
    """Another rarity, seed or number of added subjects does not go on in the folder of a study."""
    for changed in ({"seed": 1}, {"rarity": Rarity(rare=Pathology.NOR, keep=1)}, {"rarity": replace(RARE, fill=2)}):
        with pytest.raises(InputError, match="another"):
            run(done.folder, **changed)


def test_a_patients_bundle_must_be_of_the_training_subjects(tmp_path: Path) -> None:
    """A bundle that was fitted on anybody else is refused before any work."""
    study = Study(rarity=RARE, arms=(LATENT,), tier="tiny", bundle=str(shared_bundle()))
    with pytest.raises(InputError, match="fitted on the training subjects"):
        rebalance(Patients(12, pixels=64, spacing_mm=3.0), tmp_path / "s", study)
    assert not (tmp_path / "s").exists()


def test_a_bundle_that_has_seen_a_test_subject_is_refused(monkeypatch, done: Outcome) -> None:
    """A virtual heart of the test subjects among a bundle's donors ends the study."""
    test_id = json.loads((done.folder / SPLIT_FILE).read_text())["test"][0]
    monkeypatch.setattr(DonorBank, "ids", ("NOR1", test_id))
    with pytest.raises(InputError, match=test_id):
        run(done.folder)


@pytest.mark.parametrize("wanted", ["mix", "oracle"])
def test_an_arm_that_cannot_be_done_is_refused_before_any_work(wanted: str, monkeypatch, tmp_path) -> None:
    """Asked for by name, mixing without anatomies and an oracle of patients are errors."""
    cohort = COHORT
    if wanted == "oracle":
        cohort = Patients(9, seed=1, pixels=64, spacing_mm=3.0)
        monkeypatch.setattr("synthgen.rebalance.hearts_of", lambda _cohort: None)
    monkeypatch.setattr("synthgen.engine.plan.ANATOMIES_FILE", "there is none")
    study = Study(rarity=RARE, arms=(ORIGINAL, wanted), tier="tiny", bundle=str(shared_bundle()))
    with pytest.raises(InputError, match=r"factors|oracle"):
        rebalance(cohort, tmp_path / "s", study, test=TEST)
    assert not (tmp_path / "s").exists()


def test_where_a_vendor_is_rare_every_vendor_has_its_share_of_the_test(tmp_path: Path) -> None:
    """Thirty percent of each vendor test, whatever their classes."""
    cohort = VirtualHearts(20, seed=1, vendors=[Vendor.A, Vendor.B], pixels=64, spacing_mm=3.0)
    rarity = Rarity(by="vendor", rare=Vendor.B, keep=1)
    study = Study(rarity=rarity, arms=(ORIGINAL,), seeds=1, tier="tiny", seed=1)  # by class it would be five and one
    rebalance(cohort, tmp_path / "study", study)
    test = set(json.loads((tmp_path / "study" / SPLIT_FILE).read_text())["test"])
    vendors = Counter(cohort.subject_vendors[i] for i in range(20) if cohort[i].subject_id in test)
    assert vendors == {Vendor.A: 3, Vendor.B: 3}


@pytest.mark.parametrize(("name", "value"), [("tier", "huge"), ("seeds", 0), ("arm", ("gan",))])
def test_bad_settings_are_named(name: str, value: object) -> None:
    """Unknown tiers and arms and no trainings are refused at once."""
    with pytest.raises(InputError, match=name):
        Study(rarity=RARE, **{"arms" if name == "arm" else name: value})


def test_test_hearts_differ_in_setting_and_are_not_the_default_bundles() -> None:
    """Neither cohort has the seed of the default bundle; pixel sizes of testing vary, those of training do not."""
    train, test = pseudo_real(6, test_count=4)
    assert {0, train.seed, test.seed} == {0, 1000, 2000}
    assert test.pixels * 1.1 >= 192
    sizes = {round(test.style(i).pixel_mm, 3) for i in range(4)}
    assert test.spacing_mm is None
    assert len(sizes) > 1
    assert 1.5 not in sizes
