"""Training of the residual classifier that measures what training subjects are worth."""

from __future__ import annotations

import torch
import torch.nn.functional as fn
from torch import Tensor

from synthgen.networks.residual_classifier import ResidualClassifier
from synthgen.seeding import Stage, torch_stream
from synthgen.training.averaging import Averages
from synthgen.training.objectives import KeyedObjective, Rows
from synthgen.training.pairs import LevelPairs
from synthgen.training.presets import DiagnosisSettings


class DiagnosisObjective(KeyedObjective):
    """Trains `modules["diagnosis"]`, a `ResidualClassifier`, by plain cross-entropy.

    Every level counts alike: how often a class is seen is what is under test here, so no class weighs more than it has
    subjects, unlike in the training of F.
    """

    def __init__(self, slices: LevelPairs, settings: DiagnosisSettings, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(slices, settings, seed, device)
        self.classifier = self.network("diagnosis", ResidualClassifier(**settings.network))
        self.optimizers["diagnosis"] = torch.optim.AdamW(
            self.classifier.parameters(), settings.learning_rate, weight_decay=settings.decay
        )
        self.classes = torch.from_numpy(slices.classes).to(device)
        self.averages = Averages(self.modules, settings.ema)
        self.averages.keep("diagnosis")

    def step(self, rows: Rows, step: int) -> dict[str, float]:
        """Make one step; return cross-entropy and the share of levels that are right."""
        optimizer = self.optimizers["diagnosis"]
        self.set_rate(optimizer, self.settings.learning_rate, step)
        index = torch.from_numpy(rows).to(self.device)
        images, classes = self._moved(self.images[index].to(torch.float32), step), self.classes[index]
        self.classifier.train()
        logits = self.classifier(images)
        entropy = fn.cross_entropy(logits, classes)
        optimizer.zero_grad(set_to_none=True)
        entropy.backward()
        optimizer.step()
        self.averages.update(step)
        return {
            "cross_entropy": entropy.item(),
            "accuracy": (logits.detach().argmax(1) == classes).float().mean().item(),
        }

    def finish(self) -> None:
        """Keep the averaged weights."""
        self.averages.settle()

    def _moved(self, images: Tensor, step: int) -> Tensor:
        """Return the levels, both phases alike, after random motion and change of contrast and brightness."""
        grid = fn.affine_grid(self.motion(len(images), step), list(images.shape), align_corners=False)
        shown = fn.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        generator = torch_stream(self.seed, step, stage=Stage.TRAINING_NOISE)
        contrast, level = torch.randn((2, len(images), 1, 1, 1), generator=generator).to(self.device)
        amount = self.settings.intensity
        return (shown * torch.exp(amount * contrast) + amount * level).clamp(-1, 1)
