"""What every test shares: opt-in markers whose skip messages name their switch, and one thread for torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import synthgen
from synthgen.cohorts.prepared import PreparedStore

_ACDC = "SYNTHGEN_ACDC"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch of slow tests."""
    parser.addoption("--run-slow", action="store_true", help="also run the tests that take minutes")


def pytest_configure() -> None:
    """Keep torch on one thread: results do not depend on the machine, and two test runs do not fight for its cores."""
    torch.set_num_threads(1)
    # The same examples on every run, so that a change is what turns a test red; no clock decides on a slow machine.
    settings.register_profile("repeatable", derandomize=True, deadline=None)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what was not asked for or cannot run here, and say how to run it."""
    reasons = {}
    if not os.environ.get(_ACDC):
        reasons["acdc"] = f"needs real data: set {_ACDC} to the folder of the ACDC training set"
    if not torch.cuda.is_available():
        reasons["gpu"] = "needs a CUDA device: torch.cuda.is_available() is False"
    if not config.getoption("--run-slow"):
        reasons["slow"] = "takes minutes: run pytest with --run-slow"
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    """Take back what a use case set: it takes every processor, and the next test would share them with another run."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def prepared_here() -> Iterator[None]:
    """Prepare the subjects of a study in this process: starting others takes longer than a few small subjects do.

    `test_few_labels.py` does without, and so prepares as users do.
    """

    def fill(store: PreparedStore, cohort, *, workers=None, progress=None) -> None:
        for number in range(len(cohort)):
            if not store._file(number).exists():
                store._prepare(cohort, number)
                if progress:
                    progress(number + 1, len(cohort))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreparedStore, "fill", fill)
        yield


@pytest.fixture(scope="session")
def acdc_folder() -> Path:
    """Return the folder of the real ACDC training set, for tests marked `acdc`."""
    return Path(os.environ[_ACDC])


@pytest.fixture(scope="session")
def child_environment() -> dict[str, str]:
    """Return the environment for a Python started by a test: it finds this checkout, whatever the working folder."""
    return {**os.environ, "PYTHONPATH": str(Path(synthgen.__file__).parents[1])}
