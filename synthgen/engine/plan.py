"""`plan`: from a recipe and a bundle to the subjects that will be made. A pure function; nothing is generated yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from synthgen.counts import LARGEST_COUNT
from synthgen.engine.anatomies import ANATOMIES_FILE
from synthgen.engine.recipe import Condition, Method, Recipe, RendererName
from synthgen.engine.styles import length_of, vendors_of
from synthgen.errors import InputError
from synthgen.factors.copula import Correlation
from synthgen.factors.latents import LATENTS_FILE, LatentBank
from synthgen.labels import Pathology, Vendor
from synthgen.networks.bundle import Bundle
from synthgen.seeding import Stage, numpy_stream


@dataclass(frozen=True, kw_only=True)
class SubjectSpec:
    """One planned subject.

    Attributes
    ----------
    subject_id
        Such as `ARV-A-0001`.
    key
        The subject's number in the keys of all random streams; depends on its condition and its place in it only.
    recipient
        Id of the normal subject that pathology is added to and whose body surrounds the heart.
    severity
        Drawn from the condition's range; a mixture makes no use of it.
    method, renderer
        How anatomy and images are made.
    style
        Style vector of a reference; None: drawn from the vendor's.
    """

    subject_id: str
    seed: int
    key: int
    pathology: Pathology
    vendor: Vendor
    recipient: str
    severity: float
    correlation: Correlation
    max_attempts: int
    method: Method = "latent"
    renderer: RendererName = "spade"
    style: tuple[float, ...] | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the spec as JSON values; a subject's record carries them as its `request`."""
        values = {name: getattr(value, "value", value) for name, value in asdict(self).items()}
        if self.style is None:
            del values["style"]  # such a request is what it was before there were references
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> SubjectSpec:
        """Return the spec that `as_dict` described, so that a subject can be made again from its record.

        Raises
        ------
        InputError
            If a value is missing, unknown or of the wrong kind.
        """
        try:
            return _SPEC.validate_python(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InputError("request", expected=f"{place}: {first['msg']}", got=repr(first["input"])[:80]) from None


_SPEC = TypeAdapter(SubjectSpec)


def plan(recipe: Recipe, bundle: Bundle) -> tuple[SubjectSpec, ...]:
    """Plan every subject of `recipe`.

    Subject k of a condition is the same whatever the count and the other conditions, so a cohort can grow.

    Raises
    ------
    InputError
        If the bundle lacks a class, a vendor, or what a method or renderer needs.
    """
    bank = LatentBank.from_tensors(bundle.tensors(LATENTS_FILE))
    vendors = vendors_of(bundle.description.styles)
    known = ", ".join(p for p in Pathology if p in bank.statistics)
    for condition in recipe.conditions:
        if condition.pathology not in bank.statistics:
            raise InputError(
                f"class {condition.pathology}", expected=f"one that the bundle was fitted on ({known})", got="none"
            )
        if condition.vendor is not None and condition.vendor not in vendors:
            raise InputError(
                f"vendor {condition.vendor}", expected=f"a style of the bundle ({', '.join(vendors)})", got="none"
            )
        length = length_of(bundle.description.styles)
        if condition.style is not None and len(condition.style.vector) != length:
            got = f"{len(condition.style.vector)}"
            expected = f"{length} numbers, as the bundle's styles have"
            raise InputError(
                f"style {condition.style.name}", expected=expected, got=got, hint="Refer to the scan again"
            )
    if recipe.renderer == "sdnet" or any(condition.method == "mix" for condition in recipe.conditions):
        require_factors(bundle)
    ids = [recipient.subject_id for recipient in bank.recipients]
    return tuple(
        _spec(recipe, condition, place, (vendors, ids, _mark(recipe.conditions, number)))
        for number, condition in enumerate(recipe.conditions)
        for place in range(condition.count)
    )


def require_factors(bundle: Bundle) -> None:
    """Refuse a bundle that has no anatomies to mix; InputError says how to get one that has."""
    if ANATOMIES_FILE not in bundle.description.files:
        raise InputError(
            f"bundle {bundle.name}",
            expected="one with the factors of its subjects, for the method mix and the renderer sdnet",
            got="one without",
            hint="Fit it with --keep-anatomy and without --no-mixing; it then holds label maps of its subjects",
        )


def _spec(
    recipe: Recipe, condition: Condition, place: int, supply: tuple[Sequence[Vendor], Sequence[str], str]
) -> SubjectSpec:
    vendors, recipients, mark = supply
    key = condition.key * LARGEST_COUNT + place
    stream = numpy_stream(recipe.seed, key, 0, Stage.PLAN)
    recipient = recipients[int(stream.integers(len(recipients)))]
    low, high = condition.severity
    severity = float(low + (high - low) * stream.random())
    vendor = condition.vendor or vendors[place % len(vendors)]
    return SubjectSpec(
        subject_id=f"{condition.pathology}-{vendor}-{mark}{place + 1:04d}",
        seed=recipe.seed,
        key=key,
        pathology=condition.pathology,
        vendor=vendor,
        recipient=recipient,
        severity=severity,
        correlation=recipe.correlation,
        max_attempts=recipe.max_attempts,
        method=condition.method,
        renderer=recipe.renderer,
        style=None if condition.style is None else condition.style.vector,
    )


def _mark(conditions: Sequence[Condition], number: int) -> str:
    """Return what keeps ids apart when an earlier condition may give the same class and vendor."""
    own = conditions[number]
    rivals = [
        c
        for c in conditions[:number]
        if c.pathology is own.pathology and (c.vendor is own.vendor or c.vendor is None or own.vendor is None)
    ]
    return f"{number + 1}-" if rivals else ""
