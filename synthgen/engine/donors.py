"""The bodies that new hearts are put into: label stacks of normal subjects in both phases, as a bundle keeps them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.factors.latents import decode_json, encode_json, heart_range
from synthgen.labels import Phase, Sex, Tissue, Vendor
from synthgen.subjects import Body

_LARGEST_STACK = 2 * 64 * 1024 * 1024


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
    """

    subject_id: str
    vendor: Vendor
    labels: Mapping[Phase, NDArray[np.uint8]]
    spacing_mm: tuple[float, float, float]
    rotation: NDArray[np.float64]
    body: Body | None

    @property
    def heart(self) -> slice:
        """Slices from the first to the last that carries heart in either phase."""
        return heart_range([self.labels[phase] for phase in Phase])


class DonorBank:
    """Donors by id; stacks stay deflated until asked for, so that a large bank costs little memory.

    Parameters
    ----------
    headers
        JSON-able description of each donor by id.
    stacks
        Deflated bytes of each donor's `(2, z, H, W)` stack by id.
    """

    def __init__(self, headers: Mapping[str, dict], stacks: Mapping[str, bytes]) -> None:
        self._headers, self._stacks = dict(headers), dict(stacks)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids in the order of the source cohort."""
        return tuple(self._headers)

    def __len__(self) -> int:
        """Return the number of donors."""
        return len(self._headers)

    def __getitem__(self, subject_id: str) -> Donor:
        """Return one donor.

        Raises
        ------
        InputError
            If there is no such donor or its stack does not have the announced size.
        """
        if subject_id not in self._headers:
            raise InputError("donors", expected="a donor of the bundle", got=repr(subject_id))
        header = self._headers[subject_id]
        shape = (2, *header["shape"])
        size = int(np.prod(shape))
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(self._stacks[subject_id], min(size, _LARGEST_STACK) + 1)
        if len(raw) != size:
            raise InputError(f"donor {subject_id}", expected=f"a stack of {size} bytes", got="another size")
        stack = np.frombuffer(raw, np.uint8).reshape(shape)
        body = header["body"]
        return Donor(
            subject_id=subject_id,
            vendor=Vendor(header["vendor"]),
            labels=dict(zip(Phase, stack, strict=True)),
            spacing_mm=tuple(header["spacing_mm"]),
            rotation=np.array(header["rotation"]),
            body=Body(**{**body, "sex": Sex(body["sex"]) if body["sex"] else None}) if body else None,
        )

    def slices(self, subject_id: str) -> int:
        """Return the number of slices of a donor's stack, without unpacking it."""
        return int(self._headers[subject_id]["shape"][0])

    @classmethod
    def of(cls, donors: Sequence[Donor]) -> Self:
        """Pack donors.

        Raises
        ------
        InputError
            If a label is not a code of `Tissue`.
        """
        headers, stacks = {}, {}
        for donor in donors:
            stack = np.stack([donor.labels[phase] for phase in Phase])
            if stack.dtype != np.uint8 or stack.max(initial=0) >= len(Tissue):
                raise InputError(
                    f"donor {donor.subject_id}", expected="uint8 labels 0 to 8", got=f"{stack.dtype} to {stack.max()}"
                )
            body = donor.body
            headers[donor.subject_id] = {
                "vendor": donor.vendor.value,
                "shape": list(stack.shape[1:]),
                "spacing_mm": [float(v) for v in donor.spacing_mm],
                "rotation": np.asarray(donor.rotation, dtype=np.float64).round(9).tolist(),
                "body": {"height_cm": body.height_cm, "weight_kg": body.weight_kg, "sex": body.sex} if body else None,
            }
            stacks[donor.subject_id] = zlib.compress(stack.tobytes(), 9)
        return cls(headers, stacks)

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return the bank as a flat dictionary for a safetensors file."""
        stacks = {
            f"stack.{subject_id}": torch.frombuffer(bytearray(stack), dtype=torch.uint8)
            for subject_id, stack in self._stacks.items()
        }
        return {"donors": encode_json(list(self._headers.items())), **stacks}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Self:
        """Read what `to_tensors` wrote.

        Raises
        ------
        InputError
            If a donor's stack is missing.
        """
        try:
            headers = dict(decode_json(tensors["donors"]))
            stacks = {subject_id: bytes(tensors[f"stack.{subject_id}"].numpy()) for subject_id in headers}
        except KeyError as missing:
            raise InputError("donors.safetensors", expected=f"a tensor {missing}", got="none") from missing
        return cls(headers, stacks)


def rotation_of(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the directions of an affine's voxel axes as orthonormal columns (nearest rotation, by SVD)."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(axes)
    return left @ right
