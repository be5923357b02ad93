"""The bodies that new hearts are put into: label stacks of normal subjects in both phases, as a bundle keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.engine.packing import PackedStacks, reading, spacing_of
from synthgen.errors import InputError
from synthgen.factors.latents import heart_range
from synthgen.labels import Phase, Sex, Tissue, Vendor
from synthgen.subjects import Body


@dataclass(frozen=True, kw_only=True)
class Donor:
    """One normal subject's body.

    Attributes
    ----------
    labels
        Uint8 `(z, H, W)` per phase in the codes of `Tissue`, z index 0 at the base.
    spacing_mm
        Along `(z, y, x)`.
    rotation
        3 x 3, columns are the RAS+ directions of the voxel axes `(x, y, z)`.
    body
        Body size, which the synthetic subject inherits; None when unknown.
    drawn_from
        Whose label map `labels` is; another's than the subject's own where that must not be kept.
    """

    subject_id: str
    vendor: Vendor
    labels: Mapping[Phase, NDArray[np.uint8]]
    spacing_mm: tuple[float, float, float]
    rotation: NDArray[np.float64]
    body: Body | None
    drawn_from: str

    @property
    def anatomy(self) -> str:
        """Name that all subjects made of this one share: its body is in them, and what of its heart was kept."""
        return f"recipient-{hashlib.sha256(self.subject_id.encode()).hexdigest()[:16]}"

    @property
    def heart(self) -> slice:
        """Slices from the first to the last that carries heart in either phase."""
        return heart_range([self.labels[phase] for phase in Phase])


class DonorBank:
    """Donors by id; stacks stay packed until asked for, so that a large bank costs little memory."""

    def __init__(self, packed: PackedStacks) -> None:
        self._packed = packed

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids in the order of the source cohort."""
        return self._packed.ids

    def __len__(self) -> int:
        """Return the number of donors."""
        return len(self.ids)

    def __getitem__(self, subject_id: str) -> Donor:
        """Return one donor.

        Raises
        ------
        InputError
            If there is no such donor or its stack does not have the announced size.
        """
        header, stack = self._packed.header(subject_id), self._packed.stack(subject_id)
        with reading(subject_id):
            body = header["body"]
            return Donor(
                subject_id=subject_id,
                vendor=Vendor(header["vendor"]),
                labels=dict(zip(Phase, stack, strict=True)),
                spacing_mm=spacing_of(header),
                rotation=np.array(header["rotation"], dtype=np.float64).reshape(3, 3),
                body=Body(**{**body, "sex": Sex(body["sex"]) if body["sex"] else None}) if body else None,
                drawn_from=str(header.get("drawn_from", subject_id)),
            )

    @classmethod
    def of(cls, donors: Sequence[Donor]) -> Self:
        """Pack donors.

        Raises
        ------
        InputError
            If a label is not a code of `Tissue`.
        """
        return cls(PackedStacks.of((donor.subject_id, _header(donor), _stack(donor)) for donor in donors))

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return the bank as a flat dictionary for a safetensors file."""
        return self._packed.to_tensors()

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Self:
        """Read what `to_tensors` wrote.

        Raises
        ------
        InputError
            If a donor's stack is missing.
        """
        return cls(PackedStacks.from_tensors(tensors, "donors.safetensors"))


def _header(donor: Donor) -> dict[str, object]:
    body = donor.body
    return {
        "vendor": donor.vendor.value,
        "spacing_mm": [float(v) for v in donor.spacing_mm],
        "rotation": np.asarray(donor.rotation, dtype=np.float64).round(9).tolist(),
        "body": {"height_cm": body.height_cm, "weight_kg": body.weight_kg, "sex": body.sex} if body else None,
        "drawn_from": donor.drawn_from,
    }


def _stack(donor: Donor) -> NDArray[np.uint8]:
    stack = np.stack([donor.labels[phase] for phase in Phase])
    if stack.dtype != np.uint8 or stack.max(initial=0) >= len(Tissue):
        got = f"{stack.dtype} to {stack.max()}"
        raise InputError(f"donor {donor.subject_id}", expected="uint8 labels 0 to 8", got=got)
    return stack


def rotation_of(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the directions of an affine's voxel axes as orthonormal columns (nearest rotation, by SVD)."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(axes)
    return left @ right
