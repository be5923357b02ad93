"""Random views of labelled slices: other places, shapes, contrasts and scanners than simulated ones have.

A segmentor that is to work on images of scanners that nobody simulated must not rely on any of these. Shapes are moved
with their labels; each tissue's grey level is shifted (Billot et al. 2023, doi 10.1016/j.media.2023.102789, randomise
it altogether); coil shading, tone, sharpness and noise are those that scanners differ in. Everything is drawn from one
generator, so that a step sees what it would see in any other run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as fn
from torch import Tensor

from synthgen.labels import HEART, Tissue
from synthgen.networks.segmentor import normalised

_WAVES, _SHADES = 7, 3
"""Random values across the view that a deformation and a shading are interpolated between."""

_BLOOD_IN_COMMON, _IN_HEART = 0.6, 0.6
"""Share of the LV's shift in that of other blood; factor on shifts of LV and myocardium, which differ less."""

_FIELDS, _MOTTLES = 3, 9
"""Patterns of mottling that the tissues of a view choose from, and random values across each."""

_WALL = 7
"""Edge in pixels of the square that the myocardium's own grey is averaged over."""

_TRABECULAE, _EPICARDIUM = (0.6, 0.8, 24), (0.8, 0.6, 12)
"""Mean, standard deviation and fineness of the patches in which the wall fades inwards and outwards."""

_REACH = 0.7
"""Weight of the second pixel beyond the wall, in half of the views; the first has 1."""


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """How far a view may be from its slice.

    Attributes
    ----------
    pixels
        Edge of a view.
    rotation_degrees, zoom, aspect, shift
        Half-widths of uniform distributions; zoom and aspect in logarithms, shift in parts of half a slice.
    wave
        Standard deviation of the elastic displacement, in parts of half a view.
    tissue, tissue_share
        Standard deviation of a tissue's shift on the grey scale from -1 to 1, and the share of views with shifts.
    mottling
        Standard deviation, at most, of smooth grey within tissues: blood flows, muscle is striped, coils are near.
    border
        How much of the myocardium's grey its neighbours may take on where they touch it, 0 none to 1 all. Cine images
        show a wider wall than experts draw: on ACDC the grey level half-way to blood lies 1.2 mm inside the cavity's
        contour, since trabeculae count as cavity, and the wall's grey goes on for 2 to 4 mm beyond the outer one.
    shading, gamma, noise
        Largest additive shading; standard deviation of the tone curve's logarithm; largest standard deviation of noise.
    blurred, sharpened
        Share of views that are blurred, and of those that are sharpened.
    """

    pixels: int = 96
    rotation_degrees: float = 40.0
    zoom: float = 0.3
    aspect: float = 0.15
    shift: float = 0.25
    wave: float = 0.03
    tissue: float = 0.35
    tissue_share: float = 0.75
    mottling: float = 0.35
    border: float = 1.0
    shading: float = 0.3
    gamma: float = 0.4
    noise: float = 0.06
    blurred: float = 0.4
    sharpened: float = 0.15


