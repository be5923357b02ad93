"""A bundle small enough to generate from in milliseconds."""

from __future__ import annotations

import pytest
from tiny_bundle import shared_bundle

from synthgen.engine.generate import Generator
from synthgen.networks.bundle import Bundle, load_bundle


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """Return the tiny bundle."""
    return load_bundle(shared_bundle())


@pytest.fixture(scope="session")
def generator(bundle) -> Generator:
    """Return a generator over the tiny bundle."""
    return Generator(bundle)
