"""The virtual population: class-conditional draws of body, clinical targets and anatomy."""

from __future__ import annotations

from synthgen.hearts.subject import VirtualSubject
from synthgen.labels import Pathology


def sample(seed: int, index: int, pathology: Pathology) -> VirtualSubject:
    """Draw subject `index` of the population with root `seed`; it satisfies the ACDC rule of `pathology`."""
    raise SystemExit("signature only, body follows")
