"""The renderer: exact, and blind to everything but its own stack."""

from __future__ import annotations

import pytest
import torch
from network_cases import blobs, generator, noise
from torch import Tensor

from synthgen.errors import InputError
from synthgen.networks.pattern_tables import SpadeRenderer
from synthgen.networks.spade import SpadeGenerator


def dense(net: SpadeGenerator, labels: Tensor, style: Tensor, grain: Tensor) -> Tensor:
    """The module itself; the oracle."""
    with torch.no_grad():
        return net(labels, style.expand(len(labels), -1), grain)[:, 0]


@pytest.mark.parametrize(("block", "classes"), [("lean", 9), ("classic", 4)])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_renderer_agrees_with_the_module(block: str, classes: int, count: int) -> None:
    """Tables, folding and sub-batches change the image by less than 1e-5."""
    net = generator(block, classes=classes, size=64, widths=(24, 16, 16, 8))
    labels, style, grain = blobs(count, 64, classes), noise(4), noise(count, 1, 64, 64)
    out = SpadeRenderer(net).render(labels, style, grain)
    assert out.shape == (count, 64, 64)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, dense(net, labels, style, grain), atol=1e-5, rtol=0)


def test_speckled_labels_agree_too() -> None:
    """Where tables do not pay the dense evaluation takes over, with the same result."""
    net = generator()
    labels = torch.randint(0, 9, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    grain = noise(3, 1, 32, 32)
    torch.testing.assert_close(
        SpadeRenderer(net).render(labels, noise(4), grain), dense(net, labels, noise(4), grain), atol=1e-5, rtol=0
    )


def test_same_stack_same_bits_whatever_else_is_rendered() -> None:
    """A stack has the same bits before and after other stacks, and from another renderer."""
    net = generator(size=64, widths=(24, 16, 16, 8))
    stack = (blobs(5, 64), noise(4), noise(5, 1, 64, 64))
    renderer = SpadeRenderer(net)
    first = renderer.render(*stack)
    renderer.render(blobs(3, 64, seed=4), noise(4, seed=4), noise(3, 1, 64, 64, seed=4))
    assert torch.equal(renderer.render(*stack), first)
    assert torch.equal(SpadeRenderer(generator(size=64, widths=(24, 16, 16, 8))).render(*stack), first)


def test_inputs_are_left_alone() -> None:
    """Labels, style and noise are not changed."""
    stack = (blobs(3, 32), noise(4), noise(3, 1, 32, 32))
    before = [part.clone() for part in stack]
    SpadeRenderer(generator()).render(*stack)
    assert all(torch.equal(a, b) for a, b in zip(stack, before, strict=True))


def test_wrong_stacks_are_refused() -> None:
    """Each wrong shape, type or value is an input error that names the part."""
    renderer = SpadeRenderer(generator(classes=4))
    labels, style, grain = blobs(2, 32, 4), noise(4), noise(2, 1, 32, 32)
    for wrong, name in [
        ((labels.long(), style, grain), "labels"),
        ((labels[:, :16], style, grain), "labels"),
        ((labels + 2, style, grain), "labels"),
        ((labels[:0], style, grain[:0]), "labels"),
        ((labels, style[:3], grain), "style"),
        ((labels, style, grain[:1]), "noise"),
    ]:
        with pytest.raises(InputError, match=name):
            renderer.render(*wrong)
