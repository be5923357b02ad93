"""SDNet with a second task: the left ventricle's area, known of more slices than its outline is.

Chartsias et al. 2019, doi 10.1016/j.media.2019.101535, section 5.2: the whole of a trained SDNet is fine-tuned while a
small network learns the area from the factors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthgen.errors import InputError
from synthgen.labels import Tissue
from synthgen.networks.area_regressor import PIXELS_PER_UNIT, AreaRegressor
from synthgen.networks.batching import apply_in_parts
from synthgen.networks.sdnet import SUB_BATCH, Decomposition, SDNet
from synthgen.training.data import TrainingSlices
from synthgen.training.objectives import digest_of
from synthgen.training.presets import AreaSettings
from synthgen.training.sdnet import Pictures, SdnetObjective, Supervision


class AreaObjective(SdnetObjective):
    """Trains `modules["sdnet"]`, from the weights of `start`, and `modules["area"]` beside the mask discriminator.

    Parameters
    ----------
    start
        A trained network of the same sizes; it is left as it is.
    supervision
        As for `SdnetObjective`.
    known
        `(N,)` bool: slices whose area of the left ventricle is known. Of their labels nothing else is read.
    """

    def __init__(
        self,
        slices: TrainingSlices,
        settings: AreaSettings,
        *,
        start: SDNet,
        supervision: Supervision,
        known: NDArray[np.bool_],
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(slices, settings, supervision=supervision, seed=seed, device=device)
        if settings.zoom:
            raise InputError("settings", expected="no zoom, which changes areas", got=f"{settings.zoom}")
        if known.shape != (len(slices),) or known.dtype != np.bool_:
            raise InputError("known areas", expected=f"{len(slices)} flags", got=f"{known.dtype} {known.shape}")
        self.sdnet.load_state_dict(start.state_dict())
        self.known = torch.from_numpy(known).to(device)
        self.areas = (self.labels == Tissue.LV).sum((1, 2)).to(torch.float32)
        self.regressor = self.network("area", AreaRegressor(factors=self.sdnet.factors))
        self.averages.keep("sdnet")
        self.averages.keep("area")
        self.optimizers["sdnet"].add_param_group({"params": list(self.regressor.parameters())})
        self._start = digest_of(start)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a snapshot must agree with; also where training started and which areas are known."""
        known = hashlib.sha256(self.known.cpu().numpy().tobytes()).hexdigest()
        return {**super().identity, "start": self._start, "known": known}

    def terms(self, made: Decomposition, pictures: Pictures, drawn: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Return the losses of SDNet, and `area`: the error in thousands of pixels where the area is known.

        Images come moved: a zoom of 1 + e divides an area by (1 + e) squared, which is why the settings have none.
        """
        index = torch.from_numpy(pictures.rows).to(self.device)
        known = self.known[index].to(torch.float32)
        error = (self.regressor(made.factors[: len(index)]) - self.areas[index]).abs() / PIXELS_PER_UNIT
        return {**super().terms(made, pictures, drawn), "area": (error * known).sum() / known.sum().clamp(min=1)}

    @torch.inference_mode()
    def areas_of(self, images: Tensor) -> Tensor:
        """Return the left ventricle's area in pixels `(N,)` of images `(N, H, W)`; evaluation mode."""
        self.sdnet.eval(), self.regressor.eval()
        factors, _ = self.sdnet.encode_images(images.to(self.device))
        return apply_in_parts(lambda part: self.regressor(part.to(torch.float32)), factors, SUB_BATCH)
