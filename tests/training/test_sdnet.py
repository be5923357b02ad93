"""SDNet's losses: what each trains, who may see which labels, and that channels get their names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from heart_phantoms import heart_slices, sdnet
from torch import nn
from training_cases import AREA, objective

from synthgen.errors import InputError
from synthgen.factors.channels import channels_of
from synthgen.labels import HEART, Tissue
from synthgen.training.area import AreaObjective
from synthgen.training.loop import train
from synthgen.training.presets import TINY
from synthgen.training.sdnet import SdnetObjective, Supervision

PARTS = ("anatomy", "imaging", "segmentor", "decoder")


def touched(module: nn.Module) -> bool:
    """Whether any weight has a gradient."""
    return any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())


def terms_of(task: SdnetObjective) -> dict[str, torch.Tensor]:
    """The losses of a first step."""
    pictures = task.pictures(np.arange(4), 0)
    made, drawn = task.decomposed(pictures, 0)
    return task.terms(made, pictures, drawn)


@pytest.mark.parametrize(
    ("term", "trained"),
    [
        ("kl", {"imaging"}),
        ("dice", {"anatomy", "segmentor"}),
        ("adversarial", {"anatomy", "segmentor"}),
        ("reconstruction", {"anatomy", "imaging", "decoder"}),
        ("z_regression", {"imaging", "decoder"}),
    ],
)
def test_each_loss_trains_its_networks_and_no_other(term: str, trained: set[str]) -> None:
    """A term leaves a gradient in the networks of the table, none in the rest, and none in the discriminator."""
    task = objective("sdnet")
    terms_of(task)[term].backward()
    assert {part for part in PARTS if touched(getattr(task.sdnet, part))} == trained
    assert not touched(task.discriminator)


def test_the_discriminator_step_trains_the_discriminator_only() -> None:
    """Its loss leaves no gradient in SDNet and moves the discriminator."""
    task = objective("sdnet")
    pictures = task.pictures(np.arange(4), 0)
    before = [p.clone() for p in task.discriminator.parameters()]
    task.discriminator_step(pictures.shapes, pictures.shapes.flip(0))
    assert any(not torch.equal(a, b) for a, b in zip(before, task.discriminator.parameters(), strict=True))
    assert not touched(task.sdnet)


def test_the_area_trains_the_regressor_and_the_anatomy() -> None:
    """The second task reaches the factors through the regressor and nothing else; unknown areas give no gradient."""
    task = objective("area")
    terms_of(task)["area"].backward()
    assert touched(task.regressor)
    assert {part for part in PARTS if touched(getattr(task.sdnet, part))} == {"anatomy"}
    unknown = objective("area")
    unknown.known[:] = False
    terms_of(unknown)["area"].backward()
    assert not touched(unknown.regressor)


def test_labels_of_unlabelled_slices_are_never_read() -> None:
    """Two trainings that differ in the labels of unlabelled slices alone are equal to the bit; labelled ones matter."""
    hearts, numbers = heart_slices(12), []
    labelled = hearts.subjects == 0
    for wrong in (np.zeros_like(labelled), ~labelled, labelled):
        labels = np.where(wrong[:, None, None], Tissue.LV, hearts.labels).astype(np.uint8)
        task = SdnetObjective(replace(hearts, labels=labels), TINY.sdnet, supervision=Supervision(labelled))
        task.step(np.arange(4), 0)
        numbers.append(task.step(np.arange(4, 8), 1))
    assert numbers[0] == numbers[1] != numbers[2]


def test_shapes_may_come_from_slices_that_are_not_labelled() -> None:
    """The discriminator sees the masks it is given leave for, the Dice loss only labelled ones."""
    hearts = heart_slices(12)
    labelled, shapes = hearts.subjects == 0, hearts.subjects == 2
    task = SdnetObjective(hearts, TINY.sdnet, supervision=Supervision(labelled, shapes))
    assert task.labelled.tolist() == [0, 1, 2, 3]
    assert task.shapes.tolist() == [8, 9, 10, 11]
    pictures = task.pictures(np.arange(4, 8), 0)
    assert pictures.images.shape == (8, 1, 32, 32)
    assert pictures.masks.shape == pictures.shapes.shape == (4, 3, 32, 32)


@pytest.mark.parametrize("labelled", [np.zeros(12, np.bool_), np.ones(5, np.bool_)])
def test_supervision_must_fit(labelled: np.ndarray) -> None:
    """No labelled slice, or another number of flags, is an input error."""
    with pytest.raises(InputError, match="supervision"):
        SdnetObjective(heart_slices(12), TINY.sdnet, supervision=Supervision(labelled))


def test_another_supervision_is_another_training(tmp_path) -> None:
    """A snapshot of a training with other labelled subjects is refused."""
    hearts, settings = heart_slices(12), replace(TINY.sdnet, samples=4)
    train(SdnetObjective(hearts, settings, supervision=Supervision(hearts.subjects == 0)), work_dir=tmp_path)
    other = SdnetObjective(hearts, settings, supervision=Supervision(hearts.subjects == 1))
    with pytest.raises(InputError, match="another folder"):
        train(other, work_dir=tmp_path)


def test_fine_tuning_starts_from_the_network_and_refuses_to_zoom() -> None:
    """The area is learnt from a trained SDNet, which stays as it was; a zoom would change areas."""
    hearts, start = heart_slices(12), sdnet(**TINY.sdnet.network)
    kept = {key: value.clone() for key, value in start.state_dict().items()}
    rest = {"start": start, "supervision": Supervision(hearts.subjects == 0), "known": hearts.subjects < 2}
    task = AreaObjective(hearts, AREA, **rest)
    assert all(torch.equal(value, kept[key]) for key, value in task.sdnet.state_dict().items())
    task.step(np.arange(4), 0)
    assert all(torch.equal(value, kept[key]) for key, value in start.state_dict().items())
    assert task.areas_of(torch.from_numpy(hearts.images[:3].astype(np.float32))).shape == (3,)
    with pytest.raises(InputError, match="zoom"):
        AreaObjective(hearts, replace(AREA, zoom=0.1), **rest)


def test_it_learns_and_names_its_channels(tmp_path) -> None:
    """On phantoms it finds the heart, every structure has channels of its own, and a reload has the same names."""
    hearts = heart_slices(24)
    settings = replace(TINY.sdnet, samples=480, learning_rate=5e-3)
    tasks = [SdnetObjective(hearts, settings) for _ in range(2)]
    matches = []
    for task in tasks:
        train(task, work_dir=tmp_path)
        matches.append(task.name_channels())
    assert matches[0] == matches[1]
    assert tasks[0].sdnet.arguments["names"] == list(matches[0].names)
    owned = [set(channels_of(matches[0].names, structure.name)) for structure in HEART]
    assert not owned[0] & owned[1]
    assert min(matches[0].dice.values()) > 0.7
    guessed = tasks[0].sdnet.segment(torch.from_numpy(hearts.images.astype(np.float32))).numpy()
    truth = np.where(hearts.labels <= Tissue.RV, hearts.labels, 0)
    for structure in HEART:
        a, b = guessed == structure, truth == structure
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.8, structure
