"""From label stacks to images: one style and one noise stream per subject, both phases rendered as one stack."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor

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
        self.device, self._coarsest = device, generator.image_size // generator.base
        self._renderer = SpadeRenderer(generator.to(device), tables=device == "cpu")

    def render(
        self, labels: Mapping[Phase, NDArray[np.uint8]], style: NDArray[np.float32], spec: SubjectSpec, attempt: int
    ) -> dict[Phase, NDArray[np.float32]]:
        """Return images `(z, H, W)` in [-1, 1] per phase.

        The subject is the unit: its stack is rendered alone, in sub-batches of a fixed size, and its noise, see
        `stack_noise`, comes from its own stream on the CPU, so that neither neighbours nor the number of workers reach
        its bits.
        """
        stack = torch.from_numpy(np.concatenate([labels[phase] for phase in Phase]))
        stream = torch_stream(spec.seed, spec.key, attempt, Stage.RENDER)
        noise = stack_noise((len(Phase), len(stack) // len(Phase)), stack.shape[-1], self._coarsest, stream)
        images = self._renderer.render(*(t.to(self.device) for t in (stack, torch.from_numpy(style), noise)))
        halves = np.split(images.to("cpu", torch.float32).numpy(), 2)
        return dict(zip(Phase, halves, strict=True))


def stack_noise(shape: tuple[int, int], pixels: int, coarsest: int, stream: torch.Generator) -> Tensor:
    """Draw the noise of a stack, `(phases * slices, 1, pixels, pixels)`, as one subject has it.

    Every image's is white and of unit variance, as in training. A generator makes of coarse noise how bright an organ
    is, of finer noise the texture of its tissue, of the finest the scanner's noise. So the subject's slices have the
    coarsest means in common, its phases all but the finest, and single pixels are independent.

    Parameters
    ----------
    shape
        Phases and slices.
    coarsest
        Pixels to an edge of the blocks whose means the generator begins with; at least 1.
    """
    noise = torch.randn((*shape, pixels, pixels), generator=stream)
    if coarsest > 1:
        noise = _with_means(noise, noise[:1], 2)
        noise = _with_means(noise, noise[:1, :1], max(2, coarsest // 2))
    return noise.reshape(-1, 1, pixels, pixels)


def _with_means(noise: Tensor, like: Tensor, block: int) -> Tensor:
    """Return `noise (..., H, W)` with the means of `like` over blocks of so many pixels to an edge."""
    change = fn.avg_pool2d(like, block) - fn.avg_pool2d(noise, block)
    return noise + change.repeat_interleave(block, -2).repeat_interleave(block, -1)
