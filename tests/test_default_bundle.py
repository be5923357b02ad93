"""The bundle that comes with the package: what a user's first command depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthgen.build import build
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.verify import verify
from synthgen.diagnosis import CLASS_RULES, judge
from synthgen.engine.anatomies import ANATOMIES_FILE, AnatomyBank
from synthgen.engine.generate import SDNET, Generator
from synthgen.engine.plan import plan
from synthgen.engine.recipe import Condition, Recipe
from synthgen.evaluation.consistency import measure_consistency
from synthgen.factors.codes import HeartCodes
from synthgen.fit import trained_alike
from synthgen.indices import measure
from synthgen.labels import HEART, Pathology, Phase, Tissue, Vendor
from synthgen.networks.bundle import load_bundle
from synthgen.subjects import SyntheticSubject
from synthgen.training.presets import SMALL

LARGEST_BYTES = 16 * 10**6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three ARV subjects and one of every other class from the default bundle."""
    out = tmp_path_factory.mktemp("default") / "cohort"
    counts = {pathology: 3 if pathology is Pathology.ARV else 1 for pathology in Pathology}
    build(Recipe(conditions=tuple(Condition(pathology=p, count=n) for p, n in counts.items())), out)
    return out


@pytest.fixture(scope="module")
def subjects(folder: Path) -> list[SyntheticSubject]:
    """The subjects of that dataset."""
    return list(StoredDataset(folder))


def test_it_is_small_and_free() -> None:
    """It fits the repository and was fitted on nobody."""
    bundle = load_bundle("default")
    assert sum(entry.bytes for entry in bundle.description.files.values()) <= LARGEST_BYTES
    assert bundle.description.source.licence == "Apache-2.0"
    assert set(bundle.description.styles) == set(Vendor)


def test_its_segmentor_is_what_a_fit_on_patients_takes() -> None:
    """Trained as the preset `small` says, on today's virtual hearts; else every fit on patients would train one."""
    bundle = load_bundle("default")
    assert trained_alike(bundle, SMALL.segmentor)
    assert not trained_alike(bundle, replace(SMALL.segmentor, hearts=10))


def test_its_factors_show_the_body_too() -> None:
    """Around every normal heart SDNet's factors tell several things apart: none holds nine pixels of ten."""
    bundle = load_bundle("default")
    heart = HeartCodes.of_channels(bundle.network(SDNET).names)
    bank = AnatomyBank.from_tensors(bundle.tensors(ANATOMIES_FILE))
    normal = bank.of_class(Pathology.NOR)
    assert normal
    for name in normal:
        codes = bank[name].codes
        pixels = np.bincount(codes[~heart.show(codes)])
        assert pixels.max() < 0.9 * pixels.sum(), name


@pytest.mark.parametrize("pathology", [p for p in Pathology if p is not Pathology.NOR])
def test_hearts_of_every_class_can_be_mixed(pathology: Pathology) -> None:
    """Of thirty mixtures one passes at least; where J thickened walls F refused all thirty of an ARV subject."""
    bundle = load_bundle("default")
    generator = Generator(bundle)
    recipe = Recipe(conditions=(Condition(pathology=pathology, count=4, method="mix"),), max_attempts=30)
    subjects = [generator.generate(spec) for spec in plan(recipe, bundle)]
    assert {subject.pathology for subject in subjects} == {pathology}


def test_a_build_from_it_verifies(folder: Path) -> None:
    """What it makes is whole."""
    assert verify(folder) == ()


def test_arv_subjects_have_an_abnormal_right_ventricle(subjects: list[SyntheticSubject]) -> None:
    """Measured again on the written labels, every ARV subject satisfies the rule of its class."""
    arv = [s for s in subjects if s.pathology is Pathology.ARV]
    assert len(arv) == 3
    for subject in arv:
        indices = measure(subject.labels, subject.body)
        verdicts = judge(Pathology.ARV, indices, subject.body.sex)
        assert len(verdicts) == len(CLASS_RULES[Pathology.ARV])
        assert all(v.passed for v in verdicts), indices


def test_every_class_contracts(subjects: list[SyntheticSubject]) -> None:
    """The heart is smaller at end-systole, on both sides."""
    for subject in subjects:
        indices = measure(subject.labels, subject.body)
        assert indices.lv_esv_ml < indices.lv_edv_ml, subject.subject_id
        assert indices.rv_esv_ml < indices.rv_edv_ml, subject.subject_id


def test_bodies_have_all_tissues(subjects: list[SyntheticSubject]) -> None:
    """The nine tissues are there in every cohort and the heart in every stack."""
    codes = np.unique(np.concatenate([np.unique(s.labels[Phase.ED].voxels) for s in subjects]))
    assert set(codes) == {t.value for t in Tissue}
    for subject in subjects:
        assert all(set(HEART) <= set(np.unique(subject.labels[p].voxels)) for p in Phase)


def test_stacks_hang_together(subjects: list[SyntheticSubject]) -> None:
    """Adjacent slices overlap as in a scan; slices of different hearts would not."""
    overlap = [measure_consistency(s.labels[Phase.ED]).as_dict()["adjacent_dice_lv"] for s in subjects]
    assert np.median(overlap) > 0.6


def test_blood_is_brighter_than_muscle_and_lung(subjects: list[SyntheticSubject]) -> None:
    """The image shows what the label says: the contrast of a bSSFP cine."""
    for subject in subjects:
        image, label = subject.images[Phase.ED].voxels, subject.labels[Phase.ED].voxels
        blood, muscle, lung = (float(image[label == t].mean()) for t in (Tissue.LV, Tissue.MYO, Tissue.LUNG))
        assert blood > muscle + 0.3, subject.subject_id
        assert muscle > lung, subject.subject_id
