"""`Recipe`: the request for a cohort, a small file that users keep, share and rerun."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from synthgen.counts import LARGEST_COUNT
from synthgen.errors import InputError
from synthgen.factors.copula import Correlation
from synthgen.labels import Pathology, Vendor
from synthgen.whole_file import whole_file

_LARGEST_FILE = 1 << 20

Method = Literal["latent", "mix"]
RendererName = Literal["spade", "sdnet"]

_SEVERITY = (0.8, 1.0)
_Share = Annotated[float, Field(ge=0.0, le=1.0)]


class StyleReference(BaseModel):
    """A style that is not drawn: that of one scan. It carries its numbers, so that nobody needs the scan again.

    Attributes
    ----------
    name
        What the reference is called, such as the scan's file.
    vector
        Style vector of the bundle's encoder, as long as the bundle's styles are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    vector: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = Field(min_length=1)


class Condition(BaseModel):
    """So many subjects of one class.

    Attributes
    ----------
    pathology
        The class.
    vendor
        Whose style the images have; None takes the bundle's vendors in turn.
    count
        Number of subjects.
    severity
        Range to draw from, within [0, 1]: 0 is the normal recipient, 1 the sample of the class. `latent` only.
    method
        How anatomy is made: `latent` draws a heart of the class and interpolates towards it, `mix` puts the structures
        that carry the class from another subject into a normal heart.
    paired
        Whether the anatomy does not depend on the vendor: conditions that differ in vendor alone then have the same
        label maps, subject by subject, and differ in style. `latent` only: mixtures are selected by how they look.
    style
        The style of all images; None draws one per subject from the vendor's. The vendor is then what they are called.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pathology: Pathology
    vendor: Vendor | None = None
    count: int = Field(ge=1, le=LARGEST_COUNT)
    severity: tuple[_Share, _Share] = _SEVERITY
    method: Method = "latent"
    paired: bool = False
    style: StyleReference | None = None

    @field_validator("severity")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError(f"severity {value[0]} to {value[1]} runs backwards")
        return value

    @model_validator(mode="after")
    def _mixtures_have_no_severity(self) -> Self:
        if self.method == "mix" and self.severity != _SEVERITY:
            raise ValueError("severity belongs to the method latent; a mixture has what its donor has")
        return self

    @model_validator(mode="after")
    def _pairs_have_vendors(self) -> Self:
        if self.paired and (self.vendor is None or self.method == "mix"):
            raise ValueError("paired needs a vendor and the method latent")
        return self

    @model_validator(mode="after")
    def _references_are_of_a_vendor(self) -> Self:
        if self.style is not None and self.vendor is None:
            raise ValueError("a style reference needs the vendor whose it is said to be")
        return self

    @model_serializer(mode="wrap")
    def _lean(self, plain: Callable[[Condition], dict[str, object]]) -> dict[str, object]:
        """Leave out what is not asked for and was added later: such a request is what it was before."""
        fields = plain(self)
        if not self.paired:
            fields.pop("paired", None)
        if self.style is None:
            fields.pop("style", None)
        return fields

    @property
    def key(self) -> int:
        """Number of the condition, its count left out: subject k is the same in a cohort of any size.

        Paired conditions that differ in vendor alone share it, and any that differ in their style reference alone.
        """
        low, high = self.severity
        vendor = "any" if self.paired else self.vendor or ""
        content = f"{self.pathology}|{vendor}|{low!r}|{high!r}|{self.method}"
        return int.from_bytes(hashlib.sha256(content.encode()).digest()[:4], "big")


def _shown(value: object) -> str:
    """Return a value at fault in a few words; of a table what was given in it."""
    if not isinstance(value, dict):
        return repr(value)[:80]
    given = {name: entry for name, entry in value.items() if isinstance(entry, str | int | float | tuple)}
    return ", ".join(f"{name} {entry}" for name, entry in given.items())[:80] or "something else"


class Recipe(BaseModel):
    """What is asked for.

    Attributes
    ----------
    conditions
        At least one; two that differ in count only must be merged.
    seed
        Root of all chance; 0 is a seed like any other.
    bundle
        Name of a shipped bundle or path of a folder.
    renderer
        How images are made: `spade` from label maps, `sdnet` from factors.
    correlation
        How latent values of one subject hang together; see `factors.copula.Correlation`.
    max_attempts
        Draws per subject before the request counts as out of reach.
    format
        Container of the voxels. It changes how they are kept, not what they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True, populate_by_name=True)

    schema_: Literal["synthgen/recipe@1"] = Field(default="synthgen/recipe@1", alias="schema")
    conditions: tuple[Condition, ...] = Field(min_length=1)
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    bundle: str = Field(default="default", min_length=1)
    renderer: RendererName = "spade"
    correlation: Correlation = "class"
    max_attempts: int = Field(default=100, ge=1, le=100_000)
    format: Literal["zarr", "hdf5", "nifti"] = "zarr"

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        keys = [(condition.key, condition.vendor, condition.style) for condition in self.conditions]
        if len(set(keys)) != len(keys):
            raise ValueError("two conditions differ in count only; merge them into one")
        return self

    @model_validator(mode="after")
    def _references_are_rendered(self) -> Self:
        if self.renderer == "sdnet" and any(condition.style for condition in self.conditions):
            raise ValueError("style references are for the renderer spade; SDNet has styles of its own")
        return self

    @property
    def count(self) -> int:
        """Number of subjects in all."""
        return sum(condition.count for condition in self.conditions)

    def as_dict(self) -> dict[str, object]:
        """Return the recipe as JSON values."""
        return self.model_dump(mode="json", by_alias=True)

    def save(self, path: Path | str) -> None:
        """Write the recipe as JSON, whole or not at all; SynthgenError if that fails."""
        with whole_file(Path(path)) as staged:
            staged.write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def parse(cls, values: object, *, subject: str | Path = "recipe") -> Self:
        """Check JSON values.

        Raises
        ------
        InputError
            Naming `subject`, the field at fault and what it should have been.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "recipe"
            expected = first["msg"].removeprefix("Value error, ")
            raise InputError(subject, expected=f"{place}: {expected}", got=_shown(first.get("input"))) from None

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a recipe.

        Raises
        ------
        InputError
            If the file is missing, larger than 1 MiB, not JSON or not a recipe.
        """
        path = Path(path)
        try:
            size = path.stat().st_size
            if not path.is_file() or size > _LARGEST_FILE:
                raise InputError(
                    path, expected="a recipe file below 1 MiB", got=f"{size} bytes" if path.is_file() else "no file"
                )
            values = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(path, expected="a recipe in JSON", got=f"{type(error).__name__}: {error}") from error
        return cls.parse(values, subject=path)
