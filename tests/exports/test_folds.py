from __future__ import annotations

from collections import Counter

from synthgen.exports.folds import FOLDS, assign_folds


def test_folds_are_even_and_hold_every_class(source):
    """Thirty subjects of three classes: six in each fold, two of each class."""
    entry = source.manifest.subjects[0]
    entries = [
        entry.model_copy(update={"id": f"{name}-{number:02d}", "pathology": name, "anatomy": f"{name}-{number:02d}"})
        for name in ("ARV", "HCM", "NOR")
        for number in range(10)
    ]
    folds = assign_folds(reversed(entries))
    assert Counter(folds.values()) == dict.fromkeys(range(FOLDS), 6)
    counts = Counter((folds[e.id], e.pathology) for e in entries)
    assert set(counts.values()) == {2}
    assert assign_folds(entries) == folds


def test_subjects_of_one_anatomy_share_a_fold(source):
    """Ten hearts in three styles each, varied or with one label map: as many of them in each fold, none divided."""
    entry = source.manifest.subjects[0]
    entries = [
        entry.model_copy(update={"id": f"HCM-{vendor}-{number:02d}", "vendor": vendor, "anatomy": f"{number:02d}"})
        for vendor in "ABC"
        for number in range(10)
    ]
    folds = assign_folds(entries)
    assert Counter(folds.values()) == dict.fromkeys(range(FOLDS), 6)
    assert len({(e.anatomy, folds[e.id]) for e in entries}) == 10
    same = [e.model_copy(update={"anatomy": None}) for e in entries[:3]]
    assert set(assign_folds(same).values()) == {0}
