"""From label stacks to images: one style and one noise stream per subject, both phases rendered as one stack."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.engine.plan import SubjectSpec
from synthgen.factors.codes import factors_of
from synthgen.labels import Phase
from synthgen.networks.pattern_tables import SpadeRenderer
from synthgen.networks.sdnet import SDNet
from synthgen.networks.spade import SpadeGenerator
from synthgen.seeding import Stage, torch_stream


class FactorRenderer:
    """Renders both phases of a subject with SDNet's decoder, which has no noise of its own.

    Parameters
    ----------
    net
        Trained; it is moved to `device`.
    """

    def __init__(self, net: SDNet, device: str) -> None:
        self.net, self.device = net.to(device), device

    def render(
        self, codes: Mapping[Phase, NDArray[np.uint8]], modality: NDArray[np.float32]
    ) -> dict[Phase, NDArray[np.float32]]:
        """Return images `(z, H, W)` in (-1, 1) of channel numbers `(z, H, W)` per phase in one style `(n_z,)`."""
        factors = torch.from_numpy(factors_of(np.concatenate([codes[phase] for phase in Phase]), self.net.factors))
        style = torch.from_numpy(modality).to(self.device).expand(len(factors), -1)
        images = self.net.decode_factors(factors.to(self.device), style).cpu().numpy()
        return dict(zip(Phase, np.split(images, 2), strict=True))


class StackRenderer:
    """Renders both phases of a subject with a SPADE generator.

    Parameters
    ----------
    generator
        Trained; it is put into evaluation mode and moved to `device`.
    device
        `cpu` uses pattern tables, a GPU evaluates densely.
    """

    def __init__(self, generator: SpadeGenerator, device: str) -> None:
        self.device = device
        self._renderer = SpadeRenderer(generator.to(device), tables=device == "cpu")

    def render(
        self, labels: Mapping[Phase, NDArray[np.uint8]], style: NDArray[np.float32], spec: SubjectSpec, attempt: int
    ) -> dict[Phase, NDArray[np.float32]]:
        """Return images `(z, H, W)` in [-1, 1] per phase.

        The subject is the unit: its stack is rendered alone, in sub-batches of a fixed size, and its noise comes from
        its own stream on the CPU, so that neither neighbours nor the number of workers reach its bits.
        """
        stack = torch.from_numpy(np.concatenate([labels[phase] for phase in Phase]))
        stream = torch_stream(spec.seed, spec.key, attempt, Stage.RENDER)
        noise = torch.randn((len(stack), 1, *stack.shape[1:]), generator=stream)
        images = self._renderer.render(*(t.to(self.device) for t in (stack, torch.from_numpy(style), noise)))
        halves = np.split(images.to("cpu", torch.float32).numpy(), 2)
        return dict(zip(Phase, halves, strict=True))
