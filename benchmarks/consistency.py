"""Coherence of drawn hearts through the stack, per way of correlating their latents, beside the source cohort's.

For each metric: the source's 5 to 95 % band; per way the median over hearts, in brackets the probability that a drawn
heart has a larger value than a source heart (0.5: not to be told apart), and the share of hearts inside the band (0.9
for the source itself). `source` compares one half of the cohort with the other; `decoded` is the
source cohort through the label VAE and the common levels, which is the best that any draw can do. Below: how often a
draw passes every gate, and how ED and ES volumes hang together.

    python benchmarks/consistency.py --bundle default --source hearts:200 --draws 40
    python benchmarks/consistency.py --bundle DIR --source acdc:DIR
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import get_args

import click
import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.cohorts.preprocess import prepare
from synthgen.engine.anatomy import slices_of
from synthgen.engine.gate import check, examine
from synthgen.engine.generate import LABEL_VAE, Generator
from synthgen.engine.plan import plan
from synthgen.engine.recipe import Condition, Recipe
from synthgen.evaluation.consistency import measure_consistency
from synthgen.factors.copula import Correlation
from synthgen.factors.latents import encode_subject, from_levels, heart_range
from synthgen.labels import Pathology, Phase
from synthgen.networks.bundle import Bundle, load_bundle
from synthgen.networks.label_vae import LabelCodec
from synthgen.sources import open_cohort
from synthgen.subjects import Body
from synthgen.volumes import Volume, stack_affine

SHOWN = (
    *("area_second_difference_lv", "area_second_difference_myo", "area_second_difference_rv"),
    *("centroid_second_difference_mm_lv", "centroid_second_difference_mm_rv"),
    *("adjacent_dice_lv", "adjacent_dice_myo", "adjacent_dice_rv", "tv_ratio"),
)
VOLUMES = (
    ("lv_edv_ml", "lv_esv_ml"),
    ("rv_edv_ml", "rv_esv_ml"),
    ("lv_edv_ml", "rv_edv_ml"),
    ("lv_mass_ed_g", "lv_mass_es_g"),
)


@dataclass(frozen=True)
class Row:
    """One heart: its class, coherence at ED, indices, and whether it passed every gate."""

    pathology: Pathology
    coherence: dict[str, float]
    indices: dict[str, float]
    passed: bool


def row(
    pathology: Pathology, stacks: NDArray[np.uint8], spacing_mm: tuple[float, ...], body: Body | None, gates: dict
) -> Row:
    """Measure one heart `(2, slices, H, W)`."""
    affine = stack_affine(spacing_mm, stacks.shape[1:])
    volumes = {phase: Volume(stacks[i], spacing_mm, affine) for i, phase in enumerate(Phase)}
    measured = examine(pathology, volumes, body)
    coherence = measure_consistency(volumes[Phase.ED]).as_dict()
    return Row(pathology, coherence, measured.indices.as_dict(), all(v.passed for v in check(measured, gates)))


def source_rows(cohort: str, bundle: Bundle) -> Iterator[tuple[Row, Row]]:
    """Yield every source heart as it is, and through the label VAE."""
    codec = LabelCodec(bundle.network(LABEL_VAE))
    description = bundle.description
    for subject in open_cohort(cohort):
        ready = prepare(subject, pixels=description.image_size, spacing_mm=description.spacing_mm)
        part = heart_range([ready.labels[phase] for phase in Phase])
        stacks = np.stack([np.where(ready.labels[p][part] <= 3, ready.labels[p][part], 0) for p in Phase]).astype(
            np.uint8
        )
        latents = encode_subject(
            ready.subject_id, ready.pathology, ready.labels, ready.spacing_mm[0],
            lambda labels: codec.encode_labels(torch.from_numpy(labels)).numpy(),
        )  # fmt: skip
        decoded = np.zeros_like(stacks)
        counts, starts = slices_of(latents.span_mm, ready.spacing_mm[0])
        for phase, (count, start) in enumerate(zip(counts, starts, strict=True)):
            levels = torch.from_numpy(from_levels(latents.levels[phase], count).astype(np.float32))
            decoded[phase, start : start + count] = codec.decode_labels(levels).numpy()[: stacks.shape[1] - start]
        facts = (ready.spacing_mm, ready.body, description.gates)
        yield row(ready.pathology, stacks, *facts), row(ready.pathology, decoded, *facts)


def drawn_rows(generator: Generator, bundle: Bundle, correlation: Correlation, draws: int) -> list[Row]:
    """Draw `draws` hearts of every class at full severity, ungated."""
    conditions = tuple(Condition(pathology=p, count=draws, severity=(1.0, 1.0)) for p in generator.bank.statistics)
    specs = plan(Recipe(conditions=conditions, bundle=str(bundle.folder), correlation=correlation), bundle)

    def one(number: int) -> Row:
        torch.set_num_threads(1)
        spec = specs[number]
        donor = generator.donors[spec.recipient]
        with torch.inference_mode():
            heart = generator.draw(spec, 0, donor)
        return row(spec.pathology, heart.labels, donor.spacing_mm, donor.body, generator.description.gates)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, range(len(specs))))


def larger(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Return P(ours > theirs), ties counting half."""
    ours, theirs = ours[np.isfinite(ours)], theirs[np.isfinite(theirs)]
    difference = np.sign(ours[:, None] - theirs[None])
    return float((difference.mean() + 1) / 2)


