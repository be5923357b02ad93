"""A picture of what SDNet's factors do: modality, styles and anatomy, each changed without the others.

    python examples/factor_arithmetic.py arithmetic.png

Rows: an image, its reconstruction and its channels; the two numbers of z that change it most, from -3 to 3 (Chartsias
et al. 2019, Fig. 8); its anatomy on the way to another scanner's style, and the images that swapped styles (Fig. 6);
its right ventricle merged with the myocardium, and cavity and myocardium exchanged (Fig. 7); its left ventricle eroded
and dilated by up to three pixels (Thermos et al. 2021, Fig. 4). Virtual hearts and the default bundle, some seconds.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from synthgen import VirtualHearts, load_bundle
from synthgen.cohorts.preprocess import prepare
from synthgen.engine.arithmetic import blend_styles, swap_styles, traverse_modality
from synthgen.factors.arithmetic import grow
from synthgen.factors.channels import exchange, merge
from synthgen.factors.codes import HeartCodes, codes_of, factors_of
from synthgen.labels import Pathology, Phase, Tissue, Vendor

Picture = NDArray[np.float32]
EDGE, CAPTION = 160, 14
"""Pixels of a panel, and of the line above a row."""


def main(path: str) -> None:
    """Write the picture."""
    bundle = load_bundle("default")
    net = bundle.network("sdnet")
    first, second = (middle_slice(vendor, bundle) for vendor in (Vendor.A, Vendor.C))
    factors, z = net.encode_images(torch.from_numpy(first[None]))

    def drawn(changed: NDArray[np.uint8]) -> Picture:
        return net.decode_factors(torch.from_numpy(changed), z)[0].numpy()

    anatomy, heart = factors.numpy(), HeartCodes.of_channels(net.names)
    codes = codes_of(anatomy)
    traversal = traverse_modality(net, first)
    strongest = np.argsort(-np.abs(traversal.difference).mean(axis=(1, 2)))[:2]
    mine, others = swap_styles(net, first[None], second[None])
    eroded_to_dilated = [factors_of(grow(codes, Tissue.LV, pixels, heart), net.factors) for pixels in range(-3, 4)]
    rows = {
        f"image, reconstruction, channels ({', '.join(net.names)})": [
            first, drawn(anatomy), codes[0] / (net.factors - 1) * 2 - 1,
        ],
        **{f"z[{number}] from -3 to 3": list(traversal.images[number]) for number in strongest},
        "style of scanner A to style of scanner C": list(blend_styles(net, first, second)),
        "C; A's anatomy with C's style, C's anatomy with A's style": [second, mine[0], others[0]],
        "right ventricle merged with the myocardium; cavity and myocardium exchanged": [
            drawn(merge(anatomy, net.names, "rv", "myo")), drawn(exchange(anatomy, net.names, "lv", "myo")),
        ],
        "left ventricle eroded to dilated, -3 to 3 pixels": [drawn(changed) for changed in eroded_to_dilated],
    }  # fmt: skip
    sheet(rows).save(path)


def middle_slice(vendor: Vendor, bundle: object) -> Picture:
    """Return a slice through the middle of a normal virtual heart at end-diastole, on the bundle's grid."""
    grid = bundle.description
    hearts = VirtualHearts(1, seed=11, pathologies=[Pathology.NOR], vendors=[vendor])
    stack = prepare(hearts[0], pixels=grid.image_size, spacing_mm=grid.spacing_mm).images[Phase.ED]
    return stack[len(stack) // 2].astype(np.float32)


def sheet(rows: dict[str, list[Picture]]) -> Image.Image:
    """Return the panels, a captioned row each."""
    width = EDGE * max(len(panels) for panels in rows.values())
    out = Image.new("L", (width, len(rows) * (EDGE + CAPTION)), 0)
    draw = ImageDraw.Draw(out)
    for number, (caption, panels) in enumerate(rows.items()):
        top = number * (EDGE + CAPTION)
        draw.text((2, top + 1), caption, fill=255)
        for place, panel in enumerate(panels):
            grey = Image.fromarray(((np.clip(panel, -1, 1) + 1) * 127.5).astype(np.uint8)).resize((EDGE, EDGE))
            out.paste(grey, (place * EDGE, top + CAPTION))
    return out


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "arithmetic.png")
