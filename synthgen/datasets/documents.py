"""JSON files of a dataset: one canonical text per content, and a first line that protects the rest."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from synthgen.datasets.files import read_bytes
from synthgen.errors import DamageError, InputError

MAX_DOCUMENT_BYTES = 1 << 28


class Frozen(BaseModel):
    """Base of everything that is written: immutable, no unknown key, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


def plain(value: object) -> object:
    """Return `value` as plain JSON.

    Numpy numbers and arrays, enums, paths, models and tuples are converted; NaN and infinity become None.

    Raises
    ------
    InputError
        If something in it has no JSON form.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return _scalar(value)


def _scalar(value: object) -> object:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return value.as_posix()
    raise InputError("record", expected="values with a JSON form", got=f"a {type(value).__name__}")


def plain_object(mapping: Mapping[str, object]) -> dict[str, Any]:
    """Return a mapping as a plain JSON object; raises as `plain`."""
    return {str(key): plain(value) for key, value in mapping.items()}


def canonical_json(value: object) -> bytes:
    """Return the one UTF-8 JSON text of `value`: keys sorted, no spaces, shortest floats, nothing escaped needlessly.

    As RFC 8785, except that floats are written the way Python writes them.
    """
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


_OPENING, _CLOSING = b'{"digest": "sha256:', b'",\n'
_FIRST_LINE = len(_OPENING) + 64 + len(_CLOSING)


def render_document(content: Mapping[str, object]) -> bytes:
    """Return a JSON text that protects itself: its first line holds the SHA-256 of all bytes after that line.

    One line per key, and one per element of a list of objects, so that version control shows what changed.
    """
    lines = []
    for key, value in sorted(content.items()):
        name = json.dumps(key)
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            items = b",\n  ".join(canonical_json(item) for item in value)
            lines.append(name.encode() + b": [\n  " + items + b"\n ]")
        else:
            lines.append(name.encode() + b": " + canonical_json(value))
    rest = b" " + b",\n ".join(lines) + b"\n}\n"
    return _OPENING + hashlib.sha256(rest).hexdigest().encode() + _CLOSING + rest


Model = TypeVar("Model", bound=Frozen)


def parse_document(raw: bytes, model: type[Model], where: str) -> Model:
    """Return the validated content of a text made by `render_document`.

    Raises
    ------
    DamageError
        If the text is not what was written.
    InputError
        If it is whole, but not of this schema.
    """
    first, rest = raw[:_FIRST_LINE], raw[_FIRST_LINE:]
    if first != _OPENING + hashlib.sha256(rest).hexdigest().encode() + _CLOSING:
        raise DamageError(f"{where}: changed since it was written (its SHA-256 does not match).")
    try:
        return model.model_validate_json(b"{" + rest)
    except ValidationError as error:
        first_error = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first_error["loc"]) or "its content"
        expected = str(model.model_fields["schema_"].default) if "schema_" in model.model_fields else model.__name__
        raise InputError(where, expected=expected, got=f"{place}: {first_error['msg']}") from None


class Document(Frozen):
    """A frozen model that is a file of its own."""

    def to_bytes(self) -> bytes:
        """Return the text of the file."""
        content = self.model_dump(mode="json", by_alias=True)
        return render_document(content)

    @classmethod
    def read(cls, root: Path, relative: str) -> Self:
        """Read the file `relative` of the dataset `root`; DamageError or InputError if it is not whole."""
        return parse_document(read_bytes(root, relative, MAX_DOCUMENT_BYTES), cls, f"{root.name}/{relative}")
