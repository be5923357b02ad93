"""The arms of the rebalance experiment: who trains in each of them, and what is added. Plans only; nothing is made.

Thermos et al. 2021 (DAA-GAN, doi 10.1007/978-3-030-87199-4_15, Table 1) add generated subjects to a balanced set, to a
rare class and to a rare vendor. Beside their arms stand three controls that tell what a gain is worth: the rare
subjects repeated, more of the kind that is rare (what a generator can hardly beat), and subjects of a wrong class. One
arm goes further than the paper: all train in rendered images, so that the look of an image tells nothing of its class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Literal

from synthgen.engine.balance import Kind, balance
from synthgen.engine.recipe import Condition, Method
from synthgen.errors import InputError
from synthgen.labels import Pathology, Vendor

By = Literal["class", "vendor", "set"]

ORIGINAL, OVERSAMPLING, MIX, LATENT, RENDERED, ORACLE, WRONG_CLASS, SPADE, ACGAN = (
    "original", "oversampling", "mix", "latent", "rendered", "oracle", "wrong-class", "spade", "acgan",
)  # fmt: skip
ARMS = (ORIGINAL, OVERSAMPLING, MIX, LATENT, RENDERED, ORACLE, WRONG_CLASS, SPADE, ACGAN)
"""The arms of the experiment, in the order in which they are trained."""

ABLATIONS = ("mix-without-j", "mix-without-f", "mix-without-both")
"""Mixtures that J did not mend, that F did not select, and neither; made only when asked for by name."""

UNSEGMENTED = (WRONG_CLASS, ACGAN)
"""Arms that train the classifier alone: label maps of another class are right label maps, and AC-GAN makes none."""

_KEPT = 4
"""Rare training subjects when nothing is said."""


@dataclass(frozen=True, kw_only=True)
class Rarity:
    """What is under-represented.

    Attributes
    ----------
    by
        `class`, `vendor`, or `set`: a balanced set, which is to become twice as large.
    rare
        The class or the vendor; None for a set.
    keep
        How many rare subjects train, with `set` of each class; None: 4, and all of a set.
    fill
        How many times over the arms add what is missing; 1: as many as of the largest class or vendor are there then.

    Raises
    ------
    InputError
        If `rare` is not of the kind that `by` names, or `keep` or `fill` is below 1.
    """

    by: By = "class"
    rare: Pathology | Vendor | None = Pathology.ARV
    keep: int | None = None
    fill: int = 1

    def __post_init__(self) -> None:
        """Refuse what is no rarity."""
        wanted: dict[str, type] = {"class": Pathology, "vendor": Vendor, "set": type(None)}
        if self.by not in wanted:
            raise InputError("by", expected=f"one of {', '.join(wanted)}", got=repr(self.by))
        if not isinstance(self.rare, wanted[self.by]):
            expected = "nothing with by set" if self.by == "set" else f"a {self.by}"
            raise InputError("rare", expected=expected, got=f"{self.rare}")
        if self.keep is not None and self.keep < 1:
            raise InputError("keep", expected="at least 1 subject", got=f"{self.keep}")
        if self.fill < 1:
            raise InputError("fill", expected="at least 1", got=f"{self.fill}")

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms that mean something: a whole set repeated is the set, and no class of it is the wrong one."""
        if self.by == "class":
            return ARMS
        without = {"vendor": (WRONG_CLASS,), "set": (WRONG_CLASS, OVERSAMPLING)}[self.by]
        return tuple(arm for arm in ARMS if arm not in without)

    def concerns(self, kind: Kind) -> bool:
        """Return whether a subject of this class and vendor is one of the rare; of a set, none is."""
        return self.rare in kind

    def thin(self, kinds: Sequence[Kind]) -> tuple[int, ...]:
        """Return the numbers of the subjects that train, those that come first of the rare ones.

        Parameters
        ----------
        kinds
            Class and vendor of all subjects that may train, in an order in which classes take turns.

        Raises
        ------
        InputError
            If there is no rare subject.
        """
        left = (_KEPT if self.by != "set" else len(kinds)) if self.keep is None else self.keep
        groups: list[Pathology | Vendor | None] = [*Pathology] if self.by == "set" else [self.rare]
        quota = dict.fromkeys(groups, left)
        kept = []
        for number, kind in enumerate(kinds):
            group: Pathology | Vendor | None = kind[0] if self.by == "set" else self.rare
            if self.by == "set" or self.concerns(kind):
                quota[group] -= 1
                if quota[group] < 0:
                    continue
            kept.append(number)
        if self.by != "set" and quota[self.rare] == left:
            raise InputError(
                "rare", expected=f"a {self.by} of the training subjects", got=f"{self.rare}, which none is"
            )
        return tuple(kept)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Who trains.

    Attributes
    ----------
    name
        One of `ARMS`.
    kept
        Numbers of the original subjects.
    repeated
        Numbers of original subjects that come once more each time that they are named here.
    rerendered
        Numbers of original subjects whose label maps get new images, each in the style of a vendor (None: in turn).
    generated
        What the generator makes.
    simulated
        What the simulator makes.
    imitated
        What AC-GAN makes.
    called
        Class that the generated subjects are said to have; None: their own.
    refine, select
        Whether J mends mixtures and F selects them.
    redrawn
        Whether the original subjects train in new images of their label maps, each in its vendor's style.
    """

    name: str
    kept: tuple[int, ...]
    repeated: tuple[int, ...] = ()
    rerendered: tuple[tuple[int, Vendor | None], ...] = ()
    generated: tuple[Condition, ...] = ()
    simulated: tuple[Condition, ...] = ()
    imitated: tuple[Condition, ...] = ()
    called: Pathology | None = None
    refine: bool = True
    select: bool = True
    redrawn: bool = False

    @property
    def added(self) -> int:
        """Number of subjects beside the kept ones."""
        made = sum(condition.count for condition in (*self.generated, *self.simulated, *self.imitated))
        return len(self.repeated) + len(self.rerendered) + made


def plan_arm(name: str, kinds: Sequence[Kind], rarity: Rarity) -> Arm:
    """Plan one arm; all but `original` add equally many subjects.

    Rare classes and vendors are filled up to the largest of the others, or by `rarity.fill` times as many subjects. A
    vendor's gap is filled with the classes in the proportions of the whole set.

    Parameters
    ----------
    kinds
        Class and vendor of all subjects that may train, in an order in which classes take turns.

    Raises
    ------
    InputError
        If the arm means nothing with this rarity, or what is called rare is not.
    """
    if name not in (*rarity.arms, *ABLATIONS):
        raise InputError("arm", expected=f"one of {', '.join(rarity.arms)} by {rarity.by}", got=repr(name))
    kept = rarity.thin(kinds)
    missing = _missing([kinds[i] for i in kept], rarity, "mix" if name == MIX or name in ABLATIONS else "latent")
    count = sum(condition.count for condition in missing)
    rare = [i for i in kept if rarity.concerns(kinds[i])]
    arm = Arm(name=name, kept=kept)
    if name == OVERSAMPLING:
        arm = replace(arm, repeated=tuple(islice(cycle(rare), count)))
    elif name in (MIX, LATENT, RENDERED):
        arm = replace(arm, generated=missing, redrawn=name == RENDERED)
    elif name in ABLATIONS:
        without_j, without_f, _ = ABLATIONS
        arm = replace(arm, generated=missing, refine=name == without_f, select=name == without_j)
    elif name == ORACLE:
        arm = replace(arm, simulated=missing)
    elif name == ACGAN:
        arm = replace(arm, imitated=missing)
    elif name == SPADE:
        arm = replace(arm, rerendered=_rerendered(kept, kinds, rarity, missing))
    elif name == WRONG_CLASS and isinstance(rarity.rare, Pathology):
        other = Pathology.NOR if rarity.rare is not Pathology.NOR else Pathology.HCM
        arm = replace(arm, generated=(Condition(pathology=other, count=count),), called=rarity.rare)
    return arm


def _missing(kinds: Sequence[Kind], rarity: Rarity, method: Method) -> tuple[Condition, ...]:
    """Return what fills up what is rare, as many times over as it says."""
    if rarity.by == "set":
        counts = Counter(pathology for pathology, _ in kinds)
        return tuple(
            Condition(pathology=p, count=counts[p] * rarity.fill, method=method) for p in Pathology if counts[p]
        )
    sizes: Counter[Pathology | Vendor | None] = Counter(
        pathology if rarity.by == "class" else vendor for pathology, vendor in kinds
    )
    if sizes[rarity.rare] == max(sizes.values()):
        got = f"{sizes[rarity.rare]} of {rarity.rare} in training, as many as of any other"
        raise InputError("keep", expected=f"fewer subjects of the rare {rarity.by} than of another", got=got)
    of_kind = balance(kinds, rarity.by, method, rarity.fill)
    return tuple(c for c in of_kind if rarity.rare in (c.pathology, c.vendor))


def _rerendered(
    kept: Sequence[int], kinds: Sequence[Kind], rarity: Rarity, missing: Sequence[Condition]
) -> tuple[tuple[int, Vendor | None], ...]:
    """Return whose label maps get new images: of the rare class; for a rare vendor, of the others in its style."""
    out: list[tuple[int, Vendor | None]] = []
    for condition in missing:
        others = [i for i in kept if kinds[i][0] is condition.pathology]
        if rarity.by == "vendor":
            others = [i for i in others if not rarity.concerns(kinds[i])] or others
        out += [(i, condition.vendor) for i in islice(cycle(others), condition.count)]
    return tuple(out)
