"""Keyed randomness: one stream per (root seed, subject index, attempt, stage), and no other source of chance.

A stream depends on its key alone: a subject is the same whatever the batch, the order, the worker or the cohort size.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


class Stage(IntEnum):
    """What a stream is for. Values are part of the format: append, never renumber."""

    POPULATION = 0
    ANATOMY = 1
    THORAX = 2
    TEXTURE = 3
    ACQUISITION = 4
    PLAN = 10
    LATENT = 11
    STYLE = 12
    RENDER = 13
    MIXTURE = 14
    DONOR = 15
    RECIPIENT = 16
    VARIATION = 17
    WEIGHTS = 20
    BATCH = 21
    TRAINING_NOISE = 22
    AUGMENTATION = 23
    SPLIT = 24
    EVALUATION = 30


def seed_sequence(seed: int, subject: int = 0, attempt: int = 0, stage: Stage = Stage.PLAN) -> np.random.SeedSequence:
    """Return the seed sequence of one key. All four numbers must be >= 0; seed 0 is a seed like any other."""
    return np.random.SeedSequence(seed, spawn_key=(subject, attempt, int(stage)))


def numpy_stream(seed: int, subject: int = 0, attempt: int = 0, stage: Stage = Stage.PLAN) -> np.random.Generator:
    """Return the numpy generator of one key."""
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, subject, attempt, stage)))


def torch_stream(
    seed: int, subject: int = 0, attempt: int = 0, stage: Stage = Stage.PLAN, device: str = "cpu"
) -> torch.Generator:
    """Return the torch generator of one key on `device`."""
    import torch  # noqa: PLC0415 - heavy; the ground floor must stay importable in milliseconds

    high, low = seed_sequence(seed, subject, attempt, stage).generate_state(2, np.uint32)
    generator = torch.Generator(device=device)
    generator.manual_seed((int(high) << 32 | int(low)) & 0x7FFF_FFFF_FFFF_FFFF)
    return generator
