"""Training of AC-GAN, the baseline of the rebalance experiment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor

from synthgen.errors import InputError
from synthgen.networks.acgan import AcDiscriminator, AcGenerator
from synthgen.seeding import Stage, torch_stream
from synthgen.training import losses
from synthgen.training.averaging import Averages
from synthgen.training.objectives import KeyedObjective, Rows, frozen
from synthgen.training.pairs import LevelPairs
from synthgen.training.presets import AcganSettings


class AcganObjective(KeyedObjective):
    """Trains `modules["acgan_generator"]` and `modules["acgan_discriminator"]` on levels and their labels.

    Adversarial loss (hinge, with spectral normalisation, for a stable short training; Odena et al. have the logistic
    loss) and cross-entropy of the labels: the discriminator's on real levels, the generator's on its own.

    Parameters
    ----------
    slices
        What is imitated.
    labels
        `(N, labels)` int64 codes of each level.
    codes
        Number of values of each label.

    Raises
    ------
    InputError
        If `labels` are not one row per level, or out of range.
    """

    def __init__(
        self,
        slices: LevelPairs,
        settings: AcganSettings,
        *,
        labels: NDArray[np.int64],
        codes: Sequence[int],
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(slices, settings, seed, device)
        if labels.shape != (len(slices), len(codes)) or (labels < 0).any() or (labels >= np.array(codes)).any():
            raise InputError(
                "labels", expected=f"({len(slices)}, {len(codes)}) codes below {codes}", got=f"{labels.shape}"
            )
        self.told = torch.from_numpy(labels).to(device)
        generator = AcGenerator(image_size=slices.image_size, codes=codes, **settings.generator)
        self.generator = self.network("acgan_generator", generator)
        self.discriminator = self.network("acgan_discriminator", AcDiscriminator(codes=codes, **settings.discriminator))
        for name, module in self.modules.items():
            self.optimizers[name] = torch.optim.Adam(module.parameters(), settings.learning_rate, betas=(0.0, 0.99))
        self.averages = Averages(self.modules, settings.ema)
        self.averages.keep("acgan_generator")

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a snapshot must agree with; also the labels."""
        return {**super().identity, "labels": hashlib.sha256(self.told.cpu().numpy().tobytes()).hexdigest()}

    def step(self, rows: Rows, step: int) -> dict[str, float]:
        """Make one step of either network; return all terms."""
        for optimizer in self.optimizers.values():
            self.set_rate(optimizer, self.settings.learning_rate, step)
        for module in self.modules.values():
            module.train()
        index = torch.from_numpy(rows).to(self.device)
        told = self.told[index]
        images = self.images[index].to(torch.float32)
        grid = fn.affine_grid(self.motion(len(images), step), list(images.shape), align_corners=False)
        images = fn.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        made = self.generator(self.noise(step, (len(rows), self.generator.noise_dim))[0], told)
        report = self.discriminator_step(images, made.detach(), told)
        with frozen(self.discriminator):
            scores, logits = self.discriminator(made)
        adversarial, auxiliary = losses.hinge_generator([scores]), labels_entropy(logits, told)
        self._update("acgan_generator", adversarial + auxiliary)
        self.averages.update(step)
        return report | {"generator": adversarial.item(), "generator_labels": auxiliary.item()}

    def discriminator_step(self, images: Tensor, made: Tensor, told: Tensor) -> dict[str, float]:
        """Update the discriminator on real and made levels `(B, 2, H, W)`; labels are learnt from real ones."""
        real, logits = self.discriminator(images)
        fake, _ = self.discriminator(made)
        loss, auxiliary = losses.hinge_discriminator([real], [fake]), labels_entropy(logits, told)
        self._update("acgan_discriminator", loss + auxiliary)
        return {"discriminator": loss.item(), "labels": auxiliary.item()}

    def finish(self) -> None:
        """Keep the averaged generator."""
        self.averages.settle()

    def draw(self, labels: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
        """Return levels `(M, 2, H, W)` of codes `(M, labels)`."""
        noise = torch.randn((len(labels), self.generator.noise_dim), generator=torch_stream(seed, stage=Stage.STYLE))
        return self.generator.draw(noise.to(self.device), torch.from_numpy(labels).to(self.device)).cpu().numpy()

    def _update(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[name].step()


def labels_entropy(logits: Sequence[Tensor], told: Tensor) -> Tensor:
    """Return the cross-entropy of the labels `(B, labels)`, summed over them."""
    return torch.stack([fn.cross_entropy(part, told[:, i]) for i, part in enumerate(logits)]).sum()
