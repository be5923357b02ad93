"""Distinct label windows."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as fn
from hypothesis import given, settings
from hypothesis import strategies as st
from network_cases import blobs
from torch import Tensor

from synthgen.networks.label_patterns import find_patterns
from synthgen.seeding import torch_stream


def five_by_five(labels: Tensor, classes: int) -> Tensor:
    """All 5 x 5 windows `(pixels, 25)`, the plain way; the oracle."""
    padded = fn.pad(labels, (2, 2, 2, 2), value=classes)
    return padded.unfold(1, 5, 1).unfold(2, 5, 1).reshape(-1, 25)


def rebuilt(labels: Tensor, classes: int) -> Tensor:
    """The same windows put together from the patterns."""
    patterns = find_patterns(labels, classes)
    triples = patterns.triples.reshape(-1, 9, classes + 1).argmax(2).reshape(-1, 3, 3)
    nine = triples[patterns.members[patterns.index.reshape(-1)]].reshape(-1, 3, 3, 3, 3)
    windows = torch.empty(len(nine), 5, 5, dtype=torch.int64)
    for dy in range(3):
        for dx in range(3):
            windows[:, dy : dy + 3, dx : dx + 3] = nine[:, dy, dx]
    return windows.reshape(-1, 25)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(1, 3), st.integers(1, 9), st.integers(0, 99))
def test_patterns_say_exactly_what_the_windows_are(classes: int, count: int, size: int, seed: int) -> None:
    """The windows rebuilt from the patterns are the windows of the label map, for any classes and any labels."""
    labels = torch.randint(0, classes, (count, size, size), generator=torch_stream(seed), dtype=torch.uint8)
    assert torch.equal(rebuilt(labels, classes), five_by_five(labels, classes).long())


def test_every_distinct_window_is_listed_once() -> None:
    """There are as many rows as distinct windows, plus constant classes that do not occur."""
    labels = blobs(4, 32)
    windows = torch.unique(five_by_five(labels, 9), dim=0)
    constant = int((windows == windows[:, :1]).all(1).sum())
    assert len(find_patterns(labels, 9).members) == len(windows) - constant + 9


def test_a_constant_map_has_no_interior_pattern_but_its_class() -> None:
    """Away from the rim, a map of one class uses that class's row."""
    patterns = find_patterns(torch.full((1, 16, 16), 5, dtype=torch.uint8), 9)
    assert (patterns.index[:, 2:-2, 2:-2] == 5).all()


def test_too_many_windows_to_count_exactly_gives_none() -> None:
    """Where four row numbers would overflow 63 bits there is no answer rather than a wrong one."""
    labels = torch.randint(0, 9, (20, 64, 64), generator=torch_stream(0), dtype=torch.uint8)
    assert find_patterns(labels, 9) is None


@pytest.mark.parametrize("classes", [4, 9])
def test_patterns_do_not_change_the_labels(classes: int) -> None:
    """The input is left as it was."""
    labels = blobs(2, 16, classes)
    before = labels.clone()
    find_patterns(labels, classes)
    assert torch.equal(labels, before)
