"""Noise of a stack: what a subject's images have in common and what each has alone."""

import pytest
import torch
import torch.nn.functional as fn

from synthgen.engine.render import stack_noise
from synthgen.networks.spade import pooled_noise
from synthgen.seeding import Stage, torch_stream

PIXELS = 64


def drawn(coarsest: int, slices: int = 60) -> torch.Tensor:
    """Return noise as `(2, slices, H, W)`."""
    stream = torch_stream(0, 0, 0, Stage.RENDER)
    return stack_noise((2, slices), PIXELS, coarsest, stream).reshape(2, slices, PIXELS, PIXELS)


def at(noise: torch.Tensor, size: int) -> torch.Tensor:
    """Return what the generator's level of this size sees."""
    return pooled_noise(noise.flatten(0, 1)[:, None], size).reshape(2, -1, size, size)


@pytest.mark.parametrize("coarsest", [1, 2, 4, 16])
def test_noise_is_white_at_every_level(coarsest: int) -> None:
    """As in training: unit variance wherever a generator looks, and neighbours know nothing of each other."""
    subjects = torch.cat([stack_noise((2, 3), PIXELS, coarsest, torch_stream(n)) for n in range(60)])
    for size in (64, 32, 16, 8, 4):
        assert float(pooled_noise(subjects, size).var()) == pytest.approx(1, abs=0.12)
    for lag in (1, 2, 3):
        assert abs(float((subjects[..., lag:] * subjects[..., :-lag]).mean())) < 0.01
        assert abs(float((subjects[..., lag:, :] * subjects[..., :-lag, :]).mean())) < 0.01


def test_coarse_noise_is_the_subjects_and_fine_noise_each_images() -> None:
    """Slices share the two coarsest levels, phases all but the finest, whose single pixels are independent."""
    noise = drawn(16)
    for size in (4, 8):
        torch.testing.assert_close(at(noise, size), at(noise, size)[:1, :1].expand(2, 60, size, size))
    for size in (16, 32):
        torch.testing.assert_close(at(noise, size)[0], at(noise, size)[1])
        assert float((at(noise, size)[0, 0] - at(noise, size)[0, 1]).abs().mean()) > 0.5
    rest = noise - fn.avg_pool2d(noise, 2).repeat_interleave(2, -2).repeat_interleave(2, -1)
    assert abs(float((rest[0] * rest[1]).mean())) < 0.01 < float((rest[0] * rest[0]).mean())


def test_a_generator_of_one_level_has_nothing_in_common() -> None:
    """Without coarser levels every image has noise of its own."""
    noise = drawn(1)
    assert abs(float((noise[0] * noise[1]).mean())) < 0.01
    assert abs(float((noise[0, 0] * noise[0, 1]).mean())) < 0.05
