"""Training of the pathology classifier F on levels of the cohort."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as fn
from torch import Tensor

from synthgen.networks.classifier import CLASSES, PathologyClassifier
from synthgen.seeding import Stage, torch_stream
from synthgen.training.objectives import KeyedObjective, Rows
from synthgen.training.pairs import LevelPairs
from synthgen.training.presets import ClassifierSettings


class ClassifierObjective(KeyedObjective):
    """Trains `modules["classifier"]`, a `PathologyClassifier`, by cross-entropy; rare classes weigh more.

    The paper stops at the best accuracy on validation subjects; here the budget is fixed and the rate falls, and
    validation subjects are what the caller keeps out of `slices`.
    """

    def __init__(self, slices: LevelPairs, settings: ClassifierSettings, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(slices, settings, seed, device)
        self.classifier = self.network("classifier", PathologyClassifier(**settings.network))
        self.optimizers["classifier"] = torch.optim.Adam(
            self.classifier.parameters(), settings.learning_rate, betas=(0.9, 0.999), weight_decay=settings.decay
        )
        counts = np.bincount(slices.classes, minlength=len(CLASSES))
        present = counts > 0
        weights = np.divide(len(slices) / present.sum(), counts, out=np.zeros(len(CLASSES)), where=present)
        self.weights = torch.from_numpy(weights.astype(np.float32)).to(device)
        self.classes = torch.from_numpy(slices.classes).to(device)

    def step(self, rows: Rows, step: int) -> dict[str, float]:
        """Make one step; return cross-entropy and the share of levels that are right."""
        optimizer = self.optimizers["classifier"]
        self.set_rate(optimizer, self.settings.learning_rate, step)
        index = torch.from_numpy(rows).to(self.device)
        images, classes = self._moved(self.images[index].to(torch.float32), step), self.classes[index]
        self.classifier.train()
        logits = self.classifier(images, self._kept(len(rows), step))
        entropy = fn.cross_entropy(logits, classes, weight=self.weights)
        optimizer.zero_grad(set_to_none=True)
        entropy.backward()
        optimizer.step()
        return {
            "cross_entropy": entropy.item(),
            "accuracy": (logits.detach().argmax(1) == classes).float().mean().item(),
        }

    def _moved(self, images: Tensor, step: int) -> Tensor:
        """Return the levels, both phases alike, after a small random motion and change of contrast and brightness."""
        grid = fn.affine_grid(self.motion(len(images), step), list(images.shape), align_corners=False)
        shown = fn.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        contrast, level = self.noise(step, (len(images), 1, 1, 1), (len(images), 1, 1, 1))
        amount = self.settings.intensity
        return ((shown * torch.exp(amount * contrast)) + amount * level).clamp(-1, 1)

    def _kept(self, count: int, step: int) -> Tensor:
        """Return which hidden values dropout keeps in this step."""
        generator = torch_stream(self.seed, step, 1, Stage.TRAINING_NOISE)
        chance = torch.rand((2, count, self.classifier.hidden), generator=generator)
        return (chance >= self.classifier.share).to(self.device, torch.float32)
