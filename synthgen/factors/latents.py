"""What the label VAE knows about a cohort: latents of every stack on 32 common levels, their statistics per class.

After Amirrajab et al. 2022 (arXiv 2209.04223): every subject's slices are interpolated in latent space to the same
number of levels; mean, standard deviation, minimum and maximum at every level and dimension describe a class. Beyond
the paper, end-diastole and end-systole are described together, correlation is taken on standardised residuals of the
whole class, and the length of the heart is part of the description.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from synthgen.errors import InputError
from synthgen.factors.kendall import kendall
from synthgen.labels import HEART, Pathology, Phase

LEVELS = 32
"""Levels from the most basal slice with heart (0) to the most apical (31)."""

_FLAT_SD = 1e-6  # below this a latent value is a constant of its class
_RIDGE_GRID = tuple(10.0**power for power in range(-2, 5))

Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Heart label maps `(slices, H, W)` to posterior means `(slices, dimensions)`."""


@dataclass(frozen=True, kw_only=True)
class SubjectLatents:
    """Latents of one subject's stack, from the most basal to the most apical slice that carries heart in either phase.

    Attributes
    ----------
    slices
        Posterior means, `(2 phases, n slices, dimensions)`, ED first, base first.
    spacing_mm
        Distance of the slices.
    """

    subject_id: str
    pathology: Pathology
    slices: NDArray[np.float32]
    spacing_mm: float

    @property
    def length_mm(self) -> float:
        """Distance from the first to the last slice with heart."""
        return (self.slices.shape[1] - 1) * self.spacing_mm

    @property
    def levels(self) -> NDArray[np.float64]:
        """Latents on the common levels, `(2, 32, dimensions)`."""
        return np.stack([to_levels(phase) for phase in self.slices])


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """A normal subject whose stack pathology is added to: latents `(2, 32, dimensions)` and length in millimetres."""

    subject_id: str
    levels: NDArray[np.float32]
    length_mm: float


@dataclass(frozen=True, kw_only=True)
class LatentStatistics:
    """The distribution of one class in latent space; d is the number of latent dimensions, phases are ED and ES.

    Attributes
    ----------
    mean, sd, minimum, maximum
        `(2 phases, 32 levels, d)`, over subjects. sd is the population's (divides by n), as in the paper's code.
    row_tau
        Kendall's tau-b between the 64 rows (phase-major, then level) of the standardised residuals, dimensions pooled.
    dimension_tau
        Tau-b between the d dimensions of the standardised residuals, rows pooled.
    raw_dimension_tau
        `(2, d, d)`: tau-b between dimensions of the raw latents of all slices of a phase, as published.
    length
        Mean, sd, minimum and maximum of the heart's length in millimetres.
    length_weights
        `(d + 1,)`: ridge regression of length on the residual averaged over rows, in millimetres, then the standard
        deviation it leaves unexplained.
    count
        Number of subjects.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    row_tau: NDArray[np.float64]
    dimension_tau: NDArray[np.float64]
    raw_dimension_tau: NDArray[np.float64]
    length: NDArray[np.float64]
    length_weights: NDArray[np.float64]
    count: int

    @classmethod
    def of(cls, subjects: Sequence[SubjectLatents]) -> Self:
        """Describe the class that `subjects` belong to.

        Raises
        ------
        InputError
            If there are fewer than two subjects.
        """
        if len(subjects) < 2:
            raise InputError("latent statistics", expected="at least 2 subjects of a class", got=f"{len(subjects)}")
        levels = np.stack([subject.levels for subject in subjects])
        mean, sd = levels.mean(axis=0), levels.std(axis=0)
        residual = standardise(levels, mean, sd)
        count, dimensions = len(subjects), levels.shape[-1]
        rows = residual.reshape(count, 2 * LEVELS, dimensions)
        length = np.array([subject.length_mm for subject in subjects])
        return cls(
            mean=mean,
            sd=sd,
            minimum=levels.min(axis=0),
            maximum=levels.max(axis=0),
            row_tau=kendall(rows.transpose(2, 0, 1)),
            dimension_tau=kendall(rows.transpose(1, 0, 2)),
            raw_dimension_tau=np.stack([_raw_tau(subjects, phase) for phase in range(2)]),
            length=np.array([length.mean(), length.std(), length.min(), length.max()]),
            length_weights=_ridge(rows.mean(axis=1), length),
            count=count,
        )

    def standardised(self, levels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return `(levels - mean) / sd`, 0 where the class does not vary."""
        return standardise(levels, self.mean, self.sd)


