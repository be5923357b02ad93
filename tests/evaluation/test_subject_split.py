"""The division of a cohort: by subject, by class, and in an order of labelling that more labels only extend."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.errors import InputError
from synthgen.evaluation.subject_split import split_subjects
from synthgen.labels import Pathology

ACDC = [pathology for pathology in Pathology for _ in range(20)]


def test_acdc_is_divided_70_to_30_in_every_class() -> None:
    """Of 20 subjects per class 14 train and 6 test; of 70, a fraction of 0.06 labels 4 and of 0.015 one."""
    split = split_subjects(ACDC)
    assert Counter(ACDC[i] for i in split.train) == dict.fromkeys(Pathology, 14)
    assert Counter(ACDC[i] for i in split.test) == dict.fromkeys(Pathology, 6)
    assert [len(split.labelled(fraction)) for fraction in (1, 0.25, 0.06, 0.015)] == [70, 18, 4, 1]


@given(st.lists(st.sampled_from(Pathology), min_size=4, max_size=60), st.integers(0, 5))
def test_everybody_is_on_one_side(classes: list[Pathology], seed: int) -> None:
    """Every subject trains or tests, none does both, and 30 % test, to a subject, over all and in every class."""
    split = split_subjects(classes, seed=seed)
    assert sorted(split.train + split.test) == list(range(len(classes)))
    assert len(split.test) == round(0.3 * len(classes))
    for pathology, count in Counter(classes[i] for i in split.test).items():
        assert abs(count - 0.3 * classes.count(pathology)) <= 1


def test_more_labels_extend_fewer_and_classes_take_turns() -> None:
    """Whoever is labelled among few is so among more; the first five are one of each class, and so are the next."""
    split = split_subjects(ACDC, seed=3)
    assert split.labelled(0.25)[:4] == split.labelled(0.06)
    assert {ACDC[i] for i in split.train[:5]} == {ACDC[i] for i in split.train[5:10]} == set(Pathology)


def test_the_seed_decides() -> None:
    """The same seed gives the same division, another seed another one, and another first patient."""
    assert split_subjects(ACDC, seed=1) == split_subjects(ACDC, seed=1)
    assert len({split_subjects(ACDC, seed=seed).test for seed in range(5)}) == 5
    assert len({ACDC[split_subjects(ACDC, seed=seed).train[0]] for seed in range(20)}) > 2


@pytest.mark.parametrize("fraction", [0.0, -0.1, 6.0, float("nan")])
def test_a_fraction_is_a_fraction(fraction: float) -> None:
    """Nothing, less than nothing, percent and NaN are input errors."""
    with pytest.raises(InputError, match="fraction"):
        split_subjects(ACDC).labelled(fraction)


def test_a_cohort_too_small_to_be_divided_is_refused() -> None:
    """One subject cannot train and test."""
    with pytest.raises(InputError, match="cohort"):
        split_subjects([Pathology.NOR])
