"""Training of SDNet: semi-supervised, all five losses of the paper in one step, the mask discriminator in another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor

from synthgen.errors import InputError
from synthgen.factors.channels import ChannelMatch, match_channels, with_whole_heart
from synthgen.labels import HEART
from synthgen.networks.mask_discriminator import MaskDiscriminator
from synthgen.networks.sdnet import Decomposition, SDNet, sample, straight_through
from synthgen.training import losses
from synthgen.training.averaging import Averages
from synthgen.training.data import TrainingSlices, batch_rows
from synthgen.training.objectives import KeyedObjective, Rows, frozen
from synthgen.training.presets import SdnetSettings
from synthgen.training.segmentation import moved_pairs

_LABELLED, _SHAPES = 1, 2
"""Lanes of the two further batches of a step."""

_NAMED_ON = 512
"""Labelled slices that channels are named on, at most."""


@dataclass(frozen=True, eq=False)
class Supervision:
    """What may be known of which slices.

    Attributes
    ----------
    labelled
        `(N,)` bool: slices whose labels the Dice loss reads. By subject, or slices next to labelled ones give it away.
    shapes
        `(N,)` bool: slices whose masks the discriminator may see, without their images. None: the labelled ones.

    Raises
    ------
    InputError
        If a mask is not one flag per slice, or names no slice.
    """

    labelled: NDArray[np.bool_]
    shapes: NDArray[np.bool_] | None = None

    def rows(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the row numbers of labelled slices and of shapes among `count` slices."""
        masks = (self.labelled, self.labelled if self.shapes is None else self.shapes)
        for mask in masks:
            if mask.shape != (count,) or mask.dtype != np.bool_ or not mask.any():
                got = f"{mask.dtype} {mask.shape}, {int(mask.sum())} of them set"
                raise InputError("supervision", expected=f"{count} flags, at least one of them set", got=got)
        labelled, shapes = (np.flatnonzero(mask).astype(np.int64) for mask in masks)
        return labelled, shapes


@dataclass(frozen=True, eq=False, kw_only=True)
class Pictures:
    """What one step of SDNet sees, moved.

    Attributes
    ----------
    rows
        Slices of either kind, B of them.
    images
        `(B + L, 1, H, W)` of those slices and of L labelled ones after them.
    masks
        `(L, 3, H, W)` of the labelled ones.
    shapes
        `(B, 3, H, W)`, masks of other slices, for the discriminator.
    """

    rows: Rows
    images: Tensor
    masks: Tensor
    shapes: Tensor


