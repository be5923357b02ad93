"""`SpadeRenderer`: the generator's inference, exact and fast on a CPU.

Three things make it fast without changing the result beyond rounding: modulations are evaluated once per distinct label
window (`label_patterns`), batch statistics and style are folded into the modulation's own convolution, and every level
runs in sub-batches that stay in cache. A stack is rendered on its own: choices depend on its labels only, sub-batches
have one fixed size, so its bits do not depend on what else is rendered, before, after or beside it. (They do depend on
the number of torch threads: workers run one each.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synthgen.errors import InputError
from synthgen.networks.batching import parts, rows
from synthgen.networks.label_patterns import LabelPatterns, find_patterns
from synthgen.networks.spade import DenseField, Level, PatternField, SpadeGenerator, at_size, pooled_noise

DENSE_SHARE = 0.6
"""Distinct windows per pixel above which a level is evaluated densely: the table would cost as much as the pixels."""


class SpadeRenderer:
    """Renders stacks with a trained generator in evaluation mode.

    Parameters
    ----------
    generator
        A `SpadeGenerator`; it is switched to evaluation mode and channels-last memory.
    tables
        True: tables where they pay; False: dense everywhere (the reference that the benchmark compares with).
    """

    def __init__(self, generator: SpadeGenerator, *, tables: bool = True) -> None:
        self.generator = generator.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it
        self.tables = tables

    @torch.inference_mode()
    def render(self, labels: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Render one stack.

        Parameters
        ----------
        labels
            `(N, H, W)` uint8; all slices and phases of one subject.
        style
            `(S,)`: one style for the whole stack.
        noise
            `(N, 1, H, W)` float, unit variance.

        Returns
        -------
        Tensor
            `(N, H, W)` float32 in [-1, 1].

        Raises
        ------
        InputError
            If a shape does not fit or a label is not below the number of classes.
        """
        self._check(labels, style, noise)
        style = style[None].to(torch.float32)
        levels = [self._of_stack(level, labels, style, noise) for level in self.generator.pyramid]
        start = self.generator.begin(style).expand(len(labels), -1, -1, -1)
        return torch.cat(
            [self.generator.finish(x, style, at)[:count, 0] for x, at, count in _descend(levels, start, 0)]
        )

    def _check(self, labels: Tensor, style: Tensor, noise: Tensor) -> None:
        generator = self.generator
        size = generator.image_size
        if labels.dtype != torch.uint8 or labels.ndim != 3 or labels.shape[1:] != (size, size) or not len(labels):
            raise InputError(
                "labels", expected=f"uint8 (N, {size}, {size})", got=f"{labels.dtype} {tuple(labels.shape)}"
            )
        if int(labels.max()) >= generator.classes:
            raise InputError("labels", expected=f"values below {generator.classes}", got=str(int(labels.max())))
        if style.shape != (generator.style_dim,):
            raise InputError("style", expected=f"shape ({generator.style_dim},)", got=str(tuple(style.shape)))
        if noise.shape != (len(labels), 1, size, size):
            raise InputError("noise", expected=f"shape ({len(labels)}, 1, {size}, {size})", got=str(tuple(noise.shape)))

    def _of_stack(self, level: Level, labels: Tensor, style: Tensor, noise: Tensor) -> _StackLevel:
        """Return one level with all that is common to the slices of a stack worked out."""
        small = at_size(labels, level.size).contiguous()
        patterns = find_patterns(small, self.generator.classes) if self.tables else None
        if patterns is not None and patterns.share > DENSE_SHARE:
            patterns = None
        layers = [
            _FoldedModulation(m.shared, *m.folded(*(v[0] for v in level.film_of(style, i))), patterns)
            for i, m in enumerate(level.modulations)
        ]
        level_noise = pooled_noise(noise.to(torch.float32), level.size)
        return _StackLevel(level, layers, small, level.gain_of(style), level_noise, self.generator.classes)


@dataclass(frozen=True, eq=False)
class _StackLevel:
    """One level of the generator for one stack: labels `(N, h, w)` and noise at its size, modulations folded."""

    level: Level
    layers: list[_FoldedModulation]
    labels: Tensor
    gain: Tensor
    noise: Tensor
    classes: int

    def run(self, x: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """Return features and noise of the slices from `first` on; `x (B, C, h', w')` may run past the stack's end."""
        chosen = rows(first, len(x), len(self.labels), x.device)
        noise = self.noise[chosen]
        entered = self.level.enter(x.contiguous(memory_format=torch.channels_last), self.gain, noise)

        def modulate(index: int, y: Tensor) -> Tensor:
            return self.layers[index].apply(y, self.labels, chosen, self.classes)

        return self.level.block(entered, modulate), noise


def _descend(levels: Sequence[_StackLevel], x: Tensor, first: int) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Yield last features and noise of the slices from `first` on, whose first features `x` are, and how many count.

    A sub-batch at a time, in order; depth first: no level's features exist for the whole stack, so buffers stay small
    enough to be reused.
    """
    level, below = levels[0], levels[1:]
    step = _sub_batch(level.level.size)
    for offset, (part, count) in zip(range(0, len(x), step), parts(x, step), strict=True):
        features, noise = level.run(part, first + offset)
        if below:
            yield from _descend(below, features[:count], first + offset)
        else:
            yield features, noise, count


class _FoldedModulation:
    """A modulation as `x * G + B`, with `(G, B)` per distinct window or per pixel."""

    def __init__(self, shared: nn.Conv2d, weight: Tensor, bias: Tensor, patterns: LabelPatterns | None) -> None:
        self.shared, self.weight, self.bias, self.patterns = shared, weight, bias, patterns
        if patterns is not None:
            table = PatternField(patterns).table(shared, weight, bias)
            self.scale, self.shift = (half.contiguous() for half in table.chunk(2, dim=1))

    def apply(self, x: Tensor, small: Tensor, chosen: Tensor, classes: int) -> Tensor:
        """Return the modulated `x`; `chosen` are the slices of the stack that `x` holds."""
        if self.patterns is None:
            scale, shift = DenseField(small[chosen], classes).convolve(self.shared, self.weight, self.bias)
            return torch.addcmul(shift, x, scale)
        batch, channels, height, width = x.shape
        index = self.patterns.index[chosen].reshape(-1)
        scale, shift = (
            table.index_select(0, index).view(batch, height, width, channels).permute(0, 3, 1, 2)
            for table in (self.scale, self.shift)
        )
        return shift.addcmul_(x, scale)


def _sub_batch(size: int) -> int:
    """Return how many slices run together: few where the image is large, so that activations stay in the L2 cache.

    Each divides the one before, so that only the last sub-batch of a stack is filled up.
    """
    return 8 if size <= 32 else 4 if size <= 64 else 2
