"""Training of J: what each loss trains, that F's gradient arrives, and that J begins as the identity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from mixing_cases import classification, levels, mixing
from torch import nn

from synthgen.errors import InputError
from synthgen.factors.swap import donors_for
from synthgen.networks.classifier import CLASSES
from synthgen.seeding import numpy_stream, torch_stream
from synthgen.training.loop import train
from synthgen.training.presets import TINY

ROWS = np.arange(4)


def touched(module: nn.Module) -> bool:
    """Whether any weight has a gradient."""
    return any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())


@pytest.mark.parametrize("term", ["adversarial", "pathology", "consistency", "background", "area"])
def test_each_loss_trains_the_injector_and_nothing_else(term: str) -> None:
    """Every term reaches J, the pathology loss through F and the decoder; critic, F and SDNet get no gradient."""
    task = mixing()
    batch = task.mixed_batch(ROWS, 0)
    task.injector_terms(batch, task.made(batch, 0))[term].backward()
    assert touched(task.injector)
    assert not any(touched(net) for net in (task.critic, task.classifier, task.model))


def test_the_critic_step_trains_the_critic_only() -> None:
    """Its loss moves the critic and leaves no gradient in J."""
    task = mixing()
    batch = task.mixed_batch(ROWS, 0)
    before = [p.clone() for p in task.critic.parameters()]
    task.critic_step(batch, task.made(batch, 0).images.detach())
    assert any(not torch.equal(a, b) for a, b in zip(before, task.critic.parameters(), strict=True))
    assert not touched(task.injector)


def test_a_mixed_batch_is_one_hot_and_touched_where_it_changed() -> None:
    """Every pixel has one channel; away from what the arithmetic touched, factors and noise are untouched."""
    task = mixing()
    batch = task.mixed_batch(ROWS, 0)
    assert torch.equal(batch.mixed.sum(1), torch.ones_like(batch.mixed[:, 0]))
    assert (batch.patch[batch.weight == 0] == 0).all()
    assert bool((batch.weight == 0).any())
    assert torch.equal(batch.modality[0], batch.modality[1])


def test_without_noise_an_untrained_j_keeps_every_pixel() -> None:
    """Its first logits name the channel that it was given."""
    task = mixing()
    batch = task.mixed_batch(ROWS, 0)
    logits = task.injector(batch.mixed, torch.zeros_like(batch.patch))
    assert torch.equal(logits.argmax(1), batch.mixed.argmax(1))


def test_partners_follow_the_table_and_differ_from_the_recipient() -> None:
    """A donor is another subject of a class that the table allows, at the nearest level."""
    pairs = levels()
    rows = np.arange(len(pairs))
    donors = pairs.partners(rows, numpy_stream(1))
    for row, donor in zip(rows, donors, strict=True):
        assert CLASSES[pairs.classes[donor]] in donors_for(CLASSES[pairs.classes[row]])
        assert pairs.subjects[row] != pairs.subjects[donor]
        assert pairs.levels[row] == pairs.levels[donor]


def test_levels_must_fit_together() -> None:
    """Arrays of different lengths and images out of range are input errors."""
    pairs = levels()
    with pytest.raises(InputError, match="level pairs"):
        replace(pairs, classes=pairs.classes[:-1])
    with pytest.raises(InputError, match="within"):
        replace(pairs, images=pairs.images * 3)


def test_f_learns_what_tells_classes_apart(tmp_path) -> None:
    """On levels whose class is their brightness F becomes right, and a resumed training ends with the same bits."""
    task = classification(samples=640)
    train(task, work_dir=tmp_path / "whole")
    shown = torch.from_numpy(levels().images.astype(np.float32))
    guessed = task.classifier.probabilities(shown).argmax(1).numpy()
    assert (guessed == levels().classes).mean() > 0.8

    class StopError(Exception):
        pass

    def stop(progress: object) -> None:
        if progress.samples >= 320:
            raise StopError

    broken = classification(samples=640)
    with pytest.raises(StopError):
        train(broken, work_dir=tmp_path / "cut", report=stop, snapshot_seconds=0.0)
    again = classification(samples=640)
    train(again, work_dir=tmp_path / "cut")
    for key, value in task.classifier.state_dict().items():
        assert torch.equal(value, again.classifier.state_dict()[key]), key


def test_j_trains_and_stays_near_what_it_was_given(tmp_path) -> None:
    """A short training is finite, changes J, and leaves pixels that nothing touched alone."""
    task = mixing(samples=TINY.mixing.samples)
    before = {key: value.clone() for key, value in task.injector.state_dict().items()}
    train(task, work_dir=tmp_path)
    assert any(not torch.equal(before[key], value) for key, value in task.injector.state_dict().items())
    batch = task.mixed_batch(ROWS, 99)
    refined = task.injector.refine(batch.mixed, batch.weight[:, 0], torch.zeros_like(batch.weight[:, 0]))
    still = batch.weight[:, 0] == 0
    assert torch.equal(refined.argmax(1)[still], batch.mixed.argmax(1)[still])


def test_a_border_moves_by_a_pixel_and_no_channel_appears_from_nowhere() -> None:
    """However strong its noise, J gives a pixel only to channels that were there or next to it."""
    task = mixing()
    with torch.no_grad():
        for strength in task.injector.strengths:
            strength.mul_(100.0)
    batch = task.mixed_batch(ROWS, 0)
    everywhere = torch.ones_like(batch.weight[:, 0])
    noise = torch.randn(everywhere.shape, generator=torch_stream(1))
    refined = task.injector.refine(batch.mixed, everywhere, noise)
    near = nn.functional.max_pool2d(batch.mixed, 3, stride=1, padding=1)
    assert not torch.equal(refined, batch.mixed.to(torch.uint8))
    assert bool((near[refined.bool()] == 1).all())


def test_another_sdnet_is_another_training(tmp_path) -> None:
    """A snapshot of J that was trained on other frozen weights is refused."""
    train(mixing(), work_dir=tmp_path)
    other = mixing()
    with torch.no_grad():
        other.model.decoder.head.bias.add_(0.1)
    with pytest.raises(InputError):
        train(other, work_dir=tmp_path)