@dataclass(frozen=True, kw_only=True)
class LatentBank:
    """The latent half of a bundle: statistics of every class, and the normal subjects to start from."""

    statistics: Mapping[Pathology, LatentStatistics]
    recipients: tuple[Recipient, ...]

    @classmethod
    def of(cls, subjects: Sequence[SubjectLatents]) -> Self:
        """Describe a cohort: statistics of each class with two subjects or more, recipients are its NOR subjects.

        Raises
        ------
        InputError
            If there is no normal subject to start from.
        """
        by_class = {p: [s for s in subjects if s.pathology is p] for p in Pathology}
        recipients = tuple(
            Recipient(subject_id=s.subject_id, levels=s.levels.astype(np.float32), length_mm=s.length_mm)
            for s in by_class[Pathology.NOR]
        )
        if not recipients:
            raise InputError("latent bank", expected="at least one NOR subject", got="none")
        return cls(
            statistics={p: LatentStatistics.of(members) for p, members in by_class.items() if len(members) > 1},
            recipients=recipients,
        )

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return the bank as a flat dictionary for a safetensors file."""
        out = {"recipients.levels": torch.from_numpy(np.stack([r.levels for r in self.recipients]))}
        out["recipients.length_mm"] = torch.tensor([r.length_mm for r in self.recipients], dtype=torch.float64)
        out["recipients.ids"] = encode_json([r.subject_id for r in self.recipients])
        for pathology, statistics in self.statistics.items():
            for item in fields(statistics):
                value = torch.as_tensor(getattr(statistics, item.name))
                out[f"{pathology}.{item.name}"] = value.float() if value.is_floating_point() else value
        return out

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Self:
        """Read what `to_tensors` wrote.

        Raises
        ------
        InputError
            If a tensor is missing.
        """
        try:
            ids = decode_json(tensors["recipients.ids"])
            levels, lengths = tensors["recipients.levels"].numpy(), tensors["recipients.length_mm"].tolist()
            classes = [p for p in Pathology if f"{p}.mean" in tensors]
            statistics = {p: _statistics_from(tensors, p) for p in classes}
        except KeyError as missing:
            raise InputError("latents.safetensors", expected=f"a tensor {missing}", got="none") from missing
        recipients = (
            Recipient(subject_id=i, levels=v, length_mm=x) for i, v, x in zip(ids, levels, lengths, strict=True)
        )
        return cls(statistics=statistics, recipients=tuple(recipients))


def encode_subject(
    subject_id: str,
    pathology: Pathology,
    labels: Mapping[Phase, NDArray[np.uint8]],
    spacing_mm: float,
    encode: Encode,
) -> SubjectLatents:
    """Encode the slices that carry heart; labels are `(z, H, W)` per phase, codes above 3 count as background."""
    part = heart_range([labels[phase] for phase in Phase])
    stacks = [np.where(labels[phase][part] <= max(HEART), labels[phase][part], 0).astype(np.uint8) for phase in Phase]
    latents = encode(np.concatenate(stacks)).reshape(2, part.stop - part.start, -1)
    return SubjectLatents(
        subject_id=subject_id, pathology=pathology, slices=latents.astype(np.float32), spacing_mm=spacing_mm
    )


def heart_range(stacks: Sequence[NDArray[np.uint8]]) -> slice:
    """Return the slices from the first to the last that carries heart in any of the stacks `(z, H, W)`.

    Raises
    ------
    InputError
        If no slice carries heart.
    """
    carries = np.any([np.isin(stack, HEART).any(axis=(1, 2)) for stack in stacks], axis=0)
    found = np.flatnonzero(carries)
    if not found.size:
        raise InputError("label stack", expected="at least one slice with heart", got="none")
    return slice(int(found[0]), int(found[-1]) + 1)


def to_levels(slices: NDArray[np.floating], levels: int = LEVELS) -> NDArray[np.float64]:
    """Interpolate latents `(n, d)` to `(levels, d)`: cubic splines, linear below four slices, constant for one."""
    count = len(slices)
    values = slices.astype(np.float64)
    if count == 1:
        return np.repeat(values, levels, axis=0)
    # linspace, not a float range: a range has 33 points for some slice counts.
    position = np.linspace(0.0, count - 1.0, levels)
    if count < 4:
        return _linear(values, position)
    return CubicSpline(np.arange(count), values, axis=0)(position)


def from_levels(levels: NDArray[np.floating], count: int) -> NDArray[np.float64]:
    """Resample `(..., levels, d)` to `count` slices, `(..., count, d)`; the first and last level stay."""
    position = np.linspace(0.0, levels.shape[-2] - 1.0, count) if count > 1 else np.array([(levels.shape[-2] - 1) / 2])
    return _linear(levels.astype(np.float64), position)


def standardise(
    levels: NDArray[np.floating], mean: NDArray[np.floating], sd: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the standardised residual; 0 where sd is zero."""
    deviation = np.asarray(levels - mean, dtype=np.float64)
    return np.divide(deviation, sd, out=np.zeros_like(deviation), where=np.broadcast_to(sd > _FLAT_SD, deviation.shape))


