"""Nine-tissue maps of real images: the segmentor applied to a stack, and the expert's heart put in its place.

Amirrajab et al. 2022 (doi 10.1016/j.compmedimag.2022.102123), section 4.3: labels of the heart are replaced by the
expert's where there are any. The replaced heart leaves no hole: a pixel that the network took for heart and the expert
did not gets the likeliest of the other tissues.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from safetensors.torch import load, save
from scipy import ndimage
from torch import Tensor

from synthgen.cohorts.nifti import read_frames
from synthgen.engine.base_plane import below_base, below_septum, below_tricuspid
from synthgen.errors import InputError
from synthgen.labels import HEART, Phase, Tissue
from synthgen.networks.bundle import Bundle
from synthgen.networks.segmentor import Segmentor
from synthgen.processes import share_processors
from synthgen.subjects import LabelScheme, SourceCohort, SourceSubject
from synthgen.volumes import Volume

SEGMENTOR = "segmentor"
"""Name of the network in a bundle."""

_MIDDLE = 0.35
"""How fast what lies off the middle of a slice counts less: standard deviation of a Gaussian, in halves of its edge."""

_IN_PLANE = ndimage.generate_binary_structure(2, 1)[None]


def segmentor_of(bundle: Bundle) -> Segmentor:
    """Return the segmentor of a bundle.

    Raises
    ------
    InputError
        If it has none.
    """
    if SEGMENTOR not in bundle.description.networks:
        hint = "Fit it again; bundles of earlier versions have none"
        raise InputError(f"bundle {bundle.name}", expected=f"a network {SEGMENTOR}", got="none", hint=hint)
    net = bundle.network(SEGMENTOR)
    if not isinstance(net, Segmentor):
        raise InputError(f"bundle {bundle.name}", expected=f"a segmentor as {SEGMENTOR}", got=type(net).__name__)
    return net


def read_scan(path: Path) -> list[Volume]:
    """Read the frames of a short-axis scan, NIfTI with or without a time axis.

    Raises
    ------
    InputError
        As `read_frames`, and if a frame has no more grey levels than there are tissues: a label map, or nothing at all.
    """
    frames = read_frames(path, kind="image", frames=None)
    for frame in frames:
        levels = len(np.unique(frame.voxels))
        if levels <= len(Tissue):
            got = "a frame of one grey level" if levels == 1 else f"a frame of {levels} grey levels, as of a label map"
            raise InputError(path, expected="a scan with contrast", got=got)
    return frames


@dataclass(frozen=True, eq=False)
class TissueMap:
    """What the segmentor makes of a stack, on the stack's own grid.

    Attributes
    ----------
    likeliest
        `(z, y, x)` uint8, the likeliest tissue of all, in the codes of `Tissue`.
    around
        Likewise, the likeliest of the tissues that are not heart.
    slice_mm
        Distance of slice centres.
    """

    likeliest: NDArray[np.uint8]
    around: NDArray[np.uint8]
    slice_mm: float

    @property
    def heart(self) -> NDArray[np.uint8]:
        """The heart alone at a phase that is not known; see `heart_at`."""
        return self.heart_at(None)

    def heart_at(self, phase: Phase | None) -> NDArray[np.uint8]:
        """Return the heart alone, codes 0 to 3: the connected part that is largest in the middle, below its base.

        Stacks are planned on the heart; a stomach or a liver that was taken for one lies farther out. Of each of its
        tissues one connected part counts too, as in section 4.6 of the paper. The right ventricle begins where it has
        the septum for a wall, at end-systole below the left one.
        """
        heart = below_base(self.likeliest * _part_in_the_middle(np.isin(self.likeliest, HEART)))
        if phase is Phase.ES:
            heart = below_tricuspid(heart, self.slice_mm)
        muscle = heart == Tissue.MYO
        for tissue, walled_by in ((Tissue.LV, muscle), (Tissue.MYO, None), (Tissue.RV, None)):
            mask = heart == tissue
            heart[mask & ~_part_in_the_middle(mask, walled_by)] = Tissue.BACKGROUND
        return below_septum(heart)

    def with_heart(self, heart: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return all nine tissues, the heart being `heart (z, y, x)`, codes 0 to 3: the expert's, or the map's own."""
        return np.where(heart > 0, heart, self.around).astype(np.uint8)


def tissue_map(net: Segmentor, image: Volume) -> TissueMap:
    """Return the tissues of a stack that lies as cohorts bring stacks to lie, the right ventricle to the left."""
    likeliest, around = np.empty(image.shape, np.uint8), np.empty(image.shape, np.uint8)
    others = np.array([code for code in range(len(Tissue)) if code not in HEART], np.uint8)
    for z, coarse in enumerate(_likelihoods(net, image.voxels, image.spacing_mm)):
        fine = fn.interpolate(coarse[None], image.shape[1:], mode="bilinear", align_corners=False)[0]
        likeliest[z] = fine.argmax(0).numpy()
        around[z] = others[fine[others.tolist()].argmax(0).numpy()]
    return TissueMap(likeliest, around, image.spacing_mm[0])


