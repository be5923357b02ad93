"""A small dataset for the commands to work on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import Pathology
from synthgen.simulate import simulate


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Path:
    """Return a dataset of two small hearts; not to be changed."""
    hearts = VirtualHearts(2, pathologies=[Pathology.HCM, Pathology.DCM], pixels=64, spacing_mm=2.0)
    return simulate(hearts, tmp_path_factory.mktemp("published") / "cohort", workers=1)


@pytest.fixture
def dataset(published, tmp_path) -> Path:
    """Return a copy of it that a test may damage."""
    return Path(shutil.copytree(published, tmp_path / "cohort"))
