"""Training of the segmentor of nine tissues, on virtual hearts alone."""

from __future__ import annotations

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from synthgen.networks.segmentor import Segmentor
from synthgen.seeding import Stage, numpy_stream, torch_stream
from synthgen.training import losses
from synthgen.training.averaging import Averages
from synthgen.training.data import TrainingSlices, besides
from synthgen.training.objectives import KeyedObjective, Rows
from synthgen.training.presets import SegmentorSettings
from synthgen.training.randomisation import Randomiser
from synthgen.training.segmentation import STEEPEST

_DRAWN = (0.5, 0.1)
"""Share of the parts of stacks that are turned upside down, and of those without the slices beside."""


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
        self.besides = torch.from_numpy(besides(slices, self.segmentor.beside)).to(device)
        self.averages = Averages(self.modules, settings.ema)
        self.averages.keep("segmentor")

    def step(self, rows: Rows, step: int) -> dict[str, float]:
        """Make one step; return focal Tversky loss and cross-entropy per pixel."""
        optimizer = self.optimizers["segmentor"]
        self.set_rate(optimizer, self.settings.learning_rate, step)
        views = Randomiser(self.settings.views, torch_stream(self.seed, step, stage=Stage.AUGMENTATION))
        labels, images = views.stacks(*self._parts(rows, step))
        labels = labels[:, self.segmentor.beside]
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

    def _parts(self, rows: Rows, step: int) -> tuple[Tensor, Tensor]:
        """Return labels and images `(B, S, H, W)` of the rows and of the slices beside them, which may be missing.

        Half of the parts are upside down: not every stack that is segmented says at which end its base is.
        """
        shown = self.besides[torch.from_numpy(rows).to(self.device)]
        draw = numpy_stream(self.seed, step, 1, stage=Stage.AUGMENTATION).random((2, len(rows), 1))
        turned, alone = (
            torch.from_numpy(chance < share).to(self.device) for chance, share in zip(draw, _DRAWN, strict=True)
        )
        shown = torch.where(turned, shown.flip(1), shown)
        shown = torch.where(alone, shown[:, self.segmentor.beside, None], shown)
        return self.labels[shown], self.images[shown].to(torch.float32)

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
