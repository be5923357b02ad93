"""From a cohort to a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from synthgen.engine.donors import DonorBank
from synthgen.engine.generate import DONORS_FILE
from synthgen.errors import InputError
from synthgen.factors.latents import LATENTS_FILE, LatentBank
from synthgen.fit import fit
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import HEART, Pathology, Phase, Vendor
from synthgen.networks.bundle import load_bundle
from synthgen.training.report import Report

COHORT = VirtualHearts(10, vendors=[Vendor.B])


class Patients(VirtualHearts):
    """Virtual hearts that claim to be somebody's."""

    name = "a hospital"
    licence = "not for sharing"
    of_patients = True


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle, fitted without interruption."""
    return _fit(COHORT, tmp_path_factory.mktemp("fitted") / "tiny")


def _fit(cohort: VirtualHearts, out: Path, report: Report | None = None) -> Path:
    try:
        return fit(cohort, out, preset="tiny", report=report)
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
        with pytest.raises(KeyboardInterrupt):
            _fit(COHORT, tmp_path / "tiny", Report(count=cut))
    said: list[str] = []
    _fit(COHORT, tmp_path / "tiny", Report(stage=said.append))
    assert said[:3] == ["prepare: done before", "perceptual: done before", "renderer: done before"]
    uninterrupted, resumed = (load_bundle(folder).description.files for folder in (fitted, tmp_path / "tiny"))
    assert resumed == uninterrupted
    (tmp_path / "tiny").rename(tmp_path / "moved")
    _fit(COHORT, tmp_path / "tiny")
    assert load_bundle(tmp_path / "tiny").description.files == uninterrupted


def test_nothing_of_a_patient_beyond_numbers(tmp_path: Path) -> None:
    """A bundle of patients carries hashed ids and, of their bodies, only which slices show which structure."""
    bundle = load_bundle(_fit(Patients(10, vendors=[Vendor.B]), tmp_path / "private"))
    donors = DonorBank.from_tensors(bundle.tensors(DONORS_FILE))
    assert not any("heart" in i for i in donors.ids)
    stack = donors[donors.ids[0]].labels[Phase.ED]
    assert max(int((layer > 0).sum()) for layer in stack) <= len(HEART)


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
