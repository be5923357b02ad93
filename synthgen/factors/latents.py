"""What the label VAE knows about a cohort: latents of every stack on 32 common levels, their statistics per class.

After Amirrajab et al. 2022 (arXiv 2209.04223): every subject's slices are interpolated in latent space to the same
number of levels; mean, standard deviation, minimum and maximum at every level and dimension describe a class. Beyond
the paper, end-diastole and end-systole are described together, correlation is taken on standardised residuals of the
whole class, and where the heart begins and ends is part of the description: the base descends in systole, so the
slices of a phase run from its own most basal to its own most apical one, and every level carries heart.
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
from synthgen.factors.marginals import normal_scores
from synthgen.labels import HEART, Pathology, Phase

LATENTS_FILE = "latents.safetensors"
"""What a bundle calls the file of its `LatentBank`."""

LEVELS = 32
"""Levels from a phase's most basal slice with heart (0) to its most apical (31)."""

SPAN = ("ed_length_mm", "es_length_mm", "es_descent_mm")
"""Where a heart lies along the stack: distance of the first and last slice at ED and at ES, and how far the first slice
at ES lies below (towards the apex of) that at ED."""

_FLAT_SD = 1e-6  # below this a latent value is a constant of its class
_RIDGE_GRID = tuple(10.0**power for power in range(-2, 5))

Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Heart label maps `(slices, H, W)` to posterior means `(slices, dimensions)`."""


@dataclass(frozen=True, kw_only=True)
class SubjectLatents:
    """Latents of one subject's stacks, each from the most basal to the most apical slice that carries heart.

    Attributes
    ----------
    slices
        Posterior means of ED and ES, `(slices of that phase, dimensions)` each, base first.
    span_mm
        By the names of `SPAN`.
    """

    subject_id: str
    pathology: Pathology
    slices: tuple[NDArray[np.float32], NDArray[np.float32]]
    span_mm: NDArray[np.float64]

    @property
    def levels(self) -> NDArray[np.float64]:
        """Latents on the common levels, `(2, 32, dimensions)`."""
        return np.stack([to_levels(phase) for phase in self.slices])


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """A normal subject whose stack pathology is added to: latents `(2, 32, dimensions)` and span `(3,)`."""

    subject_id: str
    levels: NDArray[np.float32]
    span_mm: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LatentStatistics:
    """The distribution of one class in latent space; d is the number of latent dimensions, phases are ED and ES.

    Attributes
    ----------
    mean, sd, minimum, maximum
        `(2 phases, 32 levels, d)`, over subjects. sd is the population's (divides by n), as in the paper's code.
    joint
        `(64 d, r)`: factor of the correlation between all values, rows and dimensions together, in normal scores by
        the marginals; each row has length one. r is at most the number of subjects less one.
    row_tau
        Kendall's tau-b between the 64 rows (phase-major, then level) of the standardised residuals, dimensions pooled.
    dimension_tau
        Tau-b between the d dimensions of the standardised residuals, rows pooled.
    raw_dimension_tau
        `(2, d, d)`: tau-b between dimensions of the raw latents of all slices of a phase, as published.
    span
        `(4, 3)`: mean, sd, minimum and maximum of each number of `SPAN`.
    span_weights
        `(3, d)`: ridge regression of the span on the residual averaged over rows, in millimetres.
    span_factor
        `(3, 3)`: lower Cholesky factor of the covariance that the regression leaves unexplained.
    count
        Number of subjects.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    joint: NDArray[np.float64]
    row_tau: NDArray[np.float64]
    dimension_tau: NDArray[np.float64]
    raw_dimension_tau: NDArray[np.float64]
    span: NDArray[np.float64]
    span_weights: NDArray[np.float64]
    span_factor: NDArray[np.float64]
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
        minimum, maximum = levels.min(axis=0), levels.max(axis=0)
        residual = standardise(levels, mean, sd)
        count, dimensions = len(subjects), levels.shape[-1]
        rows = residual.reshape(count, 2 * LEVELS, dimensions)
        span = np.stack([subject.span_mm for subject in subjects])
        weights, unexplained = _ridge(rows.mean(axis=1), span)
        return cls(
            mean=mean,
            sd=sd,
            minimum=minimum,
            maximum=maximum,
            joint=_joint_factor(normal_scores(levels, mean, sd, minimum, maximum).reshape(count, -1)),
            row_tau=kendall(rows.transpose(2, 0, 1)),
            dimension_tau=kendall(rows.transpose(1, 0, 2)),
            raw_dimension_tau=np.stack([_raw_tau(subjects, phase) for phase in range(2)]),
            span=np.stack([span.mean(axis=0), span.std(axis=0), span.min(axis=0), span.max(axis=0)]),
            span_weights=weights,
            span_factor=_covariance_factor(unexplained),
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
            Recipient(subject_id=s.subject_id, levels=s.levels.astype(np.float32), span_mm=s.span_mm)
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
        out["recipients.span_mm"] = torch.from_numpy(np.stack([r.span_mm for r in self.recipients]))
        out["recipients.ids"] = encode_json([r.subject_id for r in self.recipients])
        for pathology, statistics in self.statistics.items():
            for item in fields(statistics):
                value = torch.as_tensor(getattr(statistics, item.name))
                kind = torch.float16 if item.name == "joint" else torch.float32
                out[f"{pathology}.{item.name}"] = value.to(kind) if value.is_floating_point() else value
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
            levels, spans = tensors["recipients.levels"].numpy(), tensors["recipients.span_mm"].numpy()
            classes = [p for p in Pathology if f"{p}.mean" in tensors]
            statistics = {p: _statistics_from(tensors, p) for p in classes}
        except KeyError as missing:
            raise InputError(LATENTS_FILE, expected=f"a tensor {missing}", got="none") from missing
        recipients = (Recipient(subject_id=i, levels=v, span_mm=x) for i, v, x in zip(ids, levels, spans, strict=True))
        return cls(statistics=statistics, recipients=tuple(recipients))


def encode_subject(
    subject_id: str,
    pathology: Pathology,
    labels: Mapping[Phase, NDArray[np.uint8]],
    spacing_mm: float,
    encode: Encode,
) -> SubjectLatents:
    """Encode the slices that carry heart.

    Parameters
    ----------
    labels
        `(z, H, W)` per phase, base first; codes above 3 count as background.
    spacing_mm
        Distance of the slices.

    Raises
    ------
    InputError
        If a phase carries no heart.
    """
    parts = [heart_range([labels[phase]]) for phase in Phase]
    stacks = [labels[phase][part] for phase, part in zip(Phase, parts, strict=True)]
    latents = encode(np.concatenate([np.where(s <= max(HEART), s, 0).astype(np.uint8) for s in stacks]))
    ed, es = (part.stop - part.start for part in parts)
    span = np.array([ed - 1, es - 1, parts[1].start - parts[0].start]) * float(spacing_mm)
    slices = (latents[:ed].astype(np.float32), latents[ed:].astype(np.float32))
    return SubjectLatents(subject_id=subject_id, pathology=pathology, slices=slices, span_mm=span)


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


def _joint_factor(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor `(values, r)` of the correlation of `scores` `(subjects, values)`.

    Its product with its transpose is the correlation matrix; the singular value decomposition turns subjects into
    directions, so that no subject can be read off it.
    """
    _, singular, right = np.linalg.svd(scores - scores.mean(axis=0), full_matrices=False)
    rank = max(int((singular > _FLAT_SD * max(singular[0], _FLAT_SD)).sum()), 1)
    return _unit_rows(right[:rank].T * singular[:rank])


def _unit_rows(factor: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = np.linalg.norm(factor, axis=1, keepdims=True)
    return np.divide(factor, norm, out=np.zeros_like(factor), where=norm > _FLAT_SD)


def _ridge(
    features: NDArray[np.float64], targets: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ridge weights `(targets, features)` and leave-one-out residuals `(n, targets)`.

    One penalty for all targets: that of the least leave-one-out error in units of each target's variance (by the
    hat-matrix shortcut), infinity among the candidates.
    """
    centred = targets - targets.mean(axis=0)
    scale = np.maximum(centred.std(axis=0), _FLAT_SD)
    left, singular, right = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    projected = left.T @ centred
    count = len(targets)
    best_weights, best_residual = np.zeros((targets.shape[1], features.shape[1])), centred * count / (count - 1)
    for penalty in _RIDGE_GRID:
        shrink = singular**2 / (singular**2 + penalty)
        hat = ((left * shrink) * left).sum(axis=1) + 1.0 / count
        residual = (centred - left @ (shrink[:, None] * projected)) / np.maximum(1.0 - hat, 1e-3)[:, None]
        if ((residual / scale) ** 2).sum() < ((best_residual / scale) ** 2).sum():
            best_residual = residual
            best_weights = (right.T @ ((singular / (singular**2 + penalty))[:, None] * projected)).T
    return best_weights, best_residual


def _covariance_factor(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    covariance = residual.T @ residual / len(residual)
    return np.asarray(np.linalg.cholesky(covariance + _FLAT_SD * np.eye(len(covariance))), np.float64)


def _statistics_from(tensors: Mapping[str, torch.Tensor], pathology: Pathology) -> LatentStatistics:
    values = {item.name: tensors[f"{pathology}.{item.name}"] for item in fields(LatentStatistics)}
    arrays = {name: value.double().numpy() for name, value in values.items() if name != "count"}
    arrays["joint"] = _unit_rows(arrays["joint"])  # stored in half precision
    return LatentStatistics(**arrays, count=int(values["count"]))