def column(rows: list[Row], name: str, part: str) -> NDArray[np.float64]:
    """Return one number of every heart."""
    return np.array([getattr(r, part)[name] for r in rows])


@click.command(help=__doc__)
@click.option("--bundle", "name", default="default", show_default=True)
@click.option("--source", default="hearts:100", show_default=True)
@click.option("--draws", default=20, show_default=True, help="Hearts per class and way of correlating.")
def main(name: str, source: str, draws: int) -> None:
    """Print the table."""
    bundle = load_bundle(name)
    generator = Generator(bundle)
    pairs = list(source_rows(source, bundle))
    real = [pair[0] for pair in pairs]
    half = [real[i] for i in range(len(real)) if (i // len(Pathology)) % 2]
    other = [real[i] for i in range(len(real)) if not (i // len(Pathology)) % 2]
    columns = {"source": half, "decoded": [pair[1] for pair in pairs]}
    columns |= {mode: drawn_rows(generator, bundle, mode, draws) for mode in get_args(Correlation)}
    print(f"{'':34s}{'band':>15s}" + "".join(f"{title:>20s}" for title in columns))
    for metric in SHOWN:
        cells = []
        low, high = np.nanpercentile(column(real, metric, "coherence"), [5, 95])
        for title, rows in columns.items():
            values = column(rows, metric, "coherence")
            against = column(other if title == "source" else real, metric, "coherence")
            inside = np.mean((values >= low) & (values <= high))
            cells.append(f"{np.nanmedian(values):8.3f} ({larger(values, against):.2f}) {inside:.2f}")
        print(f"{metric:34s}{low:7.3f}-{high:7.3f}" + "".join(f"{cell:>20s}" for cell in cells))
    print(
        f"{'passes every gate':34s}"
        + "".join(f"{np.mean([r.passed for r in rows]):16.2f}" for rows in columns.values())
    )
    for pathology in generator.bank.statistics:
        shares = [np.mean([r.passed for r in rows if r.pathology is pathology]) for rows in columns.values()]
        print(f"{'  ' + pathology:34s}" + "".join(f"{share:16.2f}" for share in shares))
    for first, second in VOLUMES:
        cells = []
        for rows in columns.values():
            inside = [
                np.corrcoef(*(column([r for r in rows if r.pathology is p], n, "indices") for n in (first, second)))[
                    0, 1
                ]
                for p in generator.bank.statistics
            ]
            cells.append(f"{np.nanmean(inside):16.2f}")
        print(f"{f'r({first}, {second}) within class':34.34s}" + "".join(cells))
    for index in ("lv_edv_ml", "lv_ef_percent", "rv_edv_ml", "rv_ef_percent", "lv_mass_ed_g"):
        for pathology in generator.bank.statistics:
            cells = []
            for rows in columns.values():
                values = column([r for r in rows if r.pathology is pathology], index, "indices")
                cells.append(f"{values.mean():8.1f} +-{values.std():5.1f}")
            print(f"{f'{index} {pathology}':34s}" + "".join(f"{cell:>16s}" for cell in cells))


if __name__ == "__main__":
    main()
