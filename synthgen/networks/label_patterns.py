"""Unique label neighbourhoods: what makes SPADE's modulation cheap without changing it.

A SPADE modulation is two 3 x 3 convolutions on the label map, so its value at a pixel depends on the 5 x 5 label window
around that pixel and on nothing else. Label maps repeat few windows: this module lists the distinct ones, exactly
(integer codes, no hashing), and tells for every pixel which one it has.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as fn
from torch import Tensor

MAX_CLASSES = 126
"""Nine digits of base `classes + 1` must fit into 63 bits."""

_MAX_CODE = 2**63 - 1


@dataclass(frozen=True, eq=False)
class LabelPatterns:
    """The distinct windows of a batch of label maps.

    Attributes
    ----------
    triples
        `(U3, 9 * (classes + 1))` float32 one-hot rows of the distinct 3 x 3 windows; the extra class is "outside the
        image".
    inside
        `(U3, 1)` float32, 0 where the window's centre lies outside the image (there the convolution pads with zeros).
    members
        `(U5, 9)` int64: the nine 3 x 3 windows (rows of `triples`) that make up each distinct 5 x 5 window.
    index
        `(N, H, W)` int64: the 5 x 5 window (row of `members`) of every pixel.
    """

    triples: Tensor
    inside: Tensor
    members: Tensor
    index: Tensor

    @property
    def share(self) -> float:
        """Distinct 5 x 5 windows per pixel; small means cheap."""
        return self.members.shape[0] / self.index.numel()


def find_patterns(labels: Tensor, classes: int) -> LabelPatterns | None:
    """Return the distinct windows of `labels`, or None when there are too many to count exactly.

    Parameters
    ----------
    labels
        `(N, H, W)` uint8, values below `classes`.
    classes
        Number of label classes, at most `MAX_CLASSES`.

    Notes
    -----
    A 5 x 5 window is the union of its four corner 3 x 3 windows, so the four row numbers of those identify it. Constant
    windows, most of any map, get the first rows by their class and are never sorted.
    """
    base = classes + 1
    padded = fn.pad(labels, (2, 2, 2, 2), value=classes).to(torch.int32 if base**9 < 2**31 else torch.int64)
    line = (padded[:, :, :-2] * base + padded[:, :, 1:-1]) * base + padded[:, :, 2:]
    code = (line[:, :-2] * base**3 + line[:, 1:-1]) * base**3 + line[:, 2:]
    centre = padded[:, 1:-1, 1:-1]
    varied = code != centre * ((base**9 - 1) // (base - 1))
    distinct, inverse = torch.unique(code[varied], return_inverse=True)
    row = centre.to(torch.int64)
    row[varied] = inverse + base
    count = distinct.numel() + base
    if count**4 > _MAX_CODE:
        return None
    windows = torch.cat([torch.arange(base).to(distinct)[:, None].expand(-1, 9), _digits(distinct, base)])
    members, index = _compose(row, labels, classes, count)
    return LabelPatterns(
        triples=fn.one_hot(windows.to(torch.int64), base).flatten(1).to(torch.float32),
        inside=(windows[:, 4:5] != classes).to(torch.float32),
        members=members,
        index=index,
    )


def _digits(codes: Tensor, base: int) -> Tensor:
    """Return the nine base-`base` digits of every code, most significant first: `(U, 9)`."""
    powers = torch.tensor([base**p for p in range(8, -1, -1)], dtype=codes.dtype, device=codes.device)
    return torch.div(codes[:, None], powers, rounding_mode="floor") % base


def _compose(row: Tensor, labels: Tensor, classes: int, count: int) -> tuple[Tensor, Tensor]:
    """Return `members` and `index` of `LabelPatterns` from the 3 x 3 rows `(N, H + 2, W + 2)`, rim included."""
    _, height, width = labels.shape
    corners = [row[:, dy : dy + height, dx : dx + width] for dy in (0, 2) for dx in (0, 2)]
    code = corners[0]
    # Constant: the four corners are one row, and that row is a class. Rim pixels are not: they see "outside".
    varied = corners[0] >= classes
    for corner in corners[1:]:
        code = code * count + corner
        varied = varied | (corner != corners[0])
    distinct, inverse = torch.unique(code[varied], return_inverse=True)
    index = labels.to(torch.int64)
    index[varied] = inverse + classes
    pixel = torch.nonzero(varied.reshape(-1)).squeeze(1)
    # Any pixel of a window may stand for it: all of them have the same nine rows.
    chosen = torch.empty(distinct.numel(), dtype=torch.int64, device=labels.device).scatter_(0, inverse, pixel)
    image, rest = chosen // (height * width), chosen % (height * width)
    y, x = rest // width, rest % width
    offsets = torch.arange(3, device=labels.device)
    flat = row.reshape(-1)
    origin = (image * (height + 2) + y) * (width + 2) + x
    window = (offsets[:, None] * (width + 2) + offsets[None, :]).reshape(1, 9)
    members = flat[origin[:, None] + window]
    constant = torch.arange(classes, device=labels.device)[:, None].expand(-1, 9)
    return torch.cat([constant, members]), index