class SdnetObjective(KeyedObjective):
    """Trains `modules["sdnet"]` and `modules["mask_discriminator"]`.

    Every step takes a batch of any slices, whose labels it does not look at, and beside it a batch of labelled ones.
    Which loss trains what: Dice and the adversarial term train anatomy encoder and segmentor; reconstruction trains
    anatomy encoder, modality encoder and decoder; KL the modality encoder; z-regression modality encoder and decoder.

    Call `name_channels` after training.
    """

    def __init__(
        self,
        slices: TrainingSlices,
        settings: SdnetSettings,
        *,
        supervision: Supervision | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(slices, settings, seed, device)
        supervision = supervision or Supervision(np.ones(len(slices), np.bool_))
        self.labelled, self.shapes = supervision.rows(len(slices))
        self.sdnet = self.network("sdnet", SDNet(**settings.network))
        judge = MaskDiscriminator(classes=len(HEART), **settings.discriminator)
        self.discriminator = self.network("mask_discriminator", judge)
        # Adam's first decay of 0.5 is the published code's; the paper gives only the rate.
        for name, module in (("sdnet", self.sdnet), ("mask_discriminator", self.discriminator)):
            self.optimizers[name] = torch.optim.Adam(module.parameters(), settings.learning_rate, betas=(0.5, 0.999))
        self.averages = Averages(self.modules, settings.ema)
        self.averages.keep("sdnet")

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a snapshot must agree with; also which slices were labelled."""
        digest = hashlib.sha256(self.labelled.tobytes() + b"/" + self.shapes.tobytes()).hexdigest()
        return {**super().identity, "supervision": digest}

    def step(self, rows: Rows, step: int) -> dict[str, float]:
        """Make one discriminator and one SDNet step; return every term of the losses."""
        for optimizer in self.optimizers.values():
            self.set_rate(optimizer, self.settings.learning_rate, step)
        for module in self.modules.values():
            module.train()
        pictures = self.pictures(rows, step)
        made, drawn = self.decomposed(pictures, step)
        guessed = hard_masks(made.logits[: len(rows)])
        report = self.discriminator_step(pictures.shapes, guessed.detach())
        terms = self.terms(made, pictures, drawn)
        self.optimizers["sdnet"].zero_grad(set_to_none=True)
        torch.stack([getattr(self.settings, name) * term for name, term in terms.items()]).sum().backward()
        self.optimizers["sdnet"].step()
        self.averages.update(step)
        return report | {name: term.item() for name, term in terms.items()}

    def pictures(self, rows: Rows, step: int) -> Pictures:
        """Return what the step sees beside and including `rows`."""
        settings = self.settings
        labelled = self.labelled[batch_rows(len(self.labelled), settings.labelled_batch, step, self.seed, _LABELLED)]
        shapes = self.shapes[batch_rows(len(self.shapes), len(rows), step, self.seed, _SHAPES)]
        every = np.concatenate([rows, labelled, shapes])
        images, masks = moved_pairs(*self.batch(every), self.motion(len(every), step))
        first, second = len(rows), len(rows) + len(labelled)
        return Pictures(rows=rows, images=images[:second], masks=masks[first:second], shapes=masks[second:])

    def decomposed(self, pictures: Pictures, step: int) -> tuple[Decomposition, tuple[Tensor, Tensor]]:
        """Return what SDNet makes of the images, and the z `(B, n_z)` that z-regression draws, with its noise."""
        count, n_z = len(pictures.rows), self.sdnet.n_z
        noise, drawn, wobble = self.noise(step, (len(pictures.images), n_z), (count, n_z), (count, n_z))
        return self.sdnet(pictures.images, noise), (drawn, wobble)

    def discriminator_step(self, shapes: Tensor, guessed: Tensor) -> dict[str, float]:
        """Update the discriminator on masks that were drawn and masks that were guessed, both `(B, 3, H, W)`."""
        real, fake = self.discriminator(torch.cat([shapes, guessed])).chunk(2)
        loss = losses.least_squares(real, 1.0) + losses.least_squares(fake, 0.0)
        self.optimizers["mask_discriminator"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers["mask_discriminator"].step()
        return {"discriminator": loss.item()}

    def terms(self, made: Decomposition, pictures: Pictures, drawn: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Return the losses of SDNet by the name of their weight; the discriminator gets no gradient."""
        z, wobble = drawn
        with frozen(self.discriminator):
            scores = self.discriminator(hard_masks(made.logits[: len(z)]))
        # As the published code has it and unlike the paper's equation, the same factors serve to encode the image that
        # was made of them: they are known exactly, and the anatomy has no part in what z forgets.
        factors = made.factors[: len(z)].detach()
        again = sample(*self.sdnet.encode_modality(self.sdnet.decoder(factors, z), factors), wobble)
        return {
            "kl": losses.kl_to_standard_normal(made.mean, made.log_variance),
            "dice": losses.mask_dice(made.logits[len(z) :].softmax(1)[:, 1:], pictures.masks),
            "adversarial": losses.least_squares(scores, 1.0),
            "reconstruction": fn.l1_loss(made.reconstruction, pictures.images),
            "z_regression": fn.l1_loss(again, z),
        }

    def finish(self) -> None:
        """Keep the averaged weights."""
        self.averages.settle()

    def segment(self, images: Tensor) -> Tensor:
        """Return label maps `(N, H, W)` uint8 of images `(N, H, W)`; evaluation mode."""
        return self.sdnet.segment(images)

    def name_channels(self) -> ChannelMatch:
        """Give the channels of the network their names, from labelled slices; return how well they fit.

        In the network's names every structure of the heart has a channel. Deterministic, so that a resumed or reloaded
        training names them alike.
        """
        pick = np.linspace(0, len(self.labelled) - 1, min(len(self.labelled), _NAMED_ON)).round().astype(np.int64)
        rows = self.labelled[pick]
        factors, _ = self.sdnet.encode_images(self.images[torch.from_numpy(rows).to(self.device)])
        shown, labels = factors.cpu().numpy(), self.slices.labels[rows]
        match = match_channels(shown, labels)
        self.sdnet.names = with_whole_heart(match.names, shown, labels)
        return match


def hard_masks(logits: Tensor) -> Tensor:
    """Return the heart's masks `(B, 3, H, W)`, 0 or 1, of logits `(B, 4, H, W)`, with the gradient of the softmax.

    What the discriminator is shown. Of soft masks it learns only that they are soft: in 120 steps on phantoms, with the
    paper's weight of 10, its loss fell to 0.08 and Dice stayed at 0.73; with hard ones it stayed at 0.5 and Dice
    reached 0.94. The paper too has h map to {0, 1}.
    """
    return straight_through(logits.softmax(1))[:, 1:]
