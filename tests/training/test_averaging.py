"""Averages of weights: what they are, that snapshots hold them, and that they are what is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from heart_phantoms import heart_slices
from torch import nn

from synthgen.training.averaging import Averages
from synthgen.training.loop import train
from synthgen.training.presets import TINY
from synthgen.training.sdnet import SdnetObjective


def set_to(net: nn.Module, value: float) -> None:
    """Give all weights and running means one value."""
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.fill_(value)


def test_an_average_follows_weights_and_batch_statistics() -> None:
    """With a decay of a half it moves half of the way at every step, statistics included; the network is left alone."""
    modules: dict[str, nn.Module] = {"net": nn.BatchNorm2d(3)}
    averages = Averages(modules, 0.5)
    set_to(modules["net"], 0.0)
    averages.keep("net")
    set_to(modules["net"], 1.0)
    for expected in (0.5, 0.75, 0.875):
        averages.update(100)
        assert modules["net_ema"].weight[0].item() == expected
        assert modules["net_ema"].running_mean[0].item() == expected
    assert modules["net"].weight[0].item() == 1
    averages.settle()
    assert modules["net"].weight[0].item() == 0.875


def test_the_start_is_forgotten() -> None:
    """However slow the average, its first step takes nine tenths of the new weights."""
    modules: dict[str, nn.Module] = {"net": nn.Linear(1, 1)}
    averages = Averages(modules, 0.9999)
    set_to(modules["net"], 0.0)
    averages.keep("net")
    set_to(modules["net"], 1.0)
    averages.update(0)
    assert modules["net_ema"].weight.item() == pytest.approx(0.9)


def test_without_decay_there_is_none() -> None:
    """A decay of 0 keeps no second network, and the last weights stay."""
    modules: dict[str, nn.Module] = {"net": nn.Linear(1, 1)}
    averages = Averages(modules, 0.0)
    averages.keep("net")
    set_to(modules["net"], 0.25)
    averages.update(5)
    averages.settle()
    assert list(modules) == ["net"]
    assert modules["net"].weight.item() == 0.25


def test_a_training_keeps_the_average(tmp_path) -> None:
    """After training, SDNet has the averaged weights, also when it is loaded from its snapshot."""
    tasks = [SdnetObjective(heart_slices(12), replace(TINY.sdnet, samples=12, ema=0.9)) for _ in range(2)]
    for task in tasks:
        train(task, work_dir=tmp_path)
        pairs = zip(task.sdnet.state_dict().values(), task.modules["sdnet_ema"].state_dict().values(), strict=True)
        assert all(torch.equal(kept, average) for kept, average in pairs)