def _part_in_the_middle(mask: NDArray[np.bool_], walled_by: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Return the connected part of a mask `(z, y, x)` that is largest when pixels off the middle count less.

    With `walled_by`, a part counts by the square of how much of its outline in the slices that touches: of two cavities
    the left ventricle's is the one that muscle closes around.
    """
    parts, count = ndimage.label(mask)
    if count <= 1:
        return mask
    y, x = (np.linspace(-1, 1, size) for size in mask.shape[1:])
    middle = np.exp(-0.5 * (y[:, None] ** 2 + x**2) / _MIDDLE**2)
    weights = np.broadcast_to(middle, mask.shape).ravel()
    sizes: NDArray[np.float64] = np.bincount(parts.ravel(), weights=weights)[1:].astype(np.float64)
    if walled_by is not None:
        sizes *= np.array([_touching(parts == number, walled_by) for number in range(1, count + 1)]) ** 2
    part: NDArray[np.bool_] = parts == 1 + int(sizes.argmax())
    return part


def _touching(part: NDArray[np.bool_], wall: NDArray[np.bool_]) -> float:
    """Return the share of a part's outline in its slices that is wall."""
    outline = ndimage.binary_dilation(part, _IN_PLANE) & ~part
    return float(wall[outline].mean()) if outline.any() else 0.0


def label_tissues(net: Segmentor, subject: SourceSubject) -> tuple[SourceSubject, dict[Phase, NDArray[np.uint8]]]:
    """Return a subject with all nine tissues around the expert's heart, and the network's own heart by phase."""
    maps = {phase: tissue_map(net, subject.images[phase]) for phase in Phase}
    experts = {phase: np.where(label.voxels <= Tissue.RV, label.voxels, 0) for phase, label in subject.labels.items()}
    labels = {p: subject.labels[p].with_voxels(maps[p].with_heart(experts[p].astype(np.uint8))) for p in Phase}
    return replace(subject, labels=labels), {phase: found.heart_at(phase) for phase, found in maps.items()}


class TissueCohort(SourceCohort):
    """A cohort whose experts labelled hearts alone, with all nine tissues.

    Parameters
    ----------
    cohort
        Where subjects come from.
    net
        Labels what the experts did not.
    """

    label_scheme: LabelScheme = "tissue"

    def __init__(self, cohort: SourceCohort, net: Segmentor) -> None:
        self._cohort, self._net = cohort, net
        self.name, self.licence, self.citation = cohort.name, cohort.licence, cohort.citation
        self.of_patients = cohort.of_patients
        self.subject_pathologies, self.subject_vendors = cohort.subject_pathologies, cohort.subject_vendors

    def fingerprint(self) -> str:
        """Return a text that changes when the cohort or a weight of the segmentor does."""
        return f"{self._cohort.fingerprint()}, tissues by {self.labelled_by[:16]}"

    @property
    def labelled_by(self) -> str:
        """SHA-256 of the segmentor's weights."""
        weights = hashlib.sha256()
        for value in self._net.state_dict().values():
            weights.update(value.cpu().numpy().tobytes())
        return weights.hexdigest()

    def __len__(self) -> int:
        """Return the number of subjects."""
        return len(self._cohort)

    def __getitem__(self, index: int) -> SourceSubject:
        """Read subject `index` and label its tissues."""
        share_processors()
        return label_tissues(self._net, self._cohort[index])[0]

    def __getstate__(self) -> dict[str, Any]:
        """Return what crosses to another process: weights as bytes, since torch would open a file for every tensor."""
        plain = {name: value for name, value in self.__dict__.items() if name != "_net"}
        weights = save({name: value.contiguous() for name, value in self._net.state_dict().items()})
        return {**plain, "_arguments": json.dumps(self._net.arguments), "_weights": weights}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what another process sent."""
        self._net = _rebuilt(state.pop("_arguments"), state.pop("_weights"))
        self.__dict__.update(state)


@functools.lru_cache(maxsize=1)
def _rebuilt(arguments: str, weights: bytes) -> Segmentor:
    """Return the network of these arguments (JSON) and weights, built once per process however many subjects come."""
    net = Segmentor(**json.loads(arguments))
    net.load_state_dict(load(weights))
    return net.eval()


def _likelihoods(net: Segmentor, voxels: NDArray, spacing_mm: tuple[float, float, float]) -> Tensor:
    """Return tissue probabilities `(z, 9, h, w)` on the segmentor's pixels."""
    size = [max(1, round(n * mm / net.pixel_mm)) for n, mm in zip(voxels.shape[1:], spacing_mm[1:], strict=True)]
    images = torch.from_numpy(voxels.astype(np.float32))[:, None]
    resized = fn.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)[:, 0]
    return net.probabilities(resized)
