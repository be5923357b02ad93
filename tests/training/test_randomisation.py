"""Random views: labels go with their pixels, and nothing but the generator decides."""

from __future__ import annotations

import pytest
import torch
from network_cases import blobs, noise

from synthgen.seeding import torch_stream
from synthgen.training.randomisation import Randomiser, Ranges

STILL = {
    "rotation_degrees": 0.0, "zoom": 0.0, "aspect": 0.0, "shift": 0.0, "wave": 0.0, "tissue": 0.0, "mottling": 0.0,
    "border": 0.0, "shading": 0.0, "gamma": 0.0, "noise": 0.0, "blurred": 0.0,
    "sharpened": 0.0,
}  # fmt: skip


def grey(labels: torch.Tensor) -> torch.Tensor:
    """Images whose grey value is their label."""
    return labels[:, None] / 8 * 2 - 1


def test_without_ranges_a_view_is_the_middle_of_its_slice() -> None:
    """Labels of an unmoved view of the slice's own size are the slice's."""
    labels = blobs(3, 32)
    shown, _ = Randomiser(Ranges(pixels=32, **STILL), torch_stream(0)).views(labels, grey(labels))
    assert torch.equal(shown, labels.long())
    middle, _ = Randomiser(Ranges(pixels=16, **STILL), torch_stream(0)).views(labels, grey(labels))
    assert torch.equal(middle, labels[:, 8:24, 8:24].long())


def test_labels_go_with_the_image() -> None:
    """However a slice is turned and bent, grey levels still tell the label nearly everywhere."""
    labels = blobs(4, 64)
    moving = {**STILL, "rotation_degrees": 40.0, "zoom": 0.3, "aspect": 0.15, "shift": 0.25, "wave": 0.03}
    shown, images = Randomiser(Ranges(pixels=64, **moving), torch_stream(1)).views(labels, grey(labels))
    assert not torch.equal(shown, labels.long())
    for label, image in zip(shown, images[:, 0], strict=True):
        codes = label.unique()
        levels = torch.stack([image[label == code].median() for code in codes])
        nearest = codes[(image[..., None] - levels).abs().argmin(-1)]
        assert float((nearest == label).float().mean()) > 0.85


@pytest.mark.parametrize("name", sorted(set(STILL) - {"blurred"}))
def test_every_range_does_something(name: str) -> None:
    """Each range by itself changes the view."""
    labels = blobs(4, 32)
    images = (grey(labels) + 0.05 * noise(4, 1, 32, 32)).clamp(-1, 1)
    still = Randomiser(Ranges(pixels=32, **STILL), torch_stream(2)).views(labels, images)[1]
    value = {"rotation_degrees": 30.0}.get(name, 0.4)
    moved = Randomiser(Ranges(pixels=32, **{**STILL, name: value}), torch_stream(2)).views(labels, images)[1]
    assert not torch.equal(moved, still)


def test_views_come_from_the_generator_alone() -> None:
    """The same key gives the same view to the bit, another key another."""
    labels = blobs(2, 32)
    views = [Randomiser(Ranges(pixels=32), torch_stream(key)).views(labels, grey(labels))[1] for key in (3, 3, 4)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
