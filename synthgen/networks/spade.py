"""SPADE generator: label map, style vector and noise in, image out.

Semantic image synthesis with spatially-adaptive normalisation (Park et al. 2019, doi 10.1109/CVPR.2019.00244), as used
for cardiac MR by Amirrajab et al. 2022 (doi 10.1016/j.compmedimag.2022.102123). Two block designs share everything
else:

`classic`
    The published residual block: up to three modulations, a learned shortcut, spectral normalisation.
`lean`
    Channels are reduced by a 1 x 1 convolution before upsampling, then an identity-skip block with two modulations.
    About half the arithmetic for half a decibel.

Differences from the papers, in both designs: the style is one pooled vector (anatomy cannot leak through it) that makes
the 8 x 8 start tensor and scales and shifts every modulated activation; noise enters at every level with a
style-dependent gain, because flat tissue has texture, and once more on the finished image, because scanners differ in
noise and a gain in front of a whole block learns that too slowly; a learned linear map of position lets shading happen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, cast, runtime_checkable

import torch
import torch.nn.functional as fn
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from synthgen.errors import InputError
from synthgen.networks.label_patterns import MAX_CLASSES, LabelPatterns, find_patterns
from synthgen.networks.style_encoder import DETAIL_SCALE

SLOPE = 0.2
"""Negative slope of every leaky ReLU in the generator."""

_ROWS_AT_ONCE = 2048
"""Windows whose neighbourhoods are gathered together: a few megabytes, which stay in cache and in the allocator."""

_GRAIN = -3.3
"""Logarithm of the noise's standard deviation on the image of a style of zeros, before anything is learnt."""

Modulate = Callable[[int, Tensor], Tensor]
"""Applies modulation `i` of a block to its input."""


