"""The style of a named reference image: what a bundle's style encoder sees in a scan that somebody hands in."""

from __future__ import annotations

from pathlib import Path

import torch

from synthgen.cohorts.orientation import pose_by_affine
from synthgen.cohorts.preprocess import prepare
from synthgen.engine.recipe import StyleReference
from synthgen.engine.tissue_maps import read_scan, segmentor_of, tissue_map
from synthgen.errors import InputError
from synthgen.labels import Pathology, Phase, Vendor
from synthgen.networks.bundle import Bundle
from synthgen.networks.style_encoder import StyleEncoder
from synthgen.subjects import SourceSubject

STYLE_ENCODER = "style_encoder"
"""Name of the network in a bundle that turns images into styles."""


def style_reference(bundle: Bundle, image: Path) -> StyleReference:
    """Return the style of a short-axis scan, named by its file.

    The scan is brought to the bundle's grid around the heart that the bundle's segmentor finds, and the style vector is
    the mean over the slices of its first frame, as that of a subject of the source cohort is the mean over its own.

    Parameters
    ----------
    image
        `.nii` or `.nii.gz`, with or without a time axis.

    Raises
    ------
    InputError
        If the image cannot be read, is no scan, shows no heart, or the bundle has no segmentor or style encoder.
    """
    net = segmentor_of(bundle)
    encoder = bundle.network(STYLE_ENCODER)
    if not isinstance(encoder, StyleEncoder):
        raise InputError(f"bundle {bundle.name}", expected=f"a {STYLE_ENCODER}", got=type(encoder).__name__)
    frame = read_scan(image)[0]
    stack = pose_by_affine(frame).apply(frame)
    heart = tissue_map(net, stack).heart
    if not heart.any():
        raise InputError(image, expected="a short-axis stack through a heart", got="one in which none is found")
    label = stack.with_voxels(heart)
    shown = SourceSubject(
        subject_id=str(image), pathology=Pathology.NOR, vendor=Vendor.A, body=None,
        images=dict.fromkeys(Phase, stack), labels=dict.fromkeys(Phase, label),
    )  # fmt: skip
    grid = bundle.description
    known = prepare(shown, pixels=grid.image_size, spacing_mm=grid.spacing_mm)
    vector = encoder.encode_images(torch.from_numpy(known.images[Phase.ED])).mean(dim=0)
    return StyleReference(name=image.name, vector=tuple(round(float(value), 7) for value in vector))
