"""Losses, each a function of tensors that returns one number with a gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as fn
from torch import Tensor

from synthgen.networks.style_encoder import FAINTEST, without_means


def pixel_summed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy summed over pixels and averaged over the batch.

    `logits (B, K, H, W)`, `labels (B, H, W)` integer. The VAE's beta is stated against this sum, not against a mean.
    """
    return fn.cross_entropy(logits, labels.to(torch.int64), reduction="sum") / len(logits)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the KL divergence of N(mean, variance) `(B, D)` from N(0, 1): sum over D, mean over the batch."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1).mean()


def hinge_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Return the discriminator's hinge loss, averaged over scales (Lim & Ye 2017, arXiv 1705.02894)."""
    terms = [fn.relu(1 - r).mean() + fn.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def hinge_generator(fake: Sequence[Tensor]) -> Tensor:
    """Return the generator's side of the hinge loss: minus the mean score, averaged over scales."""
    return -torch.stack([score.mean() for score in fake]).mean()


def feature_distance(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Return the mean absolute difference of features, averaged over layers; `real` gets no gradient.

    Used on discriminator features (feature matching, doi 10.1109/CVPR.2018.00917) and on perceptual features
    (Johnson et al. 2016, doi 10.1007/978-3-319-46475-6_43).
    """
    return torch.stack([fn.l1_loss(f, r.detach()) for f, r in zip(fake, real, strict=True)]).mean()


def grain_distance(fake: Tensor, real: Tensor) -> Tensor:
    """Return how far apart the strengths of fine detail are, window by window, in nepers; `real` gets no gradient.

    Detail is what a mean over 3 x 3 pixels takes away; its root mean square over windows of 16 pixels is compared, not
    its pattern. Noise differs in every image and no pixel-wise loss rewards it, but its strength is the scanner's.

    Parameters
    ----------
    fake, real
        Images `(B, 1, H, W)` in [-1, 1].
    """
    made, wanted = _detail(fake), _detail(real).detach()
    return fn.l1_loss(made, wanted)


def _detail(images: Tensor) -> Tensor:
    """Return the logarithm of the root mean square of fine detail in windows of 16 pixels."""
    return 0.5 * torch.log(fn.avg_pool2d(without_means(images).square(), 16) + FAINTEST**2)


def soft_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return one minus the mean Dice overlap of softmax probabilities with labels, over the classes.

    `logits (B, K, H, W)`, `labels (B, H, W)`; overlaps are taken over the whole batch, so that a class absent from a
    slice does not make the loss jump.
    """
    probability = logits.softmax(1)
    truth = fn.one_hot(labels.to(torch.int64), logits.shape[1]).permute(0, 3, 1, 2)
    overlap = (probability * truth).sum((0, 2, 3))
    total = probability.sum((0, 2, 3)) + truth.sum((0, 2, 3))
    return 1 - ((2 * overlap + 1) / (total + 1)).mean()


def focal_tversky(logits: Tensor, labels: Tensor, *, missed: float = 0.7, focus: float = 4 / 3) -> Tensor:
    """Return the focal Tversky loss of softmax probabilities, the mean over classes.

    Abraham & Khan 2019 (doi 10.1109/ISBI.2019.8759329, eq. 3 and 4): `(1 - TI) ** (1 / focus)`, where pixels missed
    weigh `missed` and pixels claimed wrongly the rest. `logits (B, K, H, W)`, `labels (B, H, W)`; over the whole batch.
    """
    probability = logits.softmax(1)
    truth = fn.one_hot(labels.to(torch.int64), logits.shape[1]).permute(0, 3, 1, 2)
    found = (probability * truth).sum((0, 2, 3))
    lost, false = truth.sum((0, 2, 3)) - found, probability.sum((0, 2, 3)) - found
    index = (found + 1) / (found + missed * lost + (1 - missed) * false + 1)
    return ((1 - index).clamp(min=1e-6) ** (1 / focus)).mean()  # a power below 1 has no slope at 0


def mask_dice(probability: Tensor, masks: Tensor) -> Tensor:
    """Return one minus the mean Dice overlap of probabilities with masks, both `(B, K, H, W)`, over K.

    The differentiable Dice of Milletari et al. 2016 (doi 10.1109/3DV.2016.79), per structure over the whole batch: a
    slice without a structure does not make the loss jump, and a large structure does not hide a small one.
    """
    overlap = (probability * masks).sum((0, 2, 3))
    total = probability.sum((0, 2, 3)) + masks.sum((0, 2, 3))
    return 1 - ((2 * overlap + 1) / (total + 1)).mean()


def least_squares(scores: Tensor, target: float) -> Tensor:
    """Return the mean squared distance of a discriminator's scores from `target` (Mao et al. 2017, arXiv 1611.04076).

    Target 1 for real and 0 for made when the discriminator learns; 1 for made when what makes it learns.
    """
    return (scores - target).square().mean()


def weighted_least_squares(judged: tuple[Tensor, Tensor], target: float) -> Tensor:
    """Return the weighted mean squared distance of scores from `target` (LSGAN: Mao et al. 2017, arXiv 1611.04076).

    `judged` is scores and weights, of one shape; if all weights are 0, so is the loss. Target 1 for real and 0 for made
    when the critic learns, 1 for made when what makes it learns.
    """
    scores, weights = judged
    return (weights * (scores - target).square()).sum() / weights.sum().clamp(min=1e-6)


def outside(before: Tensor, after: Tensor, weight: Tensor) -> Tensor:
    """Return the L1 distance of `before` and `after (B, C, H, W)` where `weight (B, 1, H, W)` is low.

    Summed over channels, averaged over pixels: the consistency loss of Thermos et al. 2021
    (doi 10.1007/978-3-030-87199-4_15) on factors with their Phi, the background loss on images with their M.
    """
    return ((1 - weight) * (before - after).abs()).sum(1).mean()


def area_change(before: Tensor, after: Tensor, structures: Sequence[Sequence[int]]) -> Tensor:
    """Return how much `structures`, each some channels of `before` and `after (B, C, H, W)`, grow or shrink.

    Absolute differences of areas over that of all structures before, averaged over slices that have any.
    """
    old, new = (torch.stack([part[:, list(own)].sum((1, 2, 3)) for own in structures], 1) for part in (before, after))
    whole = old.sum(1)
    return ((new - old).abs().sum(1) / whole.clamp(min=1)).sum() / (whole > 0).sum().clamp(min=1)
