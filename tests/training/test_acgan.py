"""AC-GAN: which loss trains what, and what it draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from mixing_cases import levels

from synthgen.errors import InputError
from synthgen.evaluation.tiers import TIERS
from synthgen.training.acgan import AcganObjective
from synthgen.training.loop import train


def objective(**changed: object) -> AcganObjective:
    """An AC-GAN over a few phantoms with their classes and two vendors."""
    shown = levels()
    labels = np.stack([shown.classes, shown.subjects % 2], axis=1)
    return AcganObjective(shown, replace(TIERS["tiny"].acgan, **changed), labels=labels, codes=(5, 2))


def test_a_step_trains_both_networks() -> None:
    """Every weight of either network moves, labels' heads included.

    But the bias of the score: before any score is beyond its margin, real and made levels pull at it alike.
    """
    task = objective()
    before = {n: {k: v.clone() for k, v in m.named_parameters()} for n, m in task.modules.items() if "ema" not in n}
    task.step(np.arange(8), 0)
    for name, parameters in before.items():
        now = dict(task.modules[name].named_parameters())
        still = {key for key, value in parameters.items() if torch.equal(value, now[key])}
        assert still <= {"score.bias"}


def test_the_generator_step_leaves_the_discriminator_alone(monkeypatch) -> None:
    """Gradients pass through the discriminator and stop at its weights; the generator moves."""
    task = objective()
    monkeypatch.setattr(task, "discriminator_step", lambda *_: {})
    before = {key: value.clone() for key, value in task.generator.named_parameters()}
    task.step(np.arange(4), 0)
    assert all(value.grad is None for value in task.discriminator.parameters())
    assert any(not torch.equal(before[key], value) for key, value in task.generator.named_parameters())


def test_it_learns_to_obey_its_label(tmp_path) -> None:
    """Trained on two grey values, it draws the one that is asked for, the same for the same seed."""
    task = objective(samples=2_400, learning_rate=2e-3, ema=0.9)
    bright = task.told[:, 1].to(torch.float16)[:, None, None, None]
    task.images[:] = (bright - 0.5) * 1.2
    train(task, work_dir=tmp_path)
    asked = np.array([[0, 0], [0, 1]] * 4, np.int64)
    drawn = task.draw(asked, 3)
    assert drawn.shape == (8, 2, 32, 32)
    dark, light = drawn[asked[:, 1] == 0].mean(), drawn[asked[:, 1] == 1].mean()
    assert light - dark > 0.5
    assert np.array_equal(task.draw(asked, 3), drawn)
    assert np.array_equal(task.draw(asked[:3], 3), drawn[:3])


def test_wrong_labels_are_refused() -> None:
    """One row of codes per level, all below their number of values."""
    shown = levels()
    labels = np.full((len(shown), 1), 5, np.int64)
    with pytest.raises(InputError, match="codes below"):
        AcganObjective(shown, TIERS["tiny"].acgan, labels=labels, codes=(5,))
