"""Mixed hearts: one heart through the stack, of their class, and the same to two kinds of classifiers.

Of every dataset (built with `--method mix`, or `latent` beside it): the share of subjects that satisfy the rule of
their class, measured again on the written labels; how many attempts a subject took; coherence through the stack at
end-diastole, beside the source cohort's 5 to 95 % band (median, the share inside the band; 0.9 for the source itself);
and how F, which selected the mixtures, and residual networks, another family trained on simulated hearts alone, judge
them: the share that each takes for the class, how often they agree, and the rank correlation of their confidences. The
residual networks are those of the arm `oracle` of a study by class at the standard tier (`synthgen evaluate rebalance
hearts:150 --tier standard --out STUDY`), none without it; what they make of unseen hearts of the class, and how often
they take others for it, is said first.

    python benchmarks/mixtures.py DATASET [DATASET ...] [--study STUDY] --source hearts:80 --work DIR
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy.stats import spearmanr

from synthgen.cohorts.prepared import PreparedStore
from synthgen.cohorts.preprocess import PreparedSubject, prepare
from synthgen.datasets.reader import StoredDataset
from synthgen.diagnosis import judge
from synthgen.engine.generate import CLASSIFIER
from synthgen.evaluation.consistency import measure_consistency
from synthgen.evaluation.observer import SCORES_FILE
from synthgen.evaluation.study_folder import claim_folder, read_scores
from synthgen.evaluation.tiers import TIERS
from synthgen.indices import measure
from synthgen.labels import HEART, Pathology, Phase
from synthgen.networks.bundle import load_bundle
from synthgen.networks.classifier import CLASSES, subject_confidence
from synthgen.networks.residual_classifier import ResidualClassifier
from synthgen.sources import open_cohort
from synthgen.subjects import SourceSubject
from synthgen.training.loop import SNAPSHOT
from synthgen.training.pairs import collect_pairs
from synthgen.volumes import Volume, stack_affine

SIZES = TIERS["standard"]
_OWN = "module/diagnosis/"
"""Before the names of a classifier's weights in a snapshot."""

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


def judges(study: Path, pathology: Pathology) -> list[ResidualClassifier]:
    """Return the classifiers of the arm `oracle`, after saying what they are worth for the class."""
    out = []
    for folder in sorted(study.glob("arms/oracle/seed-*/classifier")):
        scores = read_scores(folder / SCORES_FILE).values()
        guesses = {own: [s["guess"] for s in scores if (s["class"] == pathology) is own] for own in (True, False)}
        shares = [np.mean([guess == pathology for guess in guesses[own]]) for own in (True, False)]
        click.echo(f"{folder.parent.name}: of unseen {pathology} {shares[0]:.2f} named so, of others {shares[1]:.2f}")
        network = ResidualClassifier(**SIZES.diagnosis.network)
        weights = load_file(folder / SNAPSHOT)
        network.load_state_dict({n.removeprefix(_OWN): w for n, w in weights.items() if n.startswith(_OWN)})
        out.append(network.eval())
    return out


@click.command(help=__doc__)
@click.argument("datasets", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--study", type=click.Path(exists=True, path_type=Path), help="Whose residual networks judge.")
@click.option("--source", default="hearts:80", show_default=True)
@click.option("--bundle", "name", default="default", show_default=True, help="Whose F judges.")
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder for the prepared source.")
def main(datasets: tuple[Path, ...], study: Path | None, source: str, name: str, work: Path) -> None:
    """Print the tables."""
    bundle = load_bundle(name)
    grid: Mapping[str, float] = {"pixels": bundle.description.image_size, "spacing_mm": bundle.description.spacing_mm}
    cohort = open_cohort(source)
    claim_folder(work, {"source": cohort.fingerprint(), **grid})
    store = PreparedStore(work / "source", **grid)
    store.fill(cohort)
    stacks = [coherence(s.labels[Phase.ED], s.spacing_mm) for s in store]
    bands = {metric: np.nanpercentile([stack[metric] for stack in stacks], [5, 95]) for metric in METRICS}
    for folder in datasets:
        report(folder, bands, (bundle.network(CLASSIFIER), grid), study)


def report(
    folder: Path,
    bands: Mapping[str, NDArray],
    selecting: tuple[torch.nn.Module, Mapping[str, float]],
    study: Path | None,
) -> None:
    """Print what is found in one dataset."""
    made, scans = StoredDataset(folder), []
    ruled, rows, attempts = 0, [], []
    for subject in map(made.read, made.ids):
        found = measure(subject.labels, subject.body)
        verdicts = judge(subject.pathology, found, subject.body.sex if subject.body else None)
        ruled += all(verdict.passed for verdict in verdicts if verdict.judged)
        attempts.append(int(subject.record["attempt"]) + 1)
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
        scans.append(scan)
    click.echo(f"\n{folder.name}: {len(scans)} subjects; class rule satisfied by {ruled}")
    first = np.mean(np.array(attempts) == 1)
    click.echo(f"attempts per subject: mean {np.mean(attempts):.1f}, one for {first:.2f}, at most {max(attempts)}")
    for metric, (low, high) in bands.items():
        values = np.array([row[metric] for row in rows])
        measured = values[np.isfinite(values)]
        inside = np.mean((measured >= low) & (measured <= high))
        click.echo(f"{metric:34s}{low:8.3f}-{high:.3f}{np.nanmedian(values):9.3f}{inside:7.2f} inside")
    own = np.array([CLASSES.index(scan.pathology) for scan in scans])
    network, grid = selecting
    f = confidences(network, [prepare(scan, **grid) for scan in scans])
    click.echo(f"taken for the class by F: {np.mean(f.argmax(1) == own):.3f}")
    if study is None:
        return
    seen = [prepare(scan, pixels=SIZES.pixels, spacing_mm=SIZES.spacing_mm) for scan in scans]
    for judge_of_class in judges(study, scans[0].pathology):
        other = confidences(judge_of_class, seen)
        rank = spearmanr(*(p[np.arange(len(own)), own] for p in (f, other))).statistic
        same, right = np.mean(f.argmax(1) == other.argmax(1)), np.mean(other.argmax(1) == own)
        click.echo(f"  by this network {right:.3f}; as F {same:.3f}; rank correlation of confidences {rank:.2f}")


if __name__ == "__main__":
    main()
