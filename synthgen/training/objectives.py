"""What is trained: each objective owns its networks and optimisers and makes one step from one batch of rows.

An objective is deterministic: weights, noise and augmentation come from streams keyed by (seed, step).
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor, nn

from synthgen.labels import Tissue
from synthgen.networks.discriminators import MultiScaleDiscriminator
from synthgen.networks.image_to_image import Pix2PixGenerator, Pix2PixHdGenerator
from synthgen.networks.initialise import Module, initialise
from synthgen.networks.label_vae import LabelVAE, heart_one_hot
from synthgen.networks.perceptual import TissueNet, moments
from synthgen.networks.spade import SpadeGenerator
from synthgen.networks.style_encoder import StyleEncoder
from synthgen.seeding import Stage, numpy_stream, torch_stream
from synthgen.training import losses
from synthgen.training.data import TrainingSlices, batch_rows, companions
from synthgen.training.pairs import LevelPairs
from synthgen.training.presets import PerceptualSettings, SpadeSettings, VaeSettings

Rows = NDArray[np.int64]

_NETWORK_KEYS = {
    "vae": 0, "perceptual": 1, "generator": 2, "encoder": 3, "discriminator": 4,
    "sdnet": 5, "mask_discriminator": 6, "unet": 7, "area": 8,
    "classifier": 16, "injector": 17, "heart_critic": 18, "diagnosis": 19,
    "acgan_generator": 20, "acgan_discriminator": 21,
    "segmentor": 24,
}  # fmt: skip
"""Which stream a network's initial weights come from; append, never renumber."""


@runtime_checkable
class FeatureNetwork(Protocol):
    """A network whose features the perceptual loss compares: `TissueNet` or `Vgg19Features`."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Return feature maps of images `(B, 1, H, W)` in [-1, 1]."""
        ...


