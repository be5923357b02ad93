"""SDNet and a U-Net with few labels: what each may see, what is written down, and that a study goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from synthgen.errors import InputError
from synthgen.evaluation.study_folder import RESULTS_FILE, SPLIT_FILE
from synthgen.few_labels import SDNET, UNET, Outcome, Study, compare_with_few_labels
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import Vendor
from synthgen.training.presets import PRESETS
from synthgen.training.report import Report

COHORT = VirtualHearts(4, vendors=[Vendor.B], pixels=64, spacing_mm=3.0)
STUDY = Study(preset="tiny", fractions=(1.0, 0.3, 0.25), samples=8)


def study(out: Path, what: Study = STUDY, report: Report | None = None) -> Outcome:
    """A study on one thread."""
    try:
        return compare_with_few_labels(COHORT, out, what, report=report)
    finally:
        torch.set_num_threads(1)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Outcome:
    """A finished study of four hearts."""
    return study(tmp_path_factory.mktemp("few") / "study")


def test_every_network_is_tested_with_every_number_of_labels(done: Outcome) -> None:
    """One of four hearts tests and three train; fractions that label as many subjects are one arm of each network."""
    assert (done.train, done.test) == (3, 1)
    assert [(arm.labelled, arm.network) for arm in done.arms] == [(3, SDNET), (3, UNET), (1, SDNET), (1, UNET)]
    for arm in done.arms:
        assert set(arm.dice) == {"lv", "myo", "rv", "mean"}
        assert all(0 <= spread.mean <= 1 and spread.count == 1 for spread in arm.dice.values())


def test_split_and_results_are_written_down(done: Outcome) -> None:
    """The test subjects of the results are those of the split, none of whom trained; settings are beside them."""
    split = json.loads((done.folder / SPLIT_FILE).read_text())
    results = json.loads((done.folder / RESULTS_FILE).read_text())
    assert len(split["train"]) == 3
    assert not set(split["train"]) & set(split["test"])
    for arm, written in zip(done.arms, results["arms"], strict=True):
        assert sorted(written["subjects"]) == sorted(split["test"])
        assert written["dice"]["lv"]["mean"] == pytest.approx(arm.dice["lv"].mean)
    assert (results["preset"], results["settings"]["samples"]) == ("tiny", 8)
    assert results["shapes"] == "of all training subjects"


def test_what_is_done_is_skipped_and_the_rest_goes_on(done: Outcome, tmp_path: Path) -> None:
    """Interrupted in its second training and run again, a study ends with the same numbers; then it only reads them."""

    def cut(name: str, _done: int, _total: int) -> None:
        if "unet" in name:
            raise KeyboardInterrupt

    for part in ("prepared", SPLIT_FILE):  # which takes longer than all trainings
        copy = shutil.copytree if (done.folder / part).is_dir() else shutil.copy
        (tmp_path / "s").mkdir(exist_ok=True)
        copy(done.folder / part, tmp_path / "s" / part)
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path / "s", report=Report(count=cut))
    said: list[str] = []
    assert study(tmp_path / "s", report=Report(stage=said.append)).arms == done.arms
    assert [("done before" in line) for line in said] == [True, False, False, False]
    said.clear()
    study(tmp_path / "s", report=Report(stage=said.append))
    assert all("done before" in line for line in said)


def test_another_study_is_not_mixed_in(done: Outcome) -> None:
    """Another seed, grid, budget or use of shapes does not go on in the folder of a study."""
    for other in ({"seed": 1}, {"pixels": 64}, {"samples": 12}, {"labelled_shapes": True}):
        with pytest.raises(InputError, match="another"):
            study(done.folder, Study(**{"preset": "tiny", "fractions": (0.3,), "samples": 8, **other}))
    assert study(done.folder).arms == done.arms


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """A folder with other files and a file are refused."""
    (tmp_path / "mine.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(InputError, match="something else"):
            study(place)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_three_subjects_are_too_few(tmp_path: Path) -> None:
    """A cohort that cannot be divided is refused before anything is prepared."""
    with pytest.raises(InputError, match="at least 4 subjects"):
        compare_with_few_labels(VirtualHearts(3), tmp_path / "s", STUDY)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("preset", "huge"), ("fraction", ()), ("fraction", (6.0,)), ("fraction", (0.0,)), ("fraction", (float("nan"),)),
        ("samples", 0), ("pixels", 60), ("pixels", -16),
    ],
)  # fmt: skip
def test_bad_settings_are_named(name: str, value: object) -> None:
    """Unknown presets, percents instead of fractions, empty budgets and grids that do not halve are refused at once."""
    key = "fractions" if name == "fraction" else name
    with pytest.raises(InputError, match=name):
        Study(**{key: value})


@pytest.mark.parametrize("preset", PRESETS)
def test_the_baseline_is_fair(preset: str) -> None:
    """The U-Net has the widths of the anatomy encoder, as many steps, labelled images, the same rate and motion."""
    sdnet = PRESETS[preset].sdnet
    unet = sdnet.supervised()
    assert unet.network.get("widths") == sdnet.network.get("widths")
    assert -(-unet.samples // unet.batch_size) == -(-sdnet.samples // sdnet.batch_size)
    same = ("learning_rate", "rotation_degrees", "shift_pixels", "zoom", "ema")
    assert unet.batch_size == sdnet.labelled_batch
    assert [getattr(unet, name) for name in same] == [getattr(sdnet, name) for name in same]


def test_shifts_are_as_long_on_every_grid() -> None:
    """With half the pixels a shift is half as many of them."""
    small = PRESETS["small"].sdnet
    assert Study(pixels=64).sdnet.shift_pixels == small.shift_pixels / 2
    assert Study().sdnet == replace(small, network={**small.network, "logit_norm": "none"})  # the paper's
