"""Training of the noise injection network J against a critic, with SDNet's decoder and the classifier F frozen.

Thermos et al. 2021 (DAA-GAN), doi 10.1007/978-3-030-87199-4_15, equations 1 and 2. In the published code the pathology
loss is taken on a detached image and trains nothing; here its gradient passes through F and the decoder into J.

One loss is added: structures keep their areas. J answers for seams. Left alone it thickened walls by a pixel
and a half, and many dilated ventricles had walls too thick for their class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor

from synthgen.factors.arithmetic import Mixture, lifted, mix
from synthgen.factors.codes import Codes, HeartCodes, codes_of, factors_of, imposed
from synthgen.factors.noise import blurred, smooth_noise
from synthgen.factors.registration import shift_between, shifted
from synthgen.factors.swap import travellers
from synthgen.networks.classifier import CLASSES, PathologyClassifier
from synthgen.networks.heart_critic import HeartCritic
from synthgen.networks.noise_injection import NoiseInjector, gumbel, gumbel_softmax
from synthgen.networks.sdnet import SDNet
from synthgen.seeding import Stage, numpy_stream, torch_stream
from synthgen.training import losses
from synthgen.training.objectives import KeyedObjective, Rows, digest_of, frozen
from synthgen.training.pairs import LevelPairs
from synthgen.training.presets import MixingSettings


@dataclass(frozen=True, eq=False, kw_only=True)
class MixedBatch:
    """Mixed factors of B levels, ED and ES of a level one after the other, so 2 B slices.

    Attributes
    ----------
    images, donor_images
        `(2 B, 1, H, W)` of recipient and donor.
    mixed
        `(2 B, C, H, W)`, the paper's C hat.
    modality
        `(2 B, n_z)` of the recipient, the same for both phases.
    weight
        `(2 B, 1, H, W)`, the paper's Phi: the blurred mask of what the arithmetic touched.
    patch
        `weight` times noise, the same noise for both phases.
    heart, donor_heart, changing
        `(2 B, 1, H, W)` of 0 and 1, widened by a margin: the mixed heart, the donor's, the recipient's and mixed one.
    classes
        `(B,)`, what the result should show.
    """

    images: Tensor
    donor_images: Tensor
    mixed: Tensor
    modality: Tensor
    weight: Tensor
    patch: Tensor
    heart: Tensor
    donor_heart: Tensor
    changing: Tensor
    classes: Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class MadeBatch:
    """What becomes of a `MixedBatch`.

    Attributes
    ----------
    images
        `(2 B, 1, H, W)` of the refined factors.
    factors, probability
        `(2 B, C, H, W)`, the refined factors: one-hot with the gradient of the softmax, and the softmax.
    """

    images: Tensor
    factors: Tensor
    probability: Tensor


class MixingObjective(KeyedObjective):
    """Trains `modules["injector"]`, a `NoiseInjector`, and `modules["heart_critic"]`; nothing else.

    Which loss trains what: the critic's own loss the critic; adversarial, pathology, consistency, background and area
    the injector.

    Parameters
    ----------
    model
        A trained SDNet with named channels; frozen.
    classifier
        A trained F; frozen.
    """

    def __init__(
        self,
        slices: LevelPairs,
        settings: MixingSettings,
        *,
        model: SDNet,
        classifier: PathologyClassifier,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(slices, settings, seed, device)
        self.pairs, self.model, self.classifier = slices, model, classifier
        self.heart_codes = HeartCodes.of_channels(model.names)
        for network in (model, classifier):
            network.eval().requires_grad_(requires_grad=False).to(device)
        self.injector = self.network("injector", NoiseInjector(factors=model.factors, **settings.network))
        self.critic = self.network("heart_critic", HeartCritic(**settings.critic))
        for name, module in (("injector", self.injector), ("heart_critic", self.critic)):
            self.optimizers[name] = torch.optim.Adam(module.parameters(), settings.learning_rate, betas=(0.0, 0.999))

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a snapshot must agree with; also the weights of the frozen networks."""
        return {**super().identity, "frozen": digest_of(self.model, self.classifier)}

    def step(self, rows: Rows, step: int) -> dict[str, float]:
        """Make one step of the critic and one of the injector; return every term of the losses."""
        settings = self.settings
        for optimizer in self.optimizers.values():
            self.set_rate(optimizer, settings.learning_rate, step, hold=0.5)
        self.injector.train(), self.critic.train()
        batch = self.mixed_batch(rows, step)
        made = self.made(batch, step)
        report = self.critic_step(batch, made.images.detach())
        terms = self.injector_terms(batch, made)
        self.optimizers["injector"].zero_grad(set_to_none=True)
        torch.stack([getattr(settings, name) * term for name, term in terms.items()]).sum().backward()
        self.optimizers["injector"].step()
        return report | {name: term.item() for name, term in terms.items()}

    @torch.no_grad()
    def mixed_batch(self, rows: Rows, step: int) -> MixedBatch:
        """Take recipients and their donors apart, and mix."""
        donors = self.pairs.partners(rows, numpy_stream(self.seed, step, stage=Stage.MIXTURE))
        images, donor_images = (self._slices(chosen) for chosen in (rows, donors))
        factors, donor_factors = (self.model.decompose(part) for part in (images, donor_images))
        own, other = (self._codes(*pair) for pair in ((factors, rows), (donor_factors, donors)))
        made = [self._mix(own[i], other[i], rows[i], donors[i]) for i in range(len(rows))]
        codes, touched = np.stack([m.codes for m in made]), np.stack([m.touched for m in made])
        show = self.heart_codes.show
        weight = self._planes(blurred(touched, self.settings.blur_pixels))
        modality = self.model.encode_modality(images, factors)[0]
        modality = modality.unflatten(0, (-1, 2)).mean(1, keepdim=True).expand(-1, 2, -1).flatten(0, 1)
        return MixedBatch(
            images=images,
            donor_images=donor_images,
            mixed=torch.from_numpy(factors_of(codes, self.model.factors)).flatten(0, 1).to(self.device, torch.float32),
            modality=modality,
            weight=weight,
            patch=weight * self._planes(np.repeat(self._smooth(len(rows), step)[:, None], 2, axis=1)),
            heart=self._widened(show(codes)),
            donor_heart=self._widened(show(other)),
            changing=self._widened(show(codes) | show(own)),
            classes=torch.from_numpy(self.pairs.classes[donors]).to(self.device),
        )

    def made(self, batch: MixedBatch, step: int) -> MadeBatch:
        """Return what J makes of a batch, and SDNet's decoder of that.

        Chance, of the patch and of the Gumbel-softmax, acts where the arithmetic took place.
        """
        logits = self.injector(batch.mixed, batch.patch)
        chance = gumbel(tuple(logits.shape), torch_stream(self.seed, step, 1, Stage.TRAINING_NOISE)).to(self.device)
        hard, soft = gumbel_softmax(logits, batch.weight * chance, self.settings.temperature)
        return MadeBatch(images=self.model.decoder(hard, batch.modality), factors=hard, probability=soft)

    def critic_step(self, batch: MixedBatch, made: Tensor) -> dict[str, float]:
        """Update the critic: hearts as they were scanned against hearts as they were made (LD of equation 1)."""
        real, fake = self.critic(batch.donor_images, batch.donor_heart), self.critic(made, batch.heart)
        loss = 0.5 * (losses.weighted_least_squares(real, 1.0) + losses.weighted_least_squares(fake, 0.0))
        self.optimizers["heart_critic"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers["heart_critic"].step()
        return {"critic": loss.item()}

    def injector_terms(self, batch: MixedBatch, made: MadeBatch) -> dict[str, Tensor]:
        """Return the injector's losses; critic, classifier and decoder get no gradient."""
        with frozen(self.critic):
            judged = self.critic(made.images, batch.heart)
        guessed = self.classifier(made.images.unflatten(0, (-1, 2))[:, :, 0])
        heart = self.heart_codes
        return {
            "adversarial": 0.5 * losses.weighted_least_squares(judged, 1.0),
            "pathology": fn.cross_entropy(guessed, batch.classes),
            "consistency": losses.outside(batch.mixed, made.probability, batch.weight),
            "background": losses.outside(batch.images, made.images, batch.changing),
            "area": losses.area_change(batch.mixed, made.factors, (heart.lv, heart.myo, heart.rv)),
        }

    def _mix(self, own: Codes, other: Codes, row: np.int64, donor: np.int64) -> Mixture:
        """Mix one level of both phases; the shift is that of the subjects' whole stacks."""
        pairs, heart = self.pairs, self.heart_codes
        moving = travellers(CLASSES[pairs.classes[row]], CLASSES[pairs.classes[donor]])
        shift = shift_between(pairs.centres[row], pairs.centres[donor])
        return mix(own, shifted(lifted(other, moving, heart), shift)[0], moving, heart)

    def _codes(self, factors: Tensor, rows: Rows) -> Codes:
        """Return the channel numbers `(B, 2, H, W)` of levels, their hearts as labelled."""
        shown = codes_of(factors.cpu().numpy())
        return imposed(_paired(shown), self.pairs.labels[rows], self.heart_codes)

    def _smooth(self, count: int, step: int) -> NDArray[np.float32]:
        """Return noise `(count, H, W)` that is smooth in plane, as it is within a stack."""
        size, spread = self.pairs.image_size, self.settings.noise_pixels
        stream = numpy_stream(self.seed, step, stage=Stage.TRAINING_NOISE)
        return smooth_noise((count, size, size), (1.0, 1.0, 1.0), stream, (0.0, spread, spread))

    def _slices(self, rows: Rows) -> Tensor:
        images = self.images[torch.from_numpy(rows).to(self.device)]
        return images.to(torch.float32).flatten(0, 1)[:, None]

    def _planes(self, values: NDArray) -> Tensor:
        """Return `(B, 2, H, W)` as `(2 B, 1, H, W)` float32 on the device."""
        return torch.from_numpy(values.astype(np.float32)).flatten(0, 1)[:, None].to(self.device)

    def _widened(self, mask: NDArray[np.bool_]) -> Tensor:
        margin = self.settings.margin_pixels
        return fn.max_pool2d(self._planes(mask), 2 * margin + 1, stride=1, padding=margin)


def _paired(codes: Codes) -> Codes:
    """Return slices `(2 B, H, W)` as `(B, 2, H, W)`."""
    return codes.reshape(-1, 2, *codes.shape[1:])
