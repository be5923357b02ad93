"""From a cohort to a bundle."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from synthgen.cohorts.acdc import Acdc
from synthgen.cohorts.preprocess import prepare
from synthgen.engine.anatomies import ANATOMIES_FILE
from synthgen.engine.donors import DonorBank
from synthgen.engine.generate import DONORS_FILE, SDNET, Generator
from synthgen.engine.plan import plan
from synthgen.engine.recipe import Condition, Recipe
from synthgen.errors import InputError, PartialError
from synthgen.factors.latents import LATENTS_FILE, LatentBank
from synthgen.fit import fit
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import HEART, Pathology, Phase, Vendor
from synthgen.lock import FolderLock
from synthgen.networks.bundle import Bundle, load_bundle
from synthgen.simulate import simulate
from synthgen.subjects import SourceCohort
from synthgen.training.loop import STATISTICS
from synthgen.training.report import Report

pytestmark = pytest.mark.usefixtures("prepared_here")

COHORT = VirtualHearts(10, vendors=[Vendor.B], pixels=64, spacing_mm=3.0)


class Patients(VirtualHearts):
    """Virtual hearts that claim to be somebody's."""

    name = "a hospital"
    licence = "not for sharing"
    of_patients = True


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle, fitted without interruption."""
    return _fit(COHORT, tmp_path_factory.mktemp("fitted") / "tiny")


def _fit(cohort: SourceCohort, out: Path, report: Report | None = None, **options: bool) -> Path:
    try:
        return fit(cohort, out, preset="tiny", report=report, **options)
    finally:
        torch.set_num_threads(1)


def test_a_bundle_says_what_it_was_fitted_on(fitted: Path) -> None:
    """Cohort, licence and class counts are in the description; latents, donors and styles are there for every class."""
    bundle = load_bundle(fitted)
    source = bundle.description.source
    assert (source.cohort, source.licence, source.subjects) == ("virtual hearts", "Apache-2.0", 10)
    assert source.classes == {p.value: 2 for p in Pathology}
    assert set(LatentBank.from_tensors(bundle.tensors(LATENTS_FILE)).statistics) == set(Pathology)
    assert set(bundle.description.styles) == {"B"}


def test_where_there_are_several_vendors_features_learn_them(fitted: Path, tmp_path: Path) -> None:
    """The perceptual network of a cohort of two vendors is taught to tell them apart, that of one vendor is not."""
    both = VirtualHearts(4, pathologies=[Pathology.NOR], vendors=[Vendor.B, Vendor.C], pixels=64, spacing_mm=3.0)
    made = _fit(both, tmp_path / "two", mixing=False)
    assert set(load_bundle(made).description.styles) == {"B", "C"}
    for out, taught in ((made, True), (fitted, False)):
        lines = (out.with_name(f"{out.name}.work") / "perceptual" / STATISTICS).read_text().splitlines()
        assert all(("scanner" in json.loads(line)) == taught for line in lines)
        assert lines


def test_donors_of_virtual_hearts_keep_their_bodies(fitted: Path) -> None:
    """A virtual heart is nobody's, so its nine-tissue body is stored."""
    donors = DonorBank.from_tensors(load_bundle(fitted).tensors(DONORS_FILE))
    assert all(donors[i].labels[Phase.ED].max() > max(HEART) for i in donors.ids)


def test_a_fit_that_was_cut_off_goes_on(fitted: Path, tmp_path: Path) -> None:
    """Interrupted in the middle of two stages and run again, a fit ends with the same weights."""
    calls = {"label_vae": 0, "renderer": 0}

    def cut(name: str, _done: int, _total: int) -> None:
        if name in calls:
            calls[name] += 1
            if calls[name] == 3:
                raise KeyboardInterrupt

    for _ in calls:
        with pytest.raises(PartialError, match="goes on"):
            _fit(COHORT, tmp_path / "tiny", Report(count=cut))
    said: list[str] = []
    _fit(COHORT, tmp_path / "tiny", Report(stage=said.append))
    stages = ("hearts", "segmentor", "prepare", "perceptual", "renderer")
    assert said[:5] == [f"{stage}: done before" for stage in stages]
    uninterrupted, resumed = (load_bundle(folder).description.files for folder in (fitted, tmp_path / "tiny"))
    assert resumed == uninterrupted
    (tmp_path / "tiny").rename(tmp_path / "moved")
    _fit(COHORT, tmp_path / "tiny")
    assert load_bundle(tmp_path / "tiny").description.files == uninterrupted