def encode_json(value: object) -> torch.Tensor:
    """Return JSON text as a uint8 tensor: names beside numbers in a file that holds tensors only."""
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def decode_json(tensor: torch.Tensor) -> list:
    """Read what `encode_json` wrote."""
    return json.loads(bytes(tensor.numpy()))


def _linear(values: NDArray[np.float64], position: NDArray[np.float64]) -> NDArray[np.float64]:
    lower = np.minimum(position.astype(np.intp), values.shape[-2] - 2)
    weight = (position - lower)[:, None]
    return values[..., lower, :] * (1 - weight) + values[..., lower + 1, :] * weight


def _raw_tau(subjects: Sequence[SubjectLatents], phase: int) -> NDArray[np.float64]:
    return kendall(np.concatenate([subject.slices[phase] for subject in subjects])[None])


def _ridge(features: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ridge weights and the residual sd; the penalty has the least leave-one-out error (hat-matrix shortcut)."""
    centred = target - target.mean()
    left, singular, right = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    projected = left.T @ centred
    best_error, best_weights = np.inf, np.zeros(features.shape[1])
    for penalty in _RIDGE_GRID:
        shrink = singular**2 / (singular**2 + penalty)
        hat = ((left * shrink) * left).sum(axis=1) + 1.0 / len(target)
        error = float((((centred - left @ (shrink * projected)) / np.maximum(1.0 - hat, 1e-3)) ** 2).mean())
        if error < best_error:
            best_error = error
            best_weights = right.T @ (singular / (singular**2 + penalty) * projected)
    return np.append(best_weights, min(np.sqrt(best_error), target.std()))


def _statistics_from(tensors: Mapping[str, torch.Tensor], pathology: Pathology) -> LatentStatistics:
    values = {item.name: tensors[f"{pathology}.{item.name}"] for item in fields(LatentStatistics)}
    arrays = {name: value.double().numpy() for name, value in values.items() if name != "count"}
    return LatentStatistics(**arrays, count=int(values["count"]))
