"""`Observer`: what training subjects are worth, told by two networks trained on them and tested on other subjects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.cohorts.preprocess import PreparedSubject
from synthgen.evaluation.arms import Rarity
from synthgen.evaluation.overlap import dice_of_subject
from synthgen.evaluation.study_folder import read_scores, write_json
from synthgen.evaluation.surface_distance import hd95_of_subject
from synthgen.evaluation.tiers import Tier
from synthgen.labels import Phase
from synthgen.networks.classifier import CLASSES, subject_confidence
from synthgen.networks.unet import UNet
from synthgen.training.data import collect
from synthgen.training.diagnosis import DiagnosisObjective
from synthgen.training.loop import Progress, train
from synthgen.training.pairs import LevelPairs, collect_pairs
from synthgen.training.segmentation import SegmentationObjective

SCORES_FILE = "scores.json"

Scores = dict[str, dict[str, Any]]


class Observer:
    """Trains a residual classifier and a U-Net, or one of them, and tests what was trained.

    Parameters
    ----------
    sizes
        Networks and budgets.
    test
        Subjects to test on, on the grid of `sizes`.
    rarity
        Which of them count as rare; None: none.
    device
        `cpu` or a CUDA device.
    count
        Called with what is counted, what is done and what there is to do.
    """

    def __init__(
        self,
        sizes: Tier,
        test: Sequence[PreparedSubject],
        rarity: Rarity | None = None,
        *,
        device: str = "cpu",
        count: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        self.sizes, self.test, self.rarity, self.device, self._count = sizes, test, rarity, device, count

    def observe(
        self,
        subjects: Sequence[PreparedSubject],
        folder: Path,
        seed: int,
        *,
        diagnose: bool = True,
        segment: bool = True,
        imitate: Callable[[LevelPairs], LevelPairs] = lambda levels: levels,
    ) -> Scores:
        """Train on `subjects` and return the scores of the test subjects by id, as `ArmScores.subjects` has them.

        Parameters
        ----------
        folder
            Of this training alone; what is finished in it is read, what was interrupted goes on.
        seed
            Of weights, order and motion.
        diagnose, segment
            Whether the classifier is trained, and the U-Net.
        imitate
            Adds levels without anatomy to those that the classifier learns.

        Raises
        ------
        InputError
            If `folder` holds a training on other subjects, or with other settings or another seed.
        """
        out = {subject.subject_id: self._known(subject) for subject in self.test}
        if diagnose:
            pairs = imitate(collect_pairs(subjects))
            diagnosis = DiagnosisObjective(pairs, self.sizes.diagnosis, seed=seed, device=self.device)
            out = self._once(folder / "classifier", diagnosis, lambda: self._diagnose(diagnosis))
        if not segment:
            return out
        found, _ = self.segment(subjects, folder, seed)
        return {name: {**scores, **found[name]} for name, scores in out.items()}

    def segment(
        self, subjects: Sequence[PreparedSubject], folder: Path, seed: int, *, start: UNet | None = None
    ) -> tuple[Scores, UNet]:
        """Train the U-Net alone; return the scores of the test subjects by id, and the network.

        Parameters
        ----------
        folder, seed
            As in `observe`.
        start
            What it starts from instead of random weights; see `SegmentationObjective`.

        Raises
        ------
        InputError
            If `folder` holds another training.
        """
        unet = SegmentationObjective(
            collect(subjects), self.sizes.segmentation, start=start, seed=seed, device=self.device
        )  # fmt: skip
        found = self._once(folder / "segmentor", unet, lambda: self._segment(unet))
        return {s.subject_id: {**self._known(s), **found[s.subject_id]} for s in self.test}, unet.unet

    def _known(self, subject: PreparedSubject) -> dict[str, Any]:
        """Return what is known of a test subject whatever a network says."""
        rare = self.rarity is not None and self.rarity.concerns((subject.pathology, subject.vendor))
        return {"class": str(subject.pathology), "vendor": str(subject.vendor), "rare": rare}

    def _once(
        self, folder: Path, objective: DiagnosisObjective | SegmentationObjective, score: Callable[[], Scores]
    ) -> Scores:
        """Train unless it was done, and return the scores."""

        def report(progress: Progress) -> None:
            self._count(f"samples of {folder.parent.parent.name} {folder.name}", progress.samples, progress.total)

        train(objective, work_dir=folder, report=report)  # refuses the folder of another; loads a finished one
        file = folder / SCORES_FILE
        if not file.exists():
            write_json(file, score())
        return read_scores(file)

    def _diagnose(self, objective: DiagnosisObjective) -> Scores:
        """Return what the classifier takes the test subjects for: their levels vote.

        Levels are those that show the left ventricle in both phases according to the subject's own labels, so that the
        classifier is not blamed for a segmentation.
        """
        pairs = collect_pairs(self.test)
        out: Scores = {}
        for number, subject in enumerate(self.test):
            images = torch.from_numpy(pairs.images[pairs.subjects == number]).to(self.device)
            found = subject_confidence(objective.classifier.probabilities(images)).cpu()
            guess = CLASSES[int(found.argmax())]
            out[subject.subject_id] = {
                **self._known(subject),
                "guess": str(guess),
                "probabilities": {str(p): round(float(found[i]), 6) for i, p in enumerate(CLASSES)},
                "right": int(guess is subject.pathology),
            }
        return out

    def _segment(self, objective: SegmentationObjective) -> Scores:
        """Return Dice coefficients and surface distances of the test subjects."""

        def guess(images: NDArray[np.float32]) -> NDArray[np.uint8]:
            labels: NDArray[np.uint8] = objective.segment(torch.from_numpy(images).to(self.device)).cpu().numpy()
            return labels

        out: Scores = {}
        for subject in self.test:
            guessed: Mapping[Phase, NDArray[np.uint8]] = {phase: guess(subject.images[phase]) for phase in Phase}
            out[subject.subject_id] = {
                "dice": dice_of_subject(guessed, subject.labels),
                "hd95_mm": hd95_of_subject(guessed, subject.labels, subject.spacing_mm),
            }
        return out
