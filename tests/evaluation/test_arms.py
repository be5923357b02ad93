"""The plan of every arm: who trains, how many are added, of which class and vendor, and what they are called."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from synthgen.errors import InputError
from synthgen.evaluation.arms import (
    ABLATIONS,
    ACGAN,
    ARMS,
    LATENT,
    ORACLE,
    ORIGINAL,
    OVERSAMPLING,
    RENDERED,
    SPADE,
    WRONG_CLASS,
    Rarity,
    plan_arm,
)
from synthgen.labels import Pathology, Vendor

KINDS = [(list(Pathology)[i % 5], list(Vendor)[(i // 5) % 4]) for i in range(40)]
BY_CLASS = Rarity(by="class", rare=Pathology.ARV, keep=2)
BY_VENDOR = Rarity(by="vendor", rare=Vendor.D, keep=3)
BY_SET = Rarity(by="set", rare=None)


@pytest.mark.parametrize("rarity", [BY_CLASS, BY_VENDOR, BY_SET], ids=lambda rarity: rarity.by)
def test_all_arms_keep_the_same_and_add_as_many(rarity: Rarity) -> None:
    """Only what is added differs, never its number; the original arm adds nothing."""
    plans = [plan_arm(name, KINDS, rarity) for name in rarity.arms]
    assert len({arm.kept for arm in plans}) == 1
    assert plans[0].name == ORIGINAL
    assert plans[0].added == 0
    assert {arm.added for arm in plans[1:]} == {{"class": 6, "vendor": 7, "set": 40}[rarity.by]}


def test_a_rare_class_is_filled_up_to_the_largest() -> None:
    """Two of eight ARV subjects remain, the first; six are repeated, generated or simulated of that class."""
    arms = {name: plan_arm(name, KINDS, BY_CLASS) for name in ARMS}
    kept = arms[ORIGINAL].kept
    assert Counter(KINDS[i][0] for i in kept) == {p: 2 if p is Pathology.ARV else 8 for p in Pathology}
    assert [i for i in kept if KINDS[i][0] is Pathology.ARV] == [4, 9]
    assert arms[OVERSAMPLING].repeated == (4, 9, 4, 9, 4, 9)
    for name, method in (("mix", "mix"), (LATENT, "latent")):
        (wanted,) = arms[name].generated
        assert (wanted.pathology, wanted.count, wanted.method, wanted.vendor) == (Pathology.ARV, 6, method, None)
    (wanted,) = arms[ORACLE].simulated
    assert (wanted.pathology, wanted.count) == (Pathology.ARV, 6)
    (wanted,) = arms[ACGAN].imitated
    assert (wanted.pathology, wanted.count) == (Pathology.ARV, 6)
    assert arms[SPADE].rerendered == tuple((i, None) for i in (4, 9, 4, 9, 4, 9))


def test_all_train_in_rendered_images_in_one_arm_alone() -> None:
    """What is added is what latent draws add; the original subjects are redrawn, in no other arm."""
    arms = {name: plan_arm(name, KINDS, BY_CLASS) for name in (*ARMS, *ABLATIONS)}
    assert arms[RENDERED] == replace(arms[LATENT], name=RENDERED, redrawn=True)
    assert [name for name, arm in arms.items() if arm.redrawn] == [RENDERED]


def test_ablations_are_mixtures_without_a_part() -> None:
    """J, F and both are left out in turn; nothing else changes, and no study makes them unasked."""
    mixed = plan_arm("mix", KINDS, BY_CLASS)
    found = {name: plan_arm(name, KINDS, BY_CLASS) for name in ABLATIONS}
    assert all(arm.generated == mixed.generated and arm.kept == mixed.kept for arm in found.values())
    assert [(arm.refine, arm.select) for arm in found.values()] == [(False, True), (True, False), (False, False)]
    assert (mixed.refine, mixed.select) == (True, True)
    assert not set(ABLATIONS) & set(BY_CLASS.arms)


@pytest.mark.parametrize("rare", Pathology)
def test_the_wrong_class_is_another_one_under_the_rare_name(rare: Pathology) -> None:
    """As many subjects as the rare class lacks, of another class, are called rare; no other arm renames."""
    rarity = Rarity(by="class", rare=rare, keep=1)
    arm = plan_arm(WRONG_CLASS, KINDS, rarity)
    assert arm.called is rare
    assert [(c.pathology is rare, c.count) for c in arm.generated] == [(False, 7)]
    assert all(plan_arm(name, KINDS, rarity).called is None for name in ARMS if name != WRONG_CLASS)


def test_a_rare_vendor_is_filled_with_the_classes_of_the_set() -> None:
    """Three of ten subjects of vendor D remain; what is made is of vendor D, and what is rendered anew becomes so."""
    arms = {name: plan_arm(name, KINDS, BY_VENDOR) for name in BY_VENDOR.arms}
    assert Counter(KINDS[i][1] for i in arms[ORIGINAL].kept)[Vendor.D] == 3
    for conditions in (arms[LATENT].generated, arms[ORACLE].simulated):
        assert {c.vendor for c in conditions} == {Vendor.D}
        assert len(conditions) == 5
    assert {KINDS[i][1] for i in arms[OVERSAMPLING].repeated} == {Vendor.D}
    assert {vendor for _, vendor in arms[SPADE].rerendered} == {Vendor.D}
    assert Vendor.D not in {KINDS[i][1] for i, _ in arms[SPADE].rerendered}


def test_a_set_becomes_twice_as_large() -> None:
    """Every class gets as many as it has; `keep` thins all classes alike."""
    arm = plan_arm(LATENT, KINDS, Rarity(by="set", rare=None, keep=3))
    assert Counter(KINDS[i][0] for i in arm.kept) == dict.fromkeys(Pathology, 3)
    assert {c.pathology: c.count for c in arm.generated} == dict.fromkeys(Pathology, 3)
    assert sorted(i for i, _ in plan_arm(SPADE, KINDS, BY_SET).rerendered) == list(range(40))


@pytest.mark.parametrize("rarity", [BY_CLASS, BY_VENDOR, BY_SET], ids=lambda rarity: rarity.by)
def test_a_gap_is_filled_as_often_as_is_asked(rarity: Rarity) -> None:
    """Every arm but the original adds three times as much of the same, and keeps the same subjects."""
    for name in rarity.arms:
        once, thrice = (plan_arm(name, KINDS, replace(rarity, fill=fill)) for fill in (1, 3))
        assert thrice.added == 3 * once.added
        assert thrice.kept == once.kept
        assert [c.model_copy(update={"count": c.count * 3}) for c in once.generated] == list(thrice.generated)
        assert thrice.repeated[: len(once.repeated)] == once.repeated


def test_arms_without_meaning_are_refused() -> None:
    """A whole set repeated is the set, a vendor has no wrong class, and unknown arms are unknown."""
    for rarity, name in ((BY_SET, OVERSAMPLING), (BY_SET, WRONG_CLASS), (BY_VENDOR, WRONG_CLASS), (BY_CLASS, "gan")):
        with pytest.raises(InputError, match="arm"):
            plan_arm(name, KINDS, rarity)


def test_what_is_not_rare_is_said() -> None:
    """A class that is as large as the others, or that nobody has, has no gap."""
    with pytest.raises(InputError, match="keep"):
        plan_arm(LATENT, KINDS, Rarity(rare=Pathology.ARV, keep=8))
    with pytest.raises(InputError, match="ARV"):
        Rarity(rare=Pathology.ARV).thin([(Pathology.NOR, Vendor.A)])


@pytest.mark.parametrize(
    "values",
    [{"by": "class", "rare": Vendor.A}, {"by": "vendor", "rare": None}, {"by": "set"}, {"keep": 0}, {"fill": 0}],
)
def test_bad_rarities_are_named(values: dict) -> None:
    """A rarity must be of the kind that it is said to be."""
    with pytest.raises(InputError):
        Rarity(**values)
