"""Objectives: what each step trains, and that it trains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from network_cases import noise
from torch import nn
from training_cases import NAMES, objective, slices

from synthgen.networks.label_vae import heart_one_hot
from synthgen.training import losses
from synthgen.training.data import batch_rows
from synthgen.training.objectives import PerceptualObjective, SpadeObjective, frozen, moved
from synthgen.training.presets import TINY


def touched(module: nn.Module) -> bool:
    """Whether any weight has a gradient."""
    return any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())


def clear(spade: SpadeObjective) -> None:
    """Forget all gradients."""
    for module in spade.modules.values():
        module.zero_grad(set_to_none=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_moves_every_trained_network(name: str) -> None:
    """Each network of the objective changes in one step, averages included, and all reported numbers are finite."""
    task = objective(name)
    before = {key: [p.clone() for p in module.parameters()] for key, module in task.modules.items()}
    numbers = task.step(np.arange(4), 0)
    assert all(np.isfinite(list(numbers.values())))
    for key, module in task.modules.items():
        assert any(not torch.equal(a, b) for a, b in zip(before[key], module.parameters(), strict=True)), key


@pytest.mark.parametrize("name", NAMES)
def test_the_same_step_twice_gives_the_same_bits(name: str) -> None:
    """Two objectives with one seed agree to the bit after two steps; another seed differs."""
    numbers = []
    for seed in (0, 0, 1):
        task = objective(name, seed=seed)
        task.step(np.arange(4), 0)
        numbers.append(task.step(np.arange(4, 8), 1))
    assert numbers[0] == numbers[1] != numbers[2]


@pytest.mark.parametrize(
    ("term", "trains_encoder"),
    [(name, True) for name in ("adversarial", "feature_matching", "perceptual", "look", "l1")],
)
def test_generator_terms_train_generator_and_encoder_only(term: str, trains_encoder: bool) -> None:
    """Every generator term reaches the generator and the style encoder, never discriminator or feature network."""
    spade = objective("spade")
    rows = np.arange(4)
    labels, images = spade.batch(rows)
    fake, _, _ = spade._fake(spade.generator, spade.encoder, labels, rows, 0)
    one_hot = torch.nn.functional.one_hot(labels.long(), 9).permute(0, 3, 1, 2).float()
    clear(spade)
    spade._generator_terms(one_hot, images, fake)[term].backward()
    assert touched(spade.generator)
    assert touched(spade.encoder) == trains_encoder
    assert not touched(spade.discriminator)
    assert not touched(spade.features)


def test_features_learn_to_tell_scanners_apart() -> None:
    """With the scanners of its slices the perceptual network learns them too; they belong to its identity."""
    known = slices(24, 2)
    sharp = known.images.astype(np.float32)
    sharp[known.subjects == 1] += 0.2 * (np.indices((32, 32)).sum(0) % 2)  # a pattern that it leaves
    known = replace(known, images=np.clip(sharp, -1, 1).astype(np.float16))
    task = PerceptualObjective(known, replace(TINY.perceptual, samples=800), scanners=known.subjects)
    plain = PerceptualObjective(known, TINY.perceptual)
    assert "scanner" not in plain.step(np.arange(4), 0)
    assert task.identity != PerceptualObjective(known, task.settings, scanners=1 - known.subjects).identity
    found = [task.step(batch_rows(24, 8, step, 0), step)["scanner"] for step in range(100)]
    assert found[-1] < 0.3 < found[0]


def test_style_kl_trains_the_encoder_only() -> None:
    """The KL term reaches the style encoder and nothing else."""
    spade = objective("spade")
    rows = np.arange(4)
    _, mean, log_variance = spade._fake(spade.generator, spade.encoder, spade.batch(rows)[0], rows, 0)
    clear(spade)
    losses.kl_to_standard_normal(mean, log_variance).backward()
    assert touched(spade.encoder)
    assert not touched(spade.generator)


def test_the_discriminator_step_trains_the_discriminator_only() -> None:
    """The hinge loss changes the discriminator and leaves generator and encoder without gradient."""
    spade = objective("spade")
    rows = np.arange(4)
    labels, images = spade.batch(rows)
    fake, _, _ = spade._fake(spade.generator, spade.encoder, labels, rows, 0)
    clear(spade)
    spade._discriminator_step(heart_one_hot(labels, 9), images, fake.detach())
    assert touched(spade.discriminator)
    assert not touched(spade.generator)
    assert not touched(spade.encoder)


def test_both_vae_terms_train_what_they_should() -> None:
    """Cross-entropy reaches encoder and decoder, KL the encoder only."""
    vae = objective("vae").vae
    one_hot = heart_one_hot(objective("vae").labels[:4])
    for term, decoder in (("entropy", True), ("kl", False)):
        vae.zero_grad(set_to_none=True)
        logits, mean, log_variance = vae(one_hot, noise(4, vae.latent_dim))
        loss = {
            "entropy": losses.pixel_summed_cross_entropy(logits, one_hot.argmax(1)),
            "kl": losses.kl_to_standard_normal(mean, log_variance),
        }[term]
        loss.backward()
        assert touched(vae.encoder)
        assert touched(vae.decoder) == decoder


def test_frozen_lets_gradients_through_and_none_in() -> None:
    """Within `frozen` the input gets a gradient, the weights none; afterwards they are trainable again."""
    layer, x = nn.Linear(2, 1), torch.ones(1, 2, requires_grad=True)
    with frozen(layer):
        layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is None
    assert layer.weight.requires_grad


def test_labels_stay_labels_when_moved() -> None:
    """The identity changes nothing; a shift lets background in and keeps a distribution at every pixel."""
    one_hot = heart_one_hot(torch.full((1, 8, 8), 2, dtype=torch.uint8))
    still = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    torch.testing.assert_close(moved(one_hot, still), one_hot)
    shifted = moved(one_hot, still + torch.tensor([[[0, 0, 0.5], [0, 0, 0]]]))
    torch.testing.assert_close(shifted.sum(1), torch.ones(1, 8, 8))
    assert shifted.argmax(1)[0, 0].tolist() == [2] * 6 + [0] * 2


def test_finish_measures_statistics_for_the_averaged_generator() -> None:
    """After `finish` the averaged generator has statistics of its own weights and is in evaluation mode."""
    spade = objective("spade")
    spade.step(np.arange(4), 0)
    average = spade.modules["generator_ema"]
    before = [b.clone() for b in average.buffers() if b.is_floating_point()]
    spade.finish()
    after = [b for b in average.buffers() if b.is_floating_point()]
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not any(module.training for module in average.modules())
    assert all(m.momentum == 0.1 for m in average.modules() if isinstance(m, nn.BatchNorm2d))