class Randomiser:
    """Draws one view per slice.

    Parameters
    ----------
    ranges
        How different views may be.
    generator
        Source of all chance, on the CPU.
    """

    def __init__(self, ranges: Ranges, generator: torch.Generator) -> None:
        self.ranges, self._generator = ranges, generator

    def views(self, labels: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return labels `(B, P, P)` int64 and normalised images `(B, 1, P, P)` of slices `(B, H, W)`, `(B, 1, H, W)`.

        Slices are squares; beyond their edge they go on as they end.
        """
        grid = self._grid(len(labels), labels.shape[-1]).to(images.device)
        shown = fn.grid_sample(normalised(images), grid, mode="bilinear", padding_mode="border", align_corners=False)
        codes = labels[:, None].to(torch.float32)
        moved = fn.grid_sample(codes, grid, mode="nearest", padding_mode="border", align_corners=False)[:, 0].long()
        return moved, self._scanned(self._recoloured(self._bordered(shown, moved), moved))

    def _grid(self, count: int, size: int) -> Tensor:
        """Return where each view's pixels lie in its slice, `(B, P, P, 2)`."""
        ranges, part = self.ranges, self.ranges.pixels / size
        angle = self._uniform(count) * math.radians(ranges.rotation_degrees)
        scale = part * torch.exp(self._uniform(count) * ranges.zoom)
        aspect = torch.exp(self._uniform(count) * ranges.aspect)
        right, down = self._uniform(2, count) * ranges.shift
        first = torch.stack([scale * aspect * angle.cos(), -scale * angle.sin(), right], dim=1)
        second = torch.stack([scale * angle.sin(), scale / aspect * angle.cos(), down], dim=1)
        shape = [count, 1, ranges.pixels, ranges.pixels]
        grid = fn.affine_grid(torch.stack([first, second], dim=1), shape, align_corners=False)
        return grid + ranges.wave * part * self._field(count, 2, _WAVES).permute(0, 2, 3, 1)

    def _bordered(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return images whose myocardium fades into the cavity inside and into what lies outside."""
        count, device = len(images), images.device
        wall = (labels == Tissue.MYO)[:, None].to(images.dtype)
        level = _mean(images * wall, _WALL) / _mean(wall, _WALL).clamp(min=1e-3)
        near, far = (_dilated(wall, size) for size in (3, 5))
        reach = _REACH * (self._chance(2, count, 1, 1, 1) < 0.5).to(device, images.dtype)
        not_heart = ~torch.isin(labels, torch.tensor(HEART, device=device))
        inside, outside = (
            where[:, None] * (near + share * (far - near))
            for where, share in zip((labels == Tissue.LV, not_heart), reach, strict=True)
        )
        inner, outer = (self._patchy(count, *patches).to(device) for patches in (_TRABECULAE, _EPICARDIUM))
        return images + self.ranges.border * (inside * inner + outside * outer) * (level - images)

    def _patchy(self, count: int, mean: float, sd: float, waves: int) -> Tensor:
        """Return weights from 0 to 1, `(count, 1, P, P)`: none to full by view, patchy within it."""
        overall = (1.3 * self._chance(count, 1, 1, 1) - 0.2).clamp(0, 1)
        return overall * (mean + sd * self._field(count, 1, waves)).clamp(0, 1)

    def _recoloured(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return images whose tissues are lighter or darker than they were, edges as soft as before."""
        count, ranges = len(images), self.ranges
        shifts = self._normal(count, len(Tissue)) * ranges.tissue
        for blood in (Tissue.RV, Tissue.VESSEL):
            shifts[:, blood] += _BLOOD_IN_COMMON * (shifts[:, Tissue.LV] - shifts[:, blood])
        shifts[:, [Tissue.LV, Tissue.MYO]] *= _IN_HEART
        shifts = shifts * (self._chance(count, 1) < ranges.tissue_share)
        change = torch.gather(shifts.to(images.device), 1, labels.flatten(1)).view_as(images)
        return images + _softened(change + self._mottled(labels).view_as(images))

    def _mottled(self, labels: Tensor) -> Tensor:
        """Return smooth changes of grey that end where tissues do, `(B, P * P)`: each tissue takes one of a few."""
        count, fields = len(labels), _FIELDS
        strength = self.ranges.mottling * self._chance(count, 1, 1, 1)
        grey = (self._field(count, fields, _MOTTLES) * strength).flatten(2).to(labels.device)
        which = torch.randint(0, fields, (count, len(Tissue)), generator=self._generator).to(labels.device)
        return torch.gather(grey, 1, torch.gather(which, 1, labels.flatten(1))[:, None])

    def _scanned(self, images: Tensor) -> Tensor:
        """Return normalised images `(B, 1, P, P)` with other shading, tone, sharpness and noise."""
        ranges, count = self.ranges, len(images)
        shading = self._field(count, 1, _SHADES) * ranges.shading * self._chance(count, 1, 1, 1)
        tone = torch.exp(self._normal(count, 1, 1, 1) * ranges.gamma)
        images = ((images + shading.to(images.device) + 1.5) / 3).clamp(1e-3, 1) ** tone.to(images.device)
        which, soft = self._chance(count, 1, 1, 1).to(images.device), _softened(images)
        images = torch.where(which < ranges.blurred, soft, images)
        images = torch.where(which > 1 - ranges.sharpened, 2 * images - soft, images)
        grain = self._normal(*images.shape) * self._chance(count, 1, 1, 1) * ranges.noise
        return normalised(images + grain.to(images.device))

    def _field(self, count: int, channels: int, values: int) -> Tensor:
        """Return smooth random fields `(count, channels, P, P)`."""
        size = [self.ranges.pixels] * 2
        return fn.interpolate(self._normal(count, channels, values, values), size, mode="bicubic", align_corners=False)

    def _uniform(self, *shape: int) -> Tensor:
        return self._chance(*shape) * 2 - 1

    def _chance(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator)


def _softened(images: Tensor) -> Tensor:
    return _mean(images, 3)


def _mean(images: Tensor, size: int) -> Tensor:
    """Return the mean over squares of `size` pixels, odd."""
    return fn.avg_pool2d(fn.pad(images, [size // 2] * 4, mode="replicate"), size, stride=1)


def _dilated(masks: Tensor, size: int) -> Tensor:
    """Return masks grown by half of `size` pixels, odd."""
    return fn.max_pool2d(fn.pad(masks, [size // 2] * 4), size, stride=1)
