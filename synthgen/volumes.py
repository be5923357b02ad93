"""`Volume`: voxels on a regular grid with their place in the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import InputError


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels with geometry, image or label.

    Attributes
    ----------
    voxels
        Array with axes `(z, y, x)`; z runs through the short-axis stack.
    spacing_mm
        Distance of voxel centres along `(z, y, x)`; z is slice thickness plus gap.
    affine
        4 x 4, from voxel index `(x, y, z)` to RAS+ millimetres, as NIfTI and TorchIO use it.

    Raises
    ------
    InputError
        If the axes are not three, a spacing is not finite and positive, or affine and spacing disagree.
    """

    voxels: NDArray
    spacing_mm: tuple[float, float, float]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse a volume that cannot be placed in space."""
        if self.voxels.ndim != 3 or 0 in self.voxels.shape:
            raise InputError(
                "volume", expected="voxels with three non-empty axes (z, y, x)", got=f"shape {self.voxels.shape}"
            )
        if not all(np.isfinite(s) and s > 0 for s in self.spacing_mm):
            raise InputError("volume", expected="finite spacings above 0 mm", got=f"{self.spacing_mm} mm")
        if self.affine.shape != (4, 4) or not np.isfinite(self.affine).all():
            raise InputError("volume", expected="a finite 4 x 4 affine", got=f"{self.affine.tolist()}")
        norms = np.linalg.norm(self.affine[:3, :3], axis=0)[::-1]
        if not np.allclose(norms, self.spacing_mm, rtol=1e-3, atol=1e-4):
            raise InputError(
                "volume", expected=f"affine columns of {self.spacing_mm} mm", got=f"{tuple(norms.round(4))} mm"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along `(z, y, x)`."""
        z, y, x = self.voxels.shape
        return z, y, x

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        z, y, x = self.spacing_mm
        return z * y * x / 1000.0

    def with_voxels(self, voxels: NDArray) -> Volume:
        """Return other voxels on the same grid."""
        if voxels.shape != self.voxels.shape:
            raise InputError("volume", expected=f"voxels of shape {self.voxels.shape}", got=f"{voxels.shape}")
        return Volume(voxels, self.spacing_mm, self.affine)


def stack_affine(
    spacing_mm: tuple[float, float, float], shape: tuple[int, int, int], rotation: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return an RAS+ affine centred on the stack.

    Parameters
    ----------
    spacing_mm, shape
        Along `(z, y, x)`.
    rotation
        3 x 3 orthonormal, its columns the RAS+ directions of voxel axes `(x, y, z)`; identity when None.
    """
    axes = np.eye(3) if rotation is None else rotation
    affine = np.eye(4)
    affine[:3, :3] = axes * np.asarray(spacing_mm[::-1])
    affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape[::-1]) - 1) / 2)
    return affine
