"""Training of the segmentor of nine tissues, on virtual hearts alone."""

from __future__ import annotations

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from synthgen.networks.segmentor import Segmentor
from synthgen.seeding import Stage, torch_stream
from synthgen.training import losses
from synthgen.training.averaging import Averages
from synthgen.training.data import TrainingSlices
from synthgen.training.objectives import KeyedObjective, Rows
from synthgen.training.presets import SegmentorSettings
from synthgen.training.randomisation import Randomiser
from synthgen.training.segmentation import STEEPEST


class SegmentorObjective(KeyedObjective):
    """Trains `modules["segmentor"]`, a `Segmentor`, on random views of labelled slices.

    Focal Tversky loss and dropout of Amirrajab et al. 2022 (doi 10.1016/j.compmedimag.2022.102123, section 3.1). The
    learning rate falls over a fixed budget; the paper stops early.
    """

    def __init__(
        self, slices: TrainingSlices, settings: SegmentorSettings, *, seed: int = 0, device: str = "cpu"
    ) -> None:
        super().__init__(slices, settings, seed, device)
        self.segmentor = self.network("segmentor", Segmentor(**settings.network))
        self.optimizers["segmentor"] = torch.optim.AdamW(
            self.segmentor.parameters(), settings.learning_rate, weight_decay=settings.decay
        )
        self.averages = Averages(self.modules, settings.ema)
        self.averages.keep("segmentor")

    def step(self, rows: Rows, step: int) -> dict[str, float]:
        """Make one step; return focal Tversky loss and cross-entropy per pixel."""
        optimizer = self.optimizers["segmentor"]
        self.set_rate(optimizer, self.settings.learning_rate, step)
        views = Randomiser(self.settings.views, torch_stream(self.seed, step, stage=Stage.AUGMENTATION))
        labels, images = views.views(*self.batch(rows))
        self.segmentor.train()
        logits = self.segmentor(images.contiguous(memory_format=torch.channels_last), self._kept(len(rows), step))
        overlap, entropy = (
            losses.focal_tversky(logits, labels, missed=self.settings.missed),
            fn.cross_entropy(logits, labels),
        )
        optimizer.zero_grad(set_to_none=True)
        (overlap + self.settings.cross_entropy * entropy).backward()
        nn.utils.clip_grad_norm_(self.segmentor.parameters(), STEEPEST)
        optimizer.step()
        self.averages.update(step)
        return {"focal_tversky": overlap.item(), "cross_entropy": entropy.item()}

    def finish(self) -> None:
        """Keep the averaged weights."""
        self.averages.settle()

    def _kept(self, count: int, step: int) -> Tensor:
        """Return what dropout multiplies the coarsest channels by in this step."""
        share = self.segmentor.share
        chance = torch.rand(
            (count, self.segmentor.unet.deepest), generator=torch_stream(self.seed, step, 1, Stage.TRAINING_NOISE)
        )
        return ((chance >= share).to(torch.float32) / (1 - share)).to(self.device)
