"""Renderers compared: what an arm's name says, that arms differ as they should, and that a study goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from synthgen import cli
from synthgen.errors import InputError
from synthgen.evaluation.study_folder import SPLIT_FILE
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import HEART
from synthgen.networks.image_to_image import Pix2PixGenerator, Pix2PixHdGenerator
from synthgen.networks.spade import SpadeGenerator
from synthgen.quality import RENDERERS, Setting, Study, compare_renderers
from synthgen.training.presets import PRESETS
from synthgen.training.report import Report

pytestmark = pytest.mark.usefixtures("prepared_here")

ARMS = ("spade", "spade-heart-25", "pix2pixhd", "pix2pix")


def hearts() -> VirtualHearts:
    """Ten small virtual hearts, seven of which train."""
    return VirtualHearts(10, pixels=64, spacing_mm=3.0)


def study(*arms: str) -> Study:
    """A study of seconds."""
    return Study(preset="tiny", arms=arms, samples=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of four arms."""
    out = tmp_path_factory.mktemp("quality") / "study"
    compare_renderers(hearts(), out, study(*ARMS))
    torch.set_num_threads(1)
    return out


def test_names_of_arms_say_what_they_are() -> None:
    """Generator, labels and share of the training subjects."""
    assert Setting.parse("spade") == Setting(renderer="spade", heart_only=False, share=1.0)
    assert Setting.parse("pix2pix-heart-25") == Setting(renderer="pix2pix", heart_only=True, share=0.25)
    for wrong in ("gan", "spade-", "spade-30", "spade-25-heart", "spade-50-25", ""):
        with pytest.raises(InputError, match="arm"):
            Setting.parse(wrong)


def test_generators_are_of_about_one_size() -> None:
    """The others have within a tenth of the weights of the preset's SPADE."""
    sizes = [
        sum(p.numel() for p in kind(image_size=128).parameters())
        for kind in (SpadeGenerator, Pix2PixHdGenerator, Pix2PixGenerator)
    ]
    assert PRESETS["small"].spade.generator == {}
    assert max(abs(size / sizes[0] - 1) for size in sizes) < 0.1


def test_every_generator_is_trained_as_its_paper_has_it() -> None:
    """Pix2pix has one discriminator and L1 in place of features; pix2pixHD and SPADE share their losses."""
    settings = {name: Study().settings_of(name) for name in RENDERERS}
    assert (settings["pix2pix"].feature_matching, settings["pix2pix"].perceptual) == (0.0, 0.0)
    assert settings["pix2pix"].discriminator["scales"] == 1
    assert settings["pix2pixhd"].feature_matching == settings["spade"].feature_matching > 0


def test_every_arm_is_measured_on_the_same_subjects(folder: Path) -> None:
    """Three held-out subjects, finite measures, the number of training subjects; differences are to the first arm."""
    results = json.loads((folder / "results.json").read_text())
    assert [arm["name"] for arm in results["arms"]] == list(ARMS)
    assert [arm["trained"] for arm in results["arms"]] == [7, 2, 7, 7]
    names = [set(arm["subjects"]) for arm in results["arms"]]
    assert all(len(tested) == 3 and tested == names[0] for tested in names)
    scores = [s for arm in results["arms"] for subject in arm["subjects"].values() for s in subject.values()]
    assert np.isfinite(scores).all()
    assert set(results["differences"]) == set(ARMS[1:])
    by_arm = [json.dumps(arm["subjects"], sort_keys=True) for arm in results["arms"]]
    assert len(set(by_arm)) == len(ARMS)


def test_labels_of_the_heart_alone_are_what_such_an_arm_sees(folder: Path, tmp_path: Path, monkeypatch) -> None:
    """Neither training nor rendering of a heart arm gets a code above 3."""
    from synthgen import quality

    seen: list[int] = []
    real = quality.SpadeObjective

    class Spy(real):
        def __init__(self, slices, *rest, **options) -> None:
            seen.append(int(slices.labels.max()))
            super().__init__(slices, *rest, **options)

        @property
        def averaged(self):
            return self._pairs

        @averaged.setter
        def averaged(self, pairs) -> None:
            self._pairs = pairs
            pairs[0][0].register_forward_pre_hook(lambda _net, given: seen.append(int(given[0].max())))

    monkeypatch.setattr(quality, "SpadeObjective", Spy)
    for part in ("prepared", "perceptual"):
        shutil.copytree(folder / part, tmp_path / "study" / part)
    shutil.copy(folder / SPLIT_FILE, tmp_path / "study")
    compare_renderers(hearts(), tmp_path / "study", study("spade-heart"))
    assert len(seen) > 2
    assert max(seen) == max(HEART)


def test_a_study_goes_on_with_more_arms(folder: Path) -> None:
    """Arms that are done are read, not trained; the results are those of the arms asked for."""
    counted: set[str] = set()
    report = Report(count=lambda noun, _done, _total: counted.add(noun))
    outcome = compare_renderers(hearts(), folder, study("spade-heart-25", "spade"), report=report)
    assert [arm.name for arm in outcome.arms] == ["spade-heart-25", "spade"]
    assert not counted
    compare_renderers(hearts(), folder, study(*ARMS))


def test_a_folder_of_another_study_is_refused(folder: Path) -> None:
    """Another seed is another split."""
    with pytest.raises(InputError, match="another"):
        compare_renderers(hearts(), folder, Study(preset="tiny", arms=ARMS, samples=8, seed=1))


@pytest.mark.parametrize(
    ("options", "named"),
    [({"arms": ()}, "arm"), ({"arms": ("spade", "spade")}, "arm"), ({"pixels": 40}, "pixels"), ({"preset": "x"}, "x")],
)
def test_bad_options_are_named(options: dict, named: str) -> None:
    """No arm, one twice, a grid that generators cannot halve and an unknown preset."""
    with pytest.raises(InputError, match=named):
        Study(**options)


def test_the_command_prints_both_tables(folder: Path, capsys, monkeypatch) -> None:
    """Arms with their measures, then differences to the first."""
    import synthgen.commands.evaluate as module

    monkeypatch.setattr(module, "cohort_of", lambda _text, seed, quiet: hearts())
    arms = [word for arm in ARMS for word in ("--arm", arm)]
    line = ["evaluate", "quality", "hearts:10", "--out", str(folder), "--preset", "tiny", "--samples", "8", *arms]
    assert cli.run(line) == 0
    out = capsys.readouterr().out
    assert "| spade-heart-25 | 2 |" in out
    assert "difference to spade" in out