@runtime_checkable
class LabelField(Protocol):
    """Labels of one pyramid level, in a form that evaluates two stacked 3 x 3 convolutions on them."""

    def convolve(self, first: nn.Conv2d, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two halves `(B, C, H, W)` of `conv(relu(first(labels)), weight, bias)`."""
        ...


def bias_of(convolution: nn.Conv2d) -> Tensor:
    """Return the bias of a convolution that has one."""
    return cast("Tensor", convolution.bias)


class DenseField:
    """Labels as a one-hot image: the convolutions run at every pixel. For a GPU and for coarse levels."""

    def __init__(self, labels: Tensor, classes: int) -> None:
        one_hot = fn.one_hot(labels.to(torch.int64), classes).to(torch.float32)
        self.one_hot = one_hot.permute(0, 3, 1, 2)  # a channels-last view, no copy

    def convolve(self, first: nn.Conv2d, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two halves of the output; see `LabelField`."""
        hidden = fn.relu(first(self.one_hot), inplace=True)
        scale, shift = fn.conv2d(hidden, weight, bias, padding=1).chunk(2, dim=1)
        return scale, shift


class PatternField:
    """Labels as distinct windows: the convolutions run once per window and pixels look the result up. Exact."""

    def __init__(self, patterns: LabelPatterns) -> None:
        self.patterns = patterns

    def table(self, first: nn.Conv2d, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the output of both convolutions for every distinct window: `(U5, 2C)`."""
        hidden_width, classes = first.weight.shape[:2]
        taps = fn.pad(first.weight.permute(2, 3, 1, 0).reshape(9, classes, hidden_width), (0, 0, 0, 1))
        hidden = fn.relu(
            torch.addmm(bias_of(first), self.patterns.triples, taps.reshape(-1, hidden_width)), inplace=True
        )
        hidden = hidden * self.patterns.inside
        taps = weight.permute(2, 3, 1, 0).reshape(9 * hidden_width, -1)
        return torch.cat(
            [
                torch.addmm(bias, fn.embedding(part, hidden).flatten(1), taps)
                for part in self.patterns.members.split(_ROWS_AT_ONCE)
            ]
        )

    def convolve(self, first: nn.Conv2d, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two halves of the output; see `LabelField`."""
        scale, shift = self.table(first, weight, bias).chunk(2, dim=1)
        index = self.patterns.index
        return fn.embedding(index, scale).permute(0, 3, 1, 2), fn.embedding(index, shift).permute(0, 3, 1, 2)


class Modulation(nn.Module):
    """One SPADE normalisation: parameter-free batch norm, then a label-dependent scale and shift.

    `forward(x (B, C, H, W), field, film)` with `film = (scale, shift)`, each `(B, C, 1, 1)`, the style's part.
    """

    def __init__(self, channels: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.shared = nn.Conv2d(classes, hidden, 3, padding=1)
        self.gamma_beta = nn.Conv2d(hidden, 2 * channels, 3, padding=1)

    def forward(self, x: Tensor, field: LabelField, film: tuple[Tensor, Tensor]) -> Tensor:
        """Return the modulated activation, `(B, C, H, W)`."""
        gamma, beta = field.convolve(self.shared, self.gamma_beta.weight, bias_of(self.gamma_beta))
        modulated = torch.addcmul(beta, self.norm(x), 1 + gamma)
        return torch.addcmul(film[1], modulated, 1 + film[0])

    def folded(self, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias of one convolution whose two halves `(G, B)` give the whole layer as `x * G + B`.

        Evaluation mode only: batch statistics and the style's `scale`, `shift` `(C,)` are folded in. The layer is
        `(n (1 + gamma) + beta) (1 + scale) + shift` with `n = (x - mean) / deviation`, linear in gamma and beta.
        """
        gain = 1 + scale
        mean, variance = cast("Tensor", self.norm.running_mean), cast("Tensor", self.norm.running_var)
        inverse = torch.rsqrt(variance + self.norm.eps)
        slope, centre = gain * inverse, gain * inverse * mean
        gamma_weight, beta_weight = self.gamma_beta.weight.chunk(2)
        gamma_bias, beta_bias = bias_of(self.gamma_beta).chunk(2)
        at = (slice(None), None, None, None)
        weight = torch.cat([gamma_weight * slope[at], beta_weight * gain[at] - gamma_weight * centre[at]])
        bias = torch.cat([(1 + gamma_bias) * slope, beta_bias * gain - (1 + gamma_bias) * centre + shift])
        return weight, bias


class LeanBlock(nn.Module):
    """Identity-skip residual block with two modulations at constant width."""

    def __init__(self, channels_in: int, channels: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels_in, channels, 1)
        self.entry = channels
        self.modulations = nn.ModuleList(Modulation(channels, classes, hidden) for _ in range(2))
        self.conv_0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)

    def enter(self, x: Tensor) -> Tensor:
        """Reduce the channels while the image is still small."""
        return self.reduce(x)

    def forward(self, x: Tensor, modulate: Modulate) -> Tensor:
        """Return `x` plus the residual, same shape."""
        y = self.conv_0(fn.leaky_relu(modulate(0, x), SLOPE, inplace=True))
        return x + self.conv_1(fn.leaky_relu(modulate(1, y), SLOPE, inplace=True))


class ClassicBlock(nn.Module):
    """The published SPADE residual block with spectral normalisation (Park et al. 2019, figure 4)."""

    def __init__(self, channels_in: int, channels: int, classes: int, hidden: int) -> None:
        super().__init__()
        middle = min(channels_in, channels)
        self.entry = channels_in
        widths = (channels_in, middle) if channels_in == channels else (channels_in, middle, channels_in)
        self.modulations = nn.ModuleList(Modulation(width, classes, hidden) for width in widths)
        self.conv_0 = spectral_norm(nn.Conv2d(channels_in, middle, 3, padding=1))
        self.conv_1 = spectral_norm(nn.Conv2d(middle, channels, 3, padding=1))
        self.shortcut = spectral_norm(nn.Conv2d(channels_in, channels, 1, bias=False)) if len(widths) == 3 else None

    def enter(self, x: Tensor) -> Tensor:
        """Leave the channels as they are."""
        return x

    def forward(self, x: Tensor, modulate: Modulate) -> Tensor:
        """Return shortcut plus residual, `(B, channels, H, W)`."""
        y = self.conv_0(fn.leaky_relu(modulate(0, x), SLOPE, inplace=True))
        y = self.conv_1(fn.leaky_relu(modulate(1, y), SLOPE, inplace=True))
        return y + (x if self.shortcut is None else self.shortcut(modulate(2, x)))


BLOCKS: dict[str, type[LeanBlock | ClassicBlock]] = {"lean": LeanBlock, "classic": ClassicBlock}


class Level(nn.Module):
    """One resolution of the generator: enter, position, noise, block."""

    def __init__(self, block: str, channels: tuple[int, int], size: int, conditions: tuple[int, int, int]) -> None:
        super().__init__()
        classes, hidden, style_dim = conditions
        self.size = size
        self.block = BLOCKS[block](*channels, classes, hidden)
        self.position = nn.Conv2d(3, self.block.entry, 1, bias=False)
        self.noise_weight = nn.Parameter(torch.full((self.block.entry,), 0.1))
        self.noise_gain = nn.Linear(style_dim, self.block.entry)
        self.films = nn.ModuleList(nn.Linear(style_dim, 2 * m.norm.num_features) for m in self.modulations)

    @property
    def modulations(self) -> list[Modulation]:
        """The block's modulations, in the order in which the block numbers them."""
        return [cast("Modulation", layer) for layer in self.block.modulations]

    def own_weights(self, generator: torch.Generator) -> None:
        """Start the style's influence near zero, so that labels are learned first."""
        for layer in (self.noise_gain, *self.films):
            layer.weight.copy_(torch.empty(layer.weight.shape).normal_(std=0.02, generator=generator))
            layer.bias.zero_()

    def enter(self, x: Tensor, gain: Tensor, noise: Tensor) -> Tensor:
        """Bring `x` to this level's size and add position and noise.

        `gain` is `(B or 1, C)` from `gain_of`; `noise` is `(B, 1, size, size)` of unit variance.
        """
        x = self.block.enter(x)
        if x.shape[-1] != self.size:
            x = fn.interpolate(x, size=(self.size, self.size), mode="nearest")
        x = x + self.position(position_channels(self.size, x.device))
        return torch.addcmul(x, noise, gain[:, :, None, None])

    def gain_of(self, style: Tensor) -> Tensor:
        """Return the noise gain per channel, `(B, C)`: learned weight times a style-dependent factor."""
        return self.noise_weight * (1 + self.noise_gain(style))

    def film_of(self, style: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Return the style's scale and shift of modulation `index`, each `(B, C)`."""
        scale, shift = self.films[index](style).chunk(2, dim=1)
        return scale, shift

    def forward(self, x: Tensor, field: LabelField, style: Tensor, noise: Tensor) -> Tensor:
        """Return the features of this level, `(B, C, size, size)`."""

        def modulate(index: int, y: Tensor) -> Tensor:
            scale, shift = self.film_of(style, index)
            return self.block.modulations[index](y, field, (scale[:, :, None, None], shift[:, :, None, None]))

        return self.block(self.enter(x, self.gain_of(style), noise), modulate)


class SpadeGenerator(nn.Module):
    """Renders label maps as images.

    Parameters
    ----------
    image_size
        Height and width in pixels; a multiple of `2 ** (len(widths) - 1)`.
    classes
        Number of label classes K, background included.
    style_dim
        Length S of the style vector.
    widths
        Channels per level, coarsest first.
    hidden
        Width of the modulation's hidden layer (`nh`).
    block
        `lean` or `classic`.

    Raises
    ------
    InputError
        If the size does not fit the levels or a number is out of range.
    """

    def __init__(
        self,
        *,
        image_size: int = 128,
        classes: int = 9,
        style_dim: int = 16,
        widths: Sequence[int] = (192, 192, 96, 64, 16),
        hidden: int = 32,
        block: Literal["lean", "classic"] = "lean",
    ) -> None:
        super().__init__()
        factor = 2 ** (len(widths) - 1)
        if not widths or image_size % factor or block not in BLOCKS or not 2 <= classes <= MAX_CLASSES:
            raise InputError(
                "SPADE generator",
                expected=f"a size divisible by {factor}, block lean or classic, 2 to {MAX_CLASSES} classes",
                got=f"size {image_size}, block {block}, {classes} classes",
            )
        self.arguments = {
            "image_size": image_size, "classes": classes, "style_dim": style_dim,
            "widths": list(widths), "hidden": hidden, "block": block,
        }  # fmt: skip
        self.image_size, self.classes, self.style_dim = image_size, classes, style_dim
        self.base = image_size // factor
        self.start = nn.Linear(style_dim, widths[0] * self.base**2)
        pairs = zip((widths[0], *widths[:-1]), widths, strict=True)
        self.levels = nn.ModuleList(
            Level(block, pair, self.base * 2**i, (classes, hidden, style_dim)) for i, pair in enumerate(pairs)
        )
        self.head = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.grain = nn.Linear(style_dim, 1)

    def own_weights(self, generator: torch.Generator) -> None:  # noqa: ARG002 - the protocol's argument
        """Start as noisy as the style's first number says; see `StyleEncoder`."""
        self.grain.weight.zero_()
        self.grain.weight[:, 0] = 1 / DETAIL_SCALE
        self.grain.bias.fill_(_GRAIN)

    @property
    def pyramid(self) -> list[Level]:
        """The levels, coarsest first."""
        return [cast("Level", level) for level in self.levels]

    def begin(self, style: Tensor) -> Tensor:
        """Return the start tensor of every style, `(B, widths[0], base, base)`, channels last in memory."""
        grid = self.start(style).reshape(len(style), self.base, self.base, -1)
        return grid.permute(0, 3, 1, 2)

    def finish(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Return the image `(B, 1, H, W)` in [-1, 1] of the last level's features.

        `style` is `(B or 1, S)`, `noise` `(B, 1, H, W)` of unit variance.
        """
        strength = torch.exp(self.grain(style))[:, :, None, None]
        return torch.tanh(torch.addcmul(self.head(fn.leaky_relu(x, SLOPE)), noise, strength))

    def fields(self, labels: Tensor, tables_from: int | None) -> list[LabelField]:
        """Return the labels of every level; levels of at least `tables_from` pixels as pattern tables."""
        fields: list[LabelField] = []
        for level in self.pyramid:
            small = at_size(labels, level.size)
            patterns = find_patterns(small, self.classes) if tables_from and level.size >= tables_from else None
            fields.append(DenseField(small, self.classes) if patterns is None else PatternField(patterns))
        return fields

    def forward(self, labels: Tensor, style: Tensor, noise: Tensor, *, tables_from: int | None = None) -> Tensor:
        """Render a batch.

        Parameters
        ----------
        labels
            `(B, H, W)` uint8 in `[0, classes)`.
        style
            `(B, S)` float.
        noise
            `(B, 1, H, W)` float, unit variance, white.
        tables_from
            Use pattern tables, inside autograd, at levels of at least this size: about 2.5 times faster to train on a
            CPU, same result to rounding. None: dense everywhere (a GPU is faster that way, and deterministic).

        Returns
        -------
        Tensor
            `(B, 1, H, W)` in [-1, 1].
        """
        x = self.begin(style)
        for level, field in zip(self.pyramid, self.fields(labels, tables_from), strict=True):
            x = level(x, field, style, pooled_noise(noise, level.size))
        return self.finish(x, style, noise)


def at_size(labels: Tensor, size: int) -> Tensor:
    """Return `labels (N, H, W)` at `size` pixels by taking every n-th pixel."""
    step = labels.shape[-1] // size
    return labels[:, ::step, ::step]


def pooled_noise(noise: Tensor, size: int) -> Tensor:
    """Return `noise (B, 1, H, W)` averaged to `size` pixels and rescaled, so that its variance stays one."""
    step = noise.shape[-1] // size
    return noise if step == 1 else fn.avg_pool2d(noise, step) * step


def position_channels(size: int, device: torch.device) -> Tensor:
    """Return `(1, 3, size, size)`: x, y and squared radius on [-1, 1], the directions in which coil shading varies."""
    axis = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * (2 / size) - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y, x * x + y * y - 2 / 3]).unsqueeze(0)