def test_surroundings_that_are_all_the_same_are_told(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fit says so where one factor holds more of what is around the heart than the limit, and only there."""
    shutil.copytree(fitted.with_name("tiny.work"), tmp_path / "tiny.work")
    for limit, told in ((1.0, 0), (0.0, 1)):
        monkeypatch.setattr(sys.modules[fit.__module__], "_FLAT", limit)
        said: list[str] = []
        _fit(COHORT, tmp_path / "tiny", Report(stage=said.append))
        assert sum("nothing there" in line for line in said) == told
        shutil.rmtree(tmp_path / "tiny")


def test_two_fits_cannot_share_a_folder_of_work(tmp_path: Path) -> None:
    """While another process fits, the same call is refused before any work."""
    with FolderLock(tmp_path / "tiny.work"), pytest.raises(InputError, match="nobody else is writing"):
        _fit(COHORT, tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_a_patient_beyond_numbers(tmp_path: Path) -> None:
    """A bundle of patients carries hashed ids, and bodies of virtual hearts instead of theirs."""
    patients = Patients(10, seed=5, vendors=[Vendor.B], pixels=64, spacing_mm=3.0)
    bundle = load_bundle(_fit(patients, tmp_path / "private"))
    donors = [DonorBank.from_tensors(bundle.tensors(DONORS_FILE))[i] for i in _donor_ids(bundle)]
    assert not any("heart" in donor.subject_id for donor in donors)
    assert [donor.drawn_from for donor in donors] == ["heart-0-00000", "heart-0-00001"]
    stranger = prepare(VirtualHearts(1, pathologies=[Pathology.NOR])[0], pixels=32, spacing_mm=6.0)
    np.testing.assert_array_equal(donors[0].labels[Phase.ES], stranger.labels[Phase.ES])
    assert donors[0].body == patients[0].body
    assert ANATOMIES_FILE not in bundle.description.files
    assert SDNET not in bundle.description.networks, "nothing could use it without anatomies"


def test_a_generator_that_does_not_mix_takes_fewer_stages(tmp_path: Path) -> None:
    """Without mixing nothing of SDNet, F and J is trained or kept; new anatomies are drawn, mixtures are refused."""
    said: list[str] = []
    bundle = load_bundle(_fit(COHORT, tmp_path / "b", Report(stage=said.append), mixing=False))
    stages = [line.split(":")[0] for line in said]
    assert stages == ["hearts", "segmentor", "prepare", "perceptual", "renderer", "label_vae", "bundle"]
    assert ANATOMIES_FILE not in bundle.description.files
    assert set(bundle.description.networks) == {"segmentor", "label_vae", "spade", "style_encoder"}
    Generator(bundle)
    recipe = Recipe(conditions=(Condition(pathology=Pathology.ARV, count=1, method="mix"),))
    with pytest.raises(InputError, match="--no-mixing"):
        plan(recipe, bundle)


def test_patients_whose_hearts_alone_are_labelled_get_all_tissues(tmp_path: Path) -> None:
    """The segmentor, trained on virtual hearts, labels what the experts did not; the experts' hearts stay."""
    simulate(VirtualHearts(10, vendors=[Vendor.B], pixels=64, spacing_mm=3.0), tmp_path / "acdc", layout="acdc")
    said: list[str] = []
    acdc = Acdc(tmp_path / "acdc")
    bundle = load_bundle(_fit(acdc, tmp_path / "tiny", Report(stage=said.append), keep_anatomy=True))
    assert said[:3] == ["hearts: starting", "segmentor: starting", "prepare: starting"]
    assert bundle.description.label_scheme == "tissue"
    assert bundle.description.provenance["source"] == acdc.fingerprint()
    donor = DonorBank.from_tensors(bundle.tensors(DONORS_FILE))[_donor_ids(bundle)[0]]
    assert donor.drawn_from == donor.subject_id
    assert donor.labels[Phase.ED].max() > max(HEART)
    own = prepare(acdc[0], pixels=32, spacing_mm=6.0).labels[Phase.ED]
    hearts = [np.where(np.isin(stack, HEART), stack, 0) for stack in (donor.labels[Phase.ED], own)]
    assert (hearts[0] == hearts[1]).mean() > 0.99  # nine tissues share a pixel of 6 mm differently than four


def _donor_ids(bundle: Bundle) -> tuple[str, ...]:
    return DonorBank.from_tensors(bundle.tensors(DONORS_FILE)).ids


def test_what_the_last_stage_could_not_describe_is_refused_first(tmp_path: Path) -> None:
    """No normal subject to start from, or a vendor of one subject: said before hours of training."""
    with pytest.raises(InputError, match="at least one NOR"):
        fit(VirtualHearts(4, pathologies=[Pathology.HCM]), tmp_path / "out", preset="tiny")
    with pytest.raises(InputError, match="2 subjects of vendor C"):
        fit(VirtualHearts(6, vendors=[Vendor.B, Vendor.C]), tmp_path / "out", preset="tiny")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("option", "value"), [("preset", "huge"), ("budget", 0.0), ("device", "abacus")])
def test_bad_options_are_named(tmp_path: Path, option: str, value: object) -> None:
    """An unknown preset, a budget of nothing and an unknown device are refused before any work."""
    with pytest.raises(InputError, match=option):
        fit(COHORT, tmp_path / "out", **{"preset": "tiny", option: value})


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    """`out` must not exist."""
    with pytest.raises(InputError, match="does not exist yet"):
        fit(COHORT, tmp_path)
