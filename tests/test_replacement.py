"""Real subjects replaced by synthetic ones, on a few hearts and the tiny bundle: what holds whatever is learnt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from network_cases import blobs, noise
from safetensors.torch import load_file
from tiny_bundle import shared_bundle

from synthgen import cli
from synthgen.cohorts.prepared import PreparedStore
from synthgen.cohorts.selection import Selection
from synthgen.datasets.published_cohort import PublishedCohort
from synthgen.engine.donors import DonorBank
from synthgen.engine.tissue_maps import segmentor_of
from synthgen.errors import InputError
from synthgen.evaluation.observer import Observer
from synthgen.evaluation.study_folder import RESULTS_FILE, SPLIT_FILE
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import Pathology, Phase
from synthgen.networks.bundle import load_bundle
from synthgen.networks.segmentor import normalised
from synthgen.render import Rendering, render
from synthgen.replacement import (
    ARMS,
    HEARTS,
    LATENT,
    MOVED,
    REAL,
    RECOLOURED,
    SYNTHETIC,
    Outcome,
    Study,
    measure_replacement,
    measure_transfer,
)
from synthgen.seeding import torch_stream
from synthgen.simulate import simulate
from synthgen.training.randomisation import Randomiser

CLASSES = (Pathology.NOR, Pathology.HCM)
COHORT = VirtualHearts(4, seed=1, pathologies=CLASSES, pixels=64, spacing_mm=3.0)
TEST = VirtualHearts(2, seed=2, pathologies=CLASSES, pixels=64, spacing_mm=3.0)
TINY = Study(copies=1, seeds=2, tier="tiny", bundle=str(shared_bundle()))


class Patients(VirtualHearts):
    """Virtual hearts that claim to be somebody's."""

    name = "a hospital"
    of_patients = True


