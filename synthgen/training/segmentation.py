"""A U-Net trained by labels alone, the supervised counterpart of SDNet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from synthgen.errors import InputError
from synthgen.labels import HEART, Tissue
from synthgen.networks.label_vae import heart_one_hot
from synthgen.networks.sdnet import largest
from synthgen.networks.segmentor import normalised
from synthgen.networks.unet import UNet
from synthgen.seeding import Stage, torch_stream
from synthgen.training import losses
from synthgen.training.averaging import Averages
from synthgen.training.data import TrainingSlices
from synthgen.training.objectives import KeyedObjective, Rows, digest_of, moved
from synthgen.training.presets import SegmentationSettings
from synthgen.training.randomisation import Randomiser

STEEPEST = 2.0
"""Largest norm of a step's gradient; a batch of almost no heart would otherwise throw the weights off."""


class SegmentationObjective(KeyedObjective):
    """Trains `modules["unet"]`, a `UNet`, to segment the heart on the slices that it is given, by SDNet's Dice loss.

    Parameters
    ----------
    start
        A U-Net of hearts or of tissues with the same layers, whose weights it starts from; None: random ones.

    Raises
    ------
    InputError
        If `start` has other layers.
    """

    def __init__(
        self,
        slices: TrainingSlices,
        settings: SegmentationSettings,
        *,
        start: UNet | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(slices, settings, seed, device)
        self.unet = self.network("unet", UNet(classes=1 + len(HEART), **settings.network))
        self._start = ""
        if start is not None:
            self._start = digest_of(start)
            self._start_from(start)
        # SDNet's optimiser, its first decay of 0.5 included; on random views that of the segmentor of nine tissues.
        weights, rate = self.unet.parameters(), settings.learning_rate
        self.optimizers["unet"] = (
            torch.optim.AdamW(weights, rate, weight_decay=1e-4)
            if settings.views
            else torch.optim.Adam(weights, rate, betas=(0.5, 0.999))
        )
        self.averages = Averages(self.modules, settings.ema)
        self.averages.keep("unet")

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a snapshot must agree with: the weights that it started from too."""
        return {**super().identity, **({"start": self._start} if self._start else {})}

    def _start_from(self, known: UNet) -> None:
        """Take over weights; of nine tissues, all that are no heart become the background."""
        if {**known.arguments, "classes": 1 + len(HEART)} != self.unet.arguments:
            raise InputError("start", expected=f"a U-Net of {self.unet.arguments}", got=f"one of {known.arguments}")
        weights = known.state_dict()
        others = list(range(1 + len(HEART), known.head.out_channels))
        for name in ("head.weight", "head.bias"):
            background = weights[name][[Tissue.BACKGROUND, *others]].mean(0, keepdim=True)
            weights[name] = torch.cat([background, weights[name][list(HEART)]])
        self.unet.load_state_dict(weights)

    def step(self, rows: Rows, step: int) -> dict[str, float]:
        """Make one step; return the Dice loss."""
        optimizer = self.optimizers["unet"]
        self.set_rate(optimizer, self.settings.learning_rate, step)
        images, masks = self._views(rows, step)
        self.unet.train()
        logits = self.unet(images)
        dice = losses.mask_dice(logits.softmax(1)[:, 1:], masks)
        optimizer.zero_grad(set_to_none=True)
        dice.backward()
        nn.utils.clip_grad_norm_(self.unet.parameters(), STEEPEST)
        optimizer.step()
        self.averages.update(step)
        return {"dice": dice.item()}

    def finish(self) -> None:
        """Keep the averaged weights."""
        self.averages.settle()

    def segment(self, images: Tensor) -> Tensor:
        """Return label maps `(N, H, W)` uint8 of images `(N, H, W)`; evaluation mode."""
        return self.unet.segment(normalised(images[:, None])[:, 0] if self.settings.views else images)

    def _views(self, rows: Rows, step: int) -> tuple[Tensor, Tensor]:
        """Return images `(B, 1, H, W)` and heart masks `(B, 3, H, W)` of the rows, moved or as random views."""
        if not self.settings.views:
            return moved_pairs(*self.batch(rows), self.motion(len(rows), step))
        views = Randomiser(self.settings.views, torch_stream(self.seed, step, stage=Stage.AUGMENTATION))
        labels, images = views.views(*self.batch(rows))
        return images.contiguous(memory_format=torch.channels_last), heart_one_hot(labels)[:, 1:]


def moved_pairs(labels: Tensor, images: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Return images `(B, 1, H, W)` and heart masks `(B, 3, H, W)`, one-hot, after one affine motion `(B, 2, 3)` each.

    `labels (B, H, W)`. Beyond its edge an image goes on as it ends: black corners would be something to learn.
    """
    masks = largest(moved(heart_one_hot(labels), matrices))[:, 1:].to(torch.float32)
    grid = fn.affine_grid(matrices, list(images.shape), align_corners=False)
    shown = fn.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return shown.contiguous(memory_format=torch.channels_last), masks
