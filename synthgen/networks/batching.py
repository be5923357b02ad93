"""Fixed sub-batches: a network's output for one item must not depend on how many others are computed with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def rows(start: int, step: int, count: int, device: torch.device | None = None) -> Tensor:
    """Return `step` row numbers from `start`, the last row repeated past the end."""
    return torch.arange(start, start + step, device=device).clamp_(max=count - 1)


def parts(x: Tensor, step: int) -> Iterator[tuple[Tensor, int]]:
    """Yield `x` in sub-batches of exactly `step` rows, each with the number of rows that count.

    A sub-batch of another size can run another kernel, whose last bits differ; a sub-batch of one always does.
    """
    count = len(x)
    for start in range(0, count, step):
        stop = min(start + step, count)
        yield (x[start:stop] if stop - start == step else x[rows(start, step, count, x.device)]), stop - start


def apply_together(
    function: Callable[..., tuple[Tensor, ...]], tensors: tuple[Tensor, ...], step: int
) -> tuple[Tensor, ...]:
    """Return the results of `function` of tensors of one length, row by row of each, in fixed sub-batches."""
    made = [
        tuple(result[:count] for result in function(*(tensor[index] for tensor in tensors)))
        for index, count in parts(torch.arange(len(tensors[0]), device=tensors[0].device), step)
    ]
    if not made:
        empty = function(*(tensor.new_zeros((step, *tensor.shape[1:])) for tensor in tensors))
        return tuple(result[:0] for result in empty)
    return tuple(torch.cat(column) for column in zip(*made, strict=True))


def apply_in_parts(function: Callable[[Tensor], Tensor], x: Tensor, step: int) -> Tensor:
    """Return `function` of `x` along its first axis, in fixed sub-batches; an empty `x` gives an empty result."""
    if not len(x):
        return function(x.new_zeros((step, *x.shape[1:])))[:0]
    return torch.cat([function(part)[:count] for part, count in parts(x, step)])
