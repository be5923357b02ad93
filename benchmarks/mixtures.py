"""Mixed hearts: one heart through the stack, of their class, and the same to two classifiers.

Of every dataset (built with `--method mix`, or `latent` beside it): the share of subjects that satisfy the rule of
their class, measured again on the written labels; coherence through the stack at end-diastole, beside the source
cohort's 5 to 95 % band (median, the share inside the band; 0.9 for the source itself); and how F, which selected the
mixtures, and a residual network, another family trained here on four fifths of the source cohort, judge them: the share
that each takes for the class, how often they agree, and the rank correlation of their confidences. First, what the
residual network is worth: the share of each class that it names rightly in the fifth that it has not seen.

    python benchmarks/mixtures.py DATASET [DATASET ...] --source hearts:200 --work DIR
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from synthgen.cohorts.prepared import PreparedStore
from synthgen.cohorts.preprocess import PreparedSubject, prepare
from synthgen.commands.fit import open_cohort
from synthgen.datasets.reader import StoredDataset
from synthgen.diagnosis import judge
from synthgen.engine.generate import CLASSIFIER
from synthgen.evaluation.consistency import measure_consistency
from synthgen.evaluation.study_folder import claim_folder
from synthgen.indices import measure
from synthgen.labels import HEART, Phase
from synthgen.networks.bundle import load_bundle
from synthgen.networks.classifier import CLASSES, subject_confidence
from synthgen.subjects import SourceSubject
from synthgen.training.diagnosis import DiagnosisObjective
from synthgen.training.loop import train
from synthgen.training.pairs import collect_pairs
from synthgen.training.presets import DiagnosisSettings
from synthgen.volumes import Volume, stack_affine

METRICS = (
    *("area_second_difference_lv", "area_second_difference_myo", "area_second_difference_rv"),
    *("centroid_second_difference_mm_lv", "centroid_second_difference_mm_rv"),
    *("adjacent_dice_lv", "adjacent_dice_myo", "adjacent_dice_rv"),
)


def coherence(labels: NDArray[np.uint8], spacing_mm: tuple[float, float, float]) -> dict[str, float]:
    """Measure one stack `(z, H, W)`."""
    hearts = np.where(np.isin(labels, HEART), labels, 0).astype(np.uint8)
    return measure_consistency(Volume(hearts, spacing_mm, stack_affine(spacing_mm, hearts.shape))).as_dict()


def confidences(network: torch.nn.Module, subjects: list[PreparedSubject]) -> NDArray[np.float64]:
    """Return a classifier's `(subjects, 5)` probabilities."""
    rows = []
    for subject in subjects:
        images = torch.from_numpy(collect_pairs([subject]).images.astype(np.float32))
        rows.append(subject_confidence(network.probabilities(images)).numpy())
    return np.array(rows, np.float64)


@click.command(help=__doc__)
@click.argument("datasets", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--source", default="hearts:200", show_default=True)
@click.option("--bundle", "name", default="default", show_default=True, help="Whose F judges.")
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder for the residual network.")
@click.option("--samples", default=40_000, show_default=True, help="Levels that it sees.")
def main(datasets: tuple[Path, ...], source: str, name: str, work: Path, samples: int) -> None:
    """Print the tables."""
    bundle = load_bundle(name)
    grid: Mapping[str, float] = {"pixels": bundle.description.image_size, "spacing_mm": bundle.description.spacing_mm}
    cohort = open_cohort(source)
    claim_folder(work, {"source": cohort.fingerprint(), **grid, "samples": samples})
    store = PreparedStore(work / "source", **grid)
    store.fill(cohort)
    real = list(store)
    unseen = {p: [s for s in real if s.pathology is p][::5] for p in CLASSES}
    seen = [s for s in real if not any(s is other for other in unseen[s.pathology])]
    second = DiagnosisObjective(collect_pairs(seen), DiagnosisSettings(samples=samples, ema=0.99))
    train(second, work_dir=work / "second")
    for number, (pathology, subjects) in enumerate(unseen.items()):
        if not subjects:
            continue
        right = confidences(second.classifier.eval(), subjects).argmax(1) == number
        click.echo(f"residual network, {pathology} unseen: {right.sum()} of {len(right)} right")
    bands = {}
    stacks = [coherence(s.labels[Phase.ED], s.spacing_mm) for s in real]
    for metric in METRICS:
        bands[metric] = np.nanpercentile([stack[metric] for stack in stacks], [5, 95])
    for folder in datasets:
        report(folder, bands, (bundle.network(CLASSIFIER), second.classifier.eval()), grid)


def report(
    folder: Path, bands: Mapping[str, NDArray], networks: tuple[torch.nn.Module, torch.nn.Module], grid: Mapping
) -> None:
    """Print what is found in one dataset."""
    made, prepared = StoredDataset(folder), []
    ruled, rows = 0, []
    for subject in map(made.read, made.ids):
        found = measure(subject.labels, subject.body)
        verdicts = judge(subject.pathology, found, subject.body.sex if subject.body else None)
        ruled += all(verdict.passed for verdict in verdicts if verdict.judged)
        label = subject.labels[Phase.ED]
        rows.append(coherence(label.voxels, label.spacing_mm))
        scan = SourceSubject(
            subject_id=subject.subject_id,
            pathology=subject.pathology,
            vendor=subject.vendor,
            body=subject.body,
            images=subject.images,
            labels=subject.labels,
        )
        prepared.append(prepare(scan, **grid))
    click.echo(f"\n{folder.name}: {len(prepared)} subjects; class rule satisfied by {ruled}")
    for metric, (low, high) in bands.items():
        values = np.array([row[metric] for row in rows])
        measured = values[np.isfinite(values)]
        inside = np.mean((measured >= low) & (measured <= high))
        click.echo(f"{metric:34s}{low:8.3f}-{high:.3f}{np.nanmedian(values):9.3f}{inside:7.2f} inside")
    own = np.array([CLASSES.index(subject.pathology) for subject in prepared])
    f, other = (confidences(network, prepared) for network in networks)
    right = [p.argmax(1) == own for p in (f, other)]
    rank = spearmanr(*(p[np.arange(len(own)), own] for p in (f, other))).statistic
    same = np.mean(f.argmax(1) == other.argmax(1))
    click.echo(f"taken for the class by F {right[0].mean():.3f}, by the residual network {right[1].mean():.3f}")
    click.echo(f"the same class named for {same:.3f}; rank correlation of their confidences {rank:.2f}")


if __name__ == "__main__":
    main()