@pytest.fixture(scope="module", autouse=True)
def on_one_processor(prepared_here) -> Iterator[None]:
    """Networks are trained on one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthgen.replacement.usable_processors", lambda: 1)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Outcome:
    """A finished study of all arms."""
    return measure_replacement(COHORT, tmp_path_factory.mktemp("replacement") / "study", TINY, test=TEST)


def test_arms_train_on_what_their_names_say(done: Outcome) -> None:
    """Real subjects, as many synthetic ones, or both; all are tested on the same subjects with every seed."""
    assert [(arm.name, arm.trained) for arm in done.arms] == list(zip(ARMS, (4, 4, 4, 8, 8), strict=True))
    split = json.loads((done.folder / SPLIT_FILE).read_text())
    for arm in done.arms:
        assert [sorted(seed) for seed in arm.subjects] == [sorted(split["test"])] * 2
        assert arm.table("dice/mean").shape == (2, 2)
        assert np.isfinite(arm.table("hd95_mm/mean")).all()
    steps = [file.read_text().splitlines()[-1] for file in done.folder.glob("arms/*/seed-*/segmentor/statistics.jsonl")]
    assert len(steps) == 10
    assert len({json.loads(step)["step"] for step in steps}) == 1


def test_synthetic_subjects_are_known_maps_varied(done: Outcome) -> None:
    """New images of the training subjects' own maps, bent; new anatomies are nobody's."""
    known = {s.subject_id: s for s in PreparedStore(done.folder / "prepared" / "train", pixels=32, spacing_mm=6.0)}
    varied = list(PreparedStore(done.folder / "sets" / SYNTHETIC, pixels=32, spacing_mm=6.0))
    assert sorted(s.pathology for s in varied) == sorted(s.pathology for s in known.values())
    same = []
    for subject in varied:
        original = known[subject.subject_id.rsplit("-", 2)[0]]
        same.append(np.mean([(subject.labels[p] == original.labels[p]).mean() for p in Phase]))
    assert 0.6 < min(same) < 0.999  # some are hardly varied: pixels are large
    new = PreparedStore(done.folder / "sets" / LATENT, pixels=32, spacing_mm=6.0)
    assert not {s.subject_id for s in new} & set(known)


def test_differences_and_shares_are_to_real(done: Outcome) -> None:
    """They are those of the means; the file has them."""
    real, synthetic = done.arms[0], done.arms[1]
    found = done.differences()[SYNTHETIC]["dice"]
    assert found.difference == pytest.approx(synthetic.table("dice/mean").mean() - real.table("dice/mean").mean())
    assert done.share(real) == 1
    assert done.share(synthetic) == pytest.approx(synthetic.spread("dice/mean").mean / real.spread("dice/mean").mean)
    written = json.loads((done.folder / RESULTS_FILE).read_text())
    assert written["differences"][SYNTHETIC]["dice"]["difference"] == pytest.approx(found.difference)
    assert set(written["arms"][0]["summary"]) == {
        f"{k}/{s}" for k in ("dice", "hd95_mm") for s in ("lv", "myo", "rv", "mean")
    }


def test_what_is_done_is_read(done: Outcome) -> None:
    """Again with fewer arms, a study reads what it has."""
    files = {file: file.stat().st_mtime_ns for file in done.folder.glob("arms/**/*.safetensors")}
    again = measure_replacement(COHORT, done.folder, replace(TINY, arms=(LATENT,)), test=TEST)
    assert again.arms[0].subjects == done.arms[2].subjects
    assert again.differences() == {}
    assert np.isnan(again.share(again.arms[0]))
    assert {file: file.stat().st_mtime_ns for file in files} == files


def test_joined_arms_see_either_kind_equally_often(tmp_path: Path, monkeypatch) -> None:
    """Real subjects are repeated until they are as many as the synthetic ones; they count once."""
    seen = {}
    segment = Observer.segment

    def recorded(self, subjects: list, folder: Path, *others: object, **start: object) -> object:
        seen[folder.parent.name] = [subject.subject_id for subject in subjects]
        return segment(self, subjects, folder, *others, **start)

    monkeypatch.setattr(Observer, "segment", recorded)
    study = replace(TINY, seeds=1, copies=3, arms=(REAL, SYNTHETIC, f"{REAL}+{SYNTHETIC}"))
    outcome = measure_replacement(COHORT, tmp_path / "study", study, test=TEST)
    assert (len(seen[REAL]), len(seen[SYNTHETIC])) == (4, 12)
    assert sorted(seen[f"{REAL}+{SYNTHETIC}"]) == sorted(seen[REAL] * 3 + seen[SYNTHETIC])
    assert outcome.arms[2].trained == 16


def test_views_have_their_own_contrast_unless_recoloured() -> None:
    """Those of the paper are moved alone: without motion a view is the slice. Budgets are factors."""
    labels, images = blobs(3, 32), noise(3, 1, 32, 32)
    shown = []
    for views in (MOVED, RECOLOURED):
        still = replace(views, pixels=32, rotation_degrees=0.0, zoom=0.0, aspect=0.0, shift=0.0, wave=0.0)
        shown.append(Randomiser(still, torch_stream(0)).views(labels, images)[1])
    assert torch.allclose(shown[0], normalised(images), atol=0.05)
    assert not torch.allclose(shown[1], normalised(images), atol=0.3)
    assert replace(TINY, budget=2.5).sizes.segmentation.samples == 2.5 * TINY.sizes.segmentation.samples


def test_another_study_is_not_mixed_in(done: Outcome) -> None:
    """Another number of copies does not go on in the folder."""
    with pytest.raises(InputError, match="another copies"):
        measure_replacement(COHORT, done.folder, replace(TINY, copies=2), test=TEST)


def test_fewer_real_subjects_train_and_the_same_ones_test(tmp_path: Path) -> None:
    """Those that are kept are the first, and what is made is made from them; more than there are cannot be kept."""
    study = replace(TINY, keep=2, copies=2, seeds=1, arms=(REAL, SYNTHETIC, f"{REAL}+{LATENT}"))
    outcome = measure_replacement(COHORT, tmp_path / "study", study, test=TEST)
    assert [arm.trained for arm in outcome.arms] == [2, 4, 6]
    split = json.loads((tmp_path / "study" / SPLIT_FILE).read_text())
    assert split["train"] == [COHORT[number].subject_id for number in range(2)]
    assert split["test"] == [subject.subject_id for subject in TEST]
    made = PreparedStore(tmp_path / "study" / "sets" / SYNTHETIC, pixels=32, spacing_mm=6.0)
    assert {subject.subject_id.rsplit("-", 2)[0] for subject in made} == set(split["train"])
    with pytest.raises(InputError, match="at most the 4 subjects"):
        measure_replacement(COHORT, tmp_path / "more", replace(study, keep=5), test=TEST)


def test_what_commas_join_is_learnt_in_turn(done: Outcome, tmp_path: Path) -> None:
    """The last training goes on where the one before ended, or the bundle's segmentor; what begins alike is shared."""
    arms = (f"{HEARTS},{REAL}", f"{SYNTHETIC},{REAL}", f"{HEARTS},{REAL}+{SYNTHETIC}", SYNTHETIC)
    outcome = measure_replacement(COHORT, tmp_path / "study", replace(TINY, seeds=1, arms=arms), test=TEST)
    assert [(arm.name, arm.trained) for arm in outcome.arms] == list(zip(arms, (4, 8, 8, 4), strict=True))
    assert outcome.arms[3].subjects[0] == done.arms[1].subjects[0]
    trained = sorted(folder.name for folder in (outcome.folder / "arms").iterdir())
    assert trained == sorted(arms), "synthetic is trained once"
    real = _weights(done.folder / "arms" / REAL)
    after_hearts, after_synthetic = (_weights(outcome.folder / "arms" / arm) for arm in arms[:2])
    assert not torch.equal(real, after_hearts)
    assert not torch.equal(real, after_synthetic)
    again = measure_replacement(COHORT, tmp_path / "alone", replace(TINY, seeds=1, arms=arms[1:2]), test=TEST)
    assert again.arms[0].subjects == outcome.arms[1].subjects
    layers = json.loads((done.folder / RESULTS_FILE).read_text())["sizes"]["segmentation"]["network"]
    assert {**layers, "classes": 9} == segmentor_of(load_bundle(shared_bundle())).unet.arguments