def digest_of(*modules: nn.Module) -> str:
    """Return the SHA-256 of all weights and batch statistics."""
    digest = hashlib.sha256()
    for module in modules:
        for key, value in sorted(module.state_dict().items()):
            digest.update(key.encode() + np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


class KeyedObjective:
    """What all objectives share: the data on the device, keyed streams, the cosine schedule."""

    def __init__(self, slices: TrainingSlices | LevelPairs, settings: Any, seed: int, device: str) -> None:  # noqa: ANN401
        self.slices, self.settings, self.seed, self.device = slices, settings, seed, device
        self.labels = torch.from_numpy(slices.labels).to(device)
        self.images = torch.from_numpy(slices.images).to(device)
        self.modules: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a snapshot must agree with to be resumed: objective, settings, seed and data."""
        return {
            "objective": type(self).__name__, "settings": asdict(self.settings),
            "seed": self.seed, "data": self.slices.digest(),
        }  # fmt: skip

    def network(self, name: str, module: Module) -> Module:
        """Register `module` under `name` with its keyed initial weights."""
        initialise(module, torch_stream(self.seed, _NETWORK_KEYS[name], stage=Stage.WEIGHTS))
        module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it
        self.modules[name] = module
        return module

    def noise(self, step: int, *shapes: tuple[int, ...]) -> list[Tensor]:
        """Return standard normal tensors of the step's stream."""
        generator = torch_stream(self.seed, step, stage=Stage.TRAINING_NOISE)
        return [torch.randn(shape, generator=generator).to(self.device) for shape in shapes]

    def batch(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return labels `(B, H, W)` uint8 and images `(B, 1, H, W)` float32 of the rows."""
        index = torch.from_numpy(rows).to(self.device)
        return self.labels[index], self.images[index].to(torch.float32)[:, None]

    def set_rate(self, optimizer: torch.optim.Optimizer, rate: float, step: int, *, hold: float = 0.0) -> None:
        """Set the learning rate: constant for the first `hold` of the budget, then a half cosine down to 2 %."""
        done = min(1.0, step * self.settings.batch_size / self.settings.samples)
        falling = max(0.0, done - hold) / (1 - hold)
        for group in optimizer.param_groups:
            group["lr"] = rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * falling)))

    def motion(self, count: int, step: int) -> Tensor:
        """Return `(count, 2, 3)` affine matrices: the settings' rotation, zoom and shift, for `fn.affine_grid`."""
        settings = self.settings
        draw = numpy_stream(self.seed, step, stage=Stage.AUGMENTATION).uniform(-1, 1, (4, count))
        angle = np.radians(settings.rotation_degrees) * draw[0]
        scale = 1 + settings.zoom * draw[1]
        shift = settings.shift_pixels * 2 / self.slices.image_size * draw[2:]
        rows = [
            [scale * np.cos(angle), -scale * np.sin(angle), shift[0]],
            [scale * np.sin(angle), scale * np.cos(angle), shift[1]],
        ]
        return torch.from_numpy(np.array(rows).transpose(2, 0, 1).astype(np.float32)).to(self.device)

    def finish(self) -> None:
        """Nothing to do after the last step."""


class VaeObjective(KeyedObjective):
    """Trains `modules["vae"]`, a `LabelVAE`, on heart labels; other tissues count as background."""

    def __init__(self, slices: TrainingSlices, settings: VaeSettings, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(slices, settings, seed, device)
        self.vae = self.network("vae", LabelVAE(image_size=slices.image_size, **settings.network))
        self.optimizers["vae"] = torch.optim.Adam(self.vae.parameters(), lr=settings.learning_rate)

    def step(self, rows: Rows, step: int) -> dict[str, float]:
        """Make one step; return cross-entropy per slice, KL in nats and the share of pixels that are right."""
        settings, optimizer = self.settings, self.optimizers["vae"]
        self.set_rate(optimizer, settings.learning_rate, step)
        one_hot = moved(heart_one_hot(self.batch(rows)[0], self.vae.channels), self.motion(len(rows), step))
        labels = one_hot.argmax(1)
        one_hot = fn.one_hot(labels, self.vae.channels).permute(0, 3, 1, 2).to(torch.float32)
        self.vae.train()
        logits, mean, log_variance = self.vae(one_hot, self.noise(step, (len(rows), self.vae.latent_dim))[0])
        entropy = losses.pixel_summed_cross_entropy(logits, labels)
        kl = losses.kl_to_standard_normal(mean, log_variance)
        done = step * settings.batch_size / settings.samples
        beta = settings.beta * (min(1.0, done / settings.warm_up) if settings.warm_up else 1.0)
        optimizer.zero_grad(set_to_none=True)
        (entropy + beta * kl).backward()
        nn.utils.clip_grad_norm_(self.vae.parameters(), 1e4)  # the summed loss starts in the tens of thousands
        optimizer.step()
        heart = labels > 0
        right = (logits.detach().argmax(1) == labels)[heart].float().mean().nan_to_num()
        return {"cross_entropy": entropy.item(), "kl": kl.item(), "heart_accuracy": right.item()}


class PerceptualObjective(KeyedObjective):
    """Trains `modules["perceptual"]`, a `TissueNet`, to segment the cohort's own labels.

    With `scanners`, a number for every slice, it learns whose scanner made an image too, so that its features see what
    tells scanners apart.
    """

    def __init__(
        self,
        slices: TrainingSlices,
        settings: PerceptualSettings,
        *,
        scanners: NDArray[np.int64] | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(slices, settings, seed, device)
        self._scanners = None if scanners is None else torch.from_numpy(scanners).to(device)
        count = 0 if scanners is None else int(scanners.max()) + 1
        self.net = self.network("perceptual", TissueNet(**settings.network, scanners=count))
        self.optimizers["perceptual"] = torch.optim.Adam(self.net.parameters(), lr=settings.learning_rate)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a snapshot must agree with; scanners are named if there are any."""
        if self._scanners is None:
            return super().identity
        scanners = hashlib.sha256(self._scanners.cpu().numpy().tobytes()).hexdigest()
        return {**super().identity, "scanners": scanners}

    def step(self, rows: Rows, step: int) -> dict[str, float]:
        """Make one step; return cross-entropy per pixel, Dice loss and, of scanners, cross-entropy per slice."""
        optimizer = self.optimizers["perceptual"]
        self.set_rate(optimizer, self.settings.learning_rate, step)
        labels, images = self.batch(rows)
        self.net.train()
        features = self.net.features(images.contiguous(memory_format=torch.channels_last))
        logits = self.net.tissues(features)
        terms = {
            "cross_entropy": fn.cross_entropy(logits, labels.to(torch.int64)),
            "dice_loss": losses.soft_dice(logits, labels),
        }
        if self._scanners is not None:
            wanted = self._scanners[torch.from_numpy(rows).to(self.device)]
            terms["scanner"] = fn.cross_entropy(self.net.scanners(features), wanted)
        optimizer.zero_grad(set_to_none=True)
        torch.stack([*terms.values()]).sum().backward()
        optimizer.step()
        return {name: term.item() for name, term in terms.items()}


Renderer = type[SpadeGenerator] | type[Pix2PixGenerator] | type[Pix2PixHdGenerator]


class SpadeObjective(KeyedObjective):
    """Trains generator, style encoder and discriminator; averages are `modules["generator_ema"]`, `["encoder_ema"]`.

    The style image of a slice is another slice of the same subject, so a style describes the scan and not the slice.
    Differences from Amirrajab et al. 2022 (doi 10.1016/j.compmedimag.2022.102123) that serve a short training: an
    optional L1 term, one for noise and one for what tells scanners apart, averaged weights, batch statistics measured
    anew for them at the end, a falling learning rate in the second half. `renderer` may be a generator that SPADE is
    measured against.
    """

    def __init__(
        self,
        slices: TrainingSlices,
        settings: SpadeSettings,
        *,
        renderer: Renderer = SpadeGenerator,
        features: FeatureNetwork | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(slices, settings, seed, device)
        self.features = features
        network: object = features  # which may be a module or not; the protocol does not say
        if isinstance(network, nn.Module):
            network.eval().requires_grad_(requires_grad=False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it
        classes = len(Tissue)
        arguments = {"classes": classes, **settings.generator}
        self.generator = self.network("generator", renderer(image_size=slices.image_size, **arguments))
        self.encoder = self.network("encoder", StyleEncoder(style_dim=self.generator.style_dim, **settings.encoder))
        judge = {"classes": self.generator.classes, **settings.discriminator}
        self.discriminator = self.network("discriminator", MultiScaleDiscriminator(**judge))
        self.averaged = [(copy.deepcopy(net).eval(), net) for net in (self.generator, self.encoder)]
        self.modules["generator_ema"], self.modules["encoder_ema"] = (average for average, _ in self.averaged)
        both = [*self.generator.parameters(), *self.encoder.parameters()]
        self.optimizers["generator"] = torch.optim.Adam(both, lr=settings.generator_rate, betas=(0.0, 0.9))
        self.optimizers["discriminator"] = torch.optim.Adam(
            self.discriminator.parameters(), lr=settings.discriminator_rate, betas=(0.0, 0.9)
        )

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a snapshot must agree with; another generator than SPADE's is named."""
        own = {} if isinstance(self.generator, SpadeGenerator) else {"renderer": type(self.generator).__name__}
        return {**super().identity, **own}

    def step(self, rows: Rows, step: int) -> dict[str, float]:
        """Make one discriminator and one generator step; return every term of the losses."""
        settings = self.settings
        self.set_rate(self.optimizers["generator"], settings.generator_rate, step, hold=0.5)
        self.set_rate(self.optimizers["discriminator"], settings.discriminator_rate, step, hold=0.5)
        self.generator.train(), self.encoder.train(), self.discriminator.train()
        labels, images = self.batch(rows)
        fake, mean, log_variance = self._fake(self.generator, self.encoder, labels, rows, step)
        one_hot = fn.one_hot(labels.to(torch.int64), self.generator.classes).permute(0, 3, 1, 2).to(torch.float32)
        report = self._discriminator_step(one_hot, images, fake.detach())
        terms = self._generator_terms(one_hot, images, fake)
        terms["kl"] = losses.kl_to_standard_normal(mean, log_variance)
        weights = {
            "adversarial": 1.0, "feature_matching": settings.feature_matching, "perceptual": settings.perceptual,
            "kl": settings.kl, "l1": settings.l1, "grain": settings.grain, "look": settings.look,
        }  # fmt: skip
        self.optimizers["generator"].zero_grad(set_to_none=True)
        torch.stack([weights[name] * term for name, term in terms.items()]).sum().backward()
        self.optimizers["generator"].step()
        self._average(step)
        return report | {name: term.item() for name, term in terms.items()}

    def _fake(
        self, generator: nn.Module, encoder: nn.Module, labels: Tensor, rows: Rows, step: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return rendered images and the moments of their styles."""
        stream = numpy_stream(self.seed, step, stage=Stage.STYLE)
        _, style_images = self.batch(companions(self.slices.subjects, rows, stream))
        mean, log_variance = encoder(style_images.contiguous(memory_format=torch.channels_last))
        size = self.slices.image_size
        wobble, noise = self.noise(step, tuple(mean.shape), (len(rows), 1, size, size))
        style = mean + wobble * torch.exp(0.5 * log_variance)
        return generator(labels, style, noise, tables_from=self.settings.tables_from), mean, log_variance

    def _discriminator_step(self, one_hot: Tensor, images: Tensor, fake: Tensor) -> dict[str, float]:
        """Update the discriminator on real and fake in one batch, as published."""
        scores = [score for _, score in self.discriminator(torch.cat([one_hot, one_hot]), torch.cat([images, fake]))]
        real_scores, fake_scores = zip(*(score.chunk(2) for score in scores), strict=True)
        loss = losses.hinge_discriminator(real_scores, fake_scores)
        self.optimizers["discriminator"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers["discriminator"].step()
        return {"discriminator": loss.item()}

    def _generator_terms(self, one_hot: Tensor, images: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return the generator's losses on `fake`; the discriminator gets no gradient."""
        with frozen(self.discriminator):
            with torch.no_grad():
                real_features = [features for features, _ in self.discriminator(one_hot, images)]
            judged = self.discriminator(one_hot, fake)
        terms = {
            "adversarial": losses.hinge_generator([score for _, score in judged]),
            "feature_matching": losses.feature_distance(
                [f for features, _ in judged for f in features], [f for features in real_features for f in features]
            ),
            "l1": fn.l1_loss(fake, images),
            "grain": losses.grain_distance(fake, images),
        }
        if self.features is not None and (self.settings.perceptual or self.settings.look):
            with torch.no_grad():
                wanted = self.features.features(images)
            made = self.features.features(fake)
            terms["perceptual"] = losses.feature_distance(made, wanted)
            terms["look"] = fn.l1_loss(moments(made), moments(wanted))
        return terms

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Move the averaged networks towards the trained ones; quickly at first, so that the start is forgotten."""
        decay = min(self.settings.ema, (1 + step) / (10 + step))
        for average, net in self.averaged:
            pairs = zip(average.parameters(), net.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - decay)
            for kept, new in zip(average.buffers(), net.buffers(), strict=True):
                kept.copy_(new)

    @torch.no_grad()
    def finish(self) -> None:
        """Measure the batch statistics of the averaged generator, which never saw a batch in training."""
        (generator, _), (encoder, _) = self.averaged
        norms = [m for m in generator.modules() if isinstance(m, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
            norm.train()
        for step in range(self.settings.calibration_batches):
            rows = batch_rows(len(self.slices), self.settings.batch_size, step, self.seed + 1)
            self._fake(generator, encoder, self.batch(rows)[0], rows, step)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Let no gradient reach the parameters of `module`; gradients still pass through it."""
    module.requires_grad_(requires_grad=False)
    try:
        yield
    finally:
        module.requires_grad_(requires_grad=True)


def moved(one_hot: Tensor, matrices: Tensor) -> Tensor:
    """Return one-hot labels `(B, K, H, W)` after affine motions `(B, 2, 3)`; background comes in from outside."""
    grid = fn.affine_grid(matrices, list(one_hot.shape), align_corners=False)
    result = fn.grid_sample(one_hot, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    result[:, 0] += 1 - result.sum(1)
    return result
