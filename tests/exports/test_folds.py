from __future__ import annotations

from collections import Counter

from synthgen.exports.folds import FOLDS, assign_folds


def test_folds_are_even_and_hold_every_class(source):
    """Thirty subjects of three classes: six in each fold, two of each class."""
    entry = source.manifest.subjects[0]
    entries = [
        entry.model_copy(update={"id": f"{name}-{number:02d}", "pathology": name})
        for name in ("ARV", "HCM", "NOR")
        for number in range(10)
    ]
    folds = assign_folds(reversed(entries))
    assert Counter(folds.values()) == dict.fromkeys(range(FOLDS), 6)
    counts = Counter((folds[e.id], e.pathology) for e in entries)
    assert set(counts.values()) == {2}
    assert assign_folds(entries) == folds