def _weights(arm: Path) -> torch.Tensor:
    return load_file(arm / "seed-0" / "segmentor" / "snapshot.safetensors")["module/unet/head.weight"]


def test_patients_are_joined_by_what_has_seen_no_other_patient(tmp_path: Path) -> None:
    """A generator of virtual hearts may be handed in, one of other patients may not."""
    patients = Patients(4, seed=1, pathologies=CLASSES, pixels=64, spacing_mm=3.0)
    study = replace(TINY, seeds=1, arms=(f"{REAL}+{LATENT}",))
    of_hearts, of_others = (
        replace(study, bundle=_fitted_on(source, tmp_path / name))
        for name, source in (("hearts", COHORT.fingerprint()), ("others", "sha256:0"))
    )
    outcome = measure_replacement(patients, tmp_path / "study", of_hearts, test=TEST)
    assert outcome.arms[0].trained == 8
    with pytest.raises(InputError, match="one fitted on others"):
        measure_replacement(patients, tmp_path / "refused", of_others, test=TEST)


def _fitted_on(source: str, folder: Path) -> str:
    """Return a copy of the tiny bundle that says it was fitted on this source."""
    shutil.copytree(shared_bundle(), folder)
    description = json.loads((folder / "bundle.json").read_text())
    description["provenance"]["source"] = source
    (folder / "bundle.json").write_text(json.dumps(description))
    return str(folder)


def test_hearts_that_a_segmentor_learnt_from_test_nobody(monkeypatch, tmp_path: Path) -> None:
    """Where a network goes on from a bundle's segmentor, that bundle too may hold no test subject."""
    test_id = TEST[0].subject_id
    monkeypatch.setattr(DonorBank, "ids", ("NOR1", test_id))
    with pytest.raises(InputError, match=test_id):
        measure_replacement(COHORT, tmp_path / "study", replace(TINY, arms=(f"{HEARTS},{REAL}",)), test=TEST)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"arms": arms} for arms in (("fake",), ("hearts",), ("real,hearts",), ())),
        *({name: 0} for name in ("copies", "keep", "seeds", "budget")), {"tier": "huge"},
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(wrong: dict) -> None:
    """Before any work."""
    with pytest.raises(InputError):
        replace(TINY, **wrong)


def test_transfer_trains_on_one_cohort_and_tests_on_all_of_another(tmp_path: Path, capsys) -> None:
    """From Python on cohorts, and as a command on a dataset."""
    study = replace(TINY, seeds=1)
    outcome = measure_transfer(TEST, COHORT, tmp_path / "a", study)
    assert (outcome.arms[0].trained, len(outcome.arms[0].subjects[0])) == (2, 4)
    dataset = simulate(TEST, tmp_path / "set", workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthgen.commands.replacement.cohort_of", lambda _text, seed, quiet: COHORT)
        line = ["evaluate", "transfer", str(dataset), "hearts:4", "--seeds", "1", "--out", str(tmp_path / "b")]
        patch.setattr("synthgen.study_sources.TIERS", {"small": study.sizes})
        assert cli.run(line) == 0
    assert "| transfer | 2 |" in capsys.readouterr().out
    written = json.loads((tmp_path / "b" / RESULTS_FILE).read_text())
    assert (written["train"], written["test"], written["bundle"]) == (2, 4, None)


def test_a_dataset_is_not_tested_on_what_it_was_made_from(tmp_path: Path) -> None:
    """Neither on a cohort whose label maps it has, nor on one that its generator was fitted on."""
    rendering = Rendering(bundle=str(shared_bundle()))
    rendered = PublishedCohort(render(TEST, tmp_path / "rendered", rendering, workers=1))
    overlapping = Selection(TEST, [1])  # known one by one, whatever cohort they come in
    for name, who in (("a", TEST), ("b", overlapping)):
        with pytest.raises(InputError, match=f"without the subjects that test it.*label maps of {len(who)} of them"):
            measure_transfer(rendered, who, tmp_path / name, TINY)
    assert not rendered.was_made_from(COHORT)
    fitted = _fitted_on(COHORT.fingerprint(), tmp_path / "fitted")
    other = PublishedCohort(render(TEST, tmp_path / "other", Rendering(bundle=fitted), workers=1))
    assert other.was_made_from(COHORT)


def test_the_command_prints_arms_and_differences(done: Outcome, tmp_path: Path, capsys, monkeypatch) -> None:
    """Virtual hearts get test hearts of their own; both tables are printed."""
    monkeypatch.setattr("synthgen.replacement.measure_replacement", lambda *_, **__: done)
    line = f"evaluate replacement hearts:9 --copies 1 --out {done.folder}"
    assert cli.run(line.split()) == 0
    text = capsys.readouterr().out
    assert f"| {REAL} | 4 |" in text
    assert "| synthetic - real | " in text
