"""The SPADE generator, dense and with pattern tables inside autograd."""

from __future__ import annotations

import json
import math

import pytest
import torch
from network_cases import blobs, generator, noise

from synthgen.errors import InputError
from synthgen.networks.spade import SpadeGenerator, pooled_noise


@pytest.mark.parametrize(("block", "classes"), [("lean", 9), ("classic", 4)])
def test_tables_in_training_agree_with_dense(block: str, classes: int) -> None:
    """In training mode, output and every gradient are the same with pattern tables and without, to rounding."""
    labels, style, grain = blobs(3, 32, classes), noise(3, 4), noise(3, 1, 32, 32)
    results = []
    for tables_from in (None, 8):
        net = generator(block, classes=classes).train()
        out = net(labels, style, grain, tables_from=tables_from)
        (out * noise(3, 1, 32, 32, seed=5)).sum().backward()
        results.append((out, {name: p.grad for name, p in net.named_parameters()}))
    (dense, dense_grad), (table, table_grad) = results
    torch.testing.assert_close(table, dense, atol=1e-5, rtol=0)
    for name, gradient in dense_grad.items():
        torch.testing.assert_close(table_grad[name], gradient, atol=2e-3 * float(gradient.abs().max()) + 1e-4, rtol=0)


@pytest.mark.parametrize("block", ["lean", "classic"])
def test_output_is_an_image(block: str) -> None:
    """The output has one channel, the label's size and values in [-1, 1]."""
    out = generator(block)(blobs(2, 32), noise(2, 4), noise(2, 1, 32, 32))
    assert out.shape == (2, 1, 32, 32)
    assert out.abs().max() <= 1


@pytest.mark.parametrize("part", ["labels", "style", "noise"])
def test_every_input_matters(part: str) -> None:
    """Another label map, style or noise gives another image."""
    net = generator()
    inputs = {"labels": blobs(2, 32), "style": noise(2, 4), "noise": noise(2, 1, 32, 32)}
    other = inputs | {
        part: {"labels": blobs(2, 32, seed=9), "style": noise(2, 4, seed=9), "noise": noise(2, 1, 32, 32, seed=9)}[part]
    }
    assert (net(**inputs) - net(**other)).abs().max() > 1e-4


def test_style_of_one_item_leaves_the_others_alone() -> None:
    """In evaluation mode an item's image depends on its own style only."""
    net, labels, grain, style = generator(), blobs(2, 32), noise(2, 1, 32, 32), noise(2, 4)
    other = style.clone()
    other[1] += 1
    assert torch.equal(net(labels, style, grain)[0], net(labels, other, grain)[0])


def test_noise_on_the_image_is_as_strong_as_the_style_says() -> None:
    """The last noise is white, and a style that asks for more of it gets it everywhere."""
    net, labels = generator(), blobs(2, 32)
    with torch.no_grad():
        for level in net.pyramid:
            level.noise_weight.zero_()
        net.grain.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
        net.grain.bias.fill_(-4.0)
        silent, drawn, added = torch.zeros(2, 1, 32, 32), noise(2, 1, 32, 32), []
        for amount in (0.0, 1.0):
            style = torch.tensor([[amount, 0.0, 0.0, 0.0]] * 2)
            added.append(torch.atanh(net(labels, style, drawn)) - torch.atanh(net(labels, style, silent)))
    torch.testing.assert_close(added[0], math.exp(-4.0) * drawn, atol=1e-4, rtol=0)
    torch.testing.assert_close(added[1], math.exp(-3.0) * drawn, atol=1e-4, rtol=0)


def test_gradient_reaches_every_weight() -> None:
    """No weight of the generator is left out of the graph."""
    net = generator().train()
    net(blobs(3, 32), noise(3, 4), noise(3, 1, 32, 32)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_pooled_noise_keeps_its_variance() -> None:
    """White noise of unit variance still has unit variance after pooling."""
    assert abs(float(pooled_noise(noise(8, 1, 64, 64), 16).var()) - 1) < 0.1


def test_arguments_rebuild_the_generator() -> None:
    """`arguments` is JSON and gives a network with the same tensors."""
    net = generator("classic")
    again = SpadeGenerator(**json.loads(json.dumps(net.arguments)))
    again.load_state_dict(net.state_dict())


@pytest.mark.parametrize("wrong", [{"image_size": 30}, {"classes": 1}, {"widths": []}])
def test_sizes_that_do_not_fit_are_refused(wrong: dict) -> None:
    """A generator that cannot exist is an input error, not a crash."""
    with pytest.raises(InputError):
        SpadeGenerator(**{"image_size": 32, "widths": [8, 8, 8], **wrong})
