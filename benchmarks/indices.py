"""Clinical indices of a synthetic cohort against those of the cohort it was learnt from, per class.

Prints mean and standard deviation of both and the Wasserstein-1 distance between them, beside the distance of real from
real at the same size, and the share of synthetic subjects that satisfy the rule of their class.

    python benchmarks/indices.py DATASET [DATASET ...] --reference hearts:320
    python benchmarks/indices.py DATASET [DATASET ...] --reference acdc:DIR
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from synthgen.datasets.reader import StoredDataset
from synthgen.diagnosis import judge
from synthgen.evaluation.distances import compare
from synthgen.indices import Indices, measure
from synthgen.labels import Pathology, Sex
from synthgen.sources import open_cohort

SHOWN = (
    *("lv_edv_ml", "lv_esv_ml", "lv_ef_percent", "rv_edv_ml", "rv_esv_ml", "rv_ef_percent"),
    *("lv_mass_ed_g", "wall_ed_max_mm"),
)


@dataclass(frozen=True)
class Row:
    """One subject: class, sex, indices."""

    pathology: Pathology
    sex: Sex | None
    indices: Indices


def synthetic(folders: tuple[Path, ...]) -> list[Row]:
    """Read the indices that the datasets carry; no voxel is read."""
    rows = []
    for folder in folders:
        dataset = StoredDataset(folder)
        for record in map(dataset.record, dataset.ids):
            body = record.to_body()
            values = {name: float("nan") if value is None else value for name, value in record.indices.items()}
            rows.append(Row(record.pathology, body.sex if body else None, Indices(**values)))
    return rows


def source(text: str) -> list[Row]:
    """Measure the cohort written as for `synthgen fit`."""
    cohort = open_cohort(text)
    subjects = (cohort[i] for i in range(len(cohort)))
    return [Row(s.pathology, s.body.sex if s.body else None, measure(s.labels, s.body)) for s in subjects]


@click.command()
@click.argument("datasets", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--reference", required=True, help="hearts:COUNT, acdc:DIR, mnms:DIR or nifti:DIR.")
def main(datasets: tuple[Path, ...], reference: str) -> None:
    """Print the table."""
    made, real = synthetic(datasets), source(reference)
    for pathology in Pathology:
        own, theirs = ([r for r in rows if r.pathology is pathology] for rows in (made, real))
        if len(own) < 4 or len(theirs) < 4:
            continue
        click.echo(f"\n{pathology}: {len(own)} synthetic, {len(theirs)} source; {rule(own)}; source {rule(theirs)}")
        click.echo(f"{'index':18}{'synthetic':>16}{'source':>16}{'W1':>9}{'W1 real':>9}{'95 %':>9}{'AUC':>7}")
        for name in SHOWN:
            a, b = ([getattr(r.indices, name) for r in rows] for rows in (own, theirs))
            c = compare(b, a)
            spread = [f"{np.nanmean(v):.1f} ± {np.nanstd(v):.1f}" for v in (a, b)]
            numbers = f"{c.wasserstein:9.2f}{c.real_wasserstein:9.2f}{c.real_wasserstein_95:9.2f}{c.auc:7.2f}"
            click.echo(f"{name:18}{spread[0]:>16}{spread[1]:>16}{numbers}")


def rule(rows: list[Row]) -> str:
    """Say how many satisfy every criterion of their class that can be judged."""
    passed = Counter(all(v.passed for v in judge(r.pathology, r.indices, r.sex) if v.judged) for r in rows)
    return f"class rule {passed[True]}/{len(rows)}"


if __name__ == "__main__":
    sys.exit(main())
