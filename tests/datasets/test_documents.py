from __future__ import annotations

import enum
import json
import math
from hashlib import sha256
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.datasets.documents import canonical_json, parse_document, plain, render_document
from synthgen.datasets.manifest import Plan, this_program
from synthgen.errors import DamageError, InputError
from synthgen.labels import Pathology

GENERATOR = {"name": "synthgen", "version": "1"}
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_JSON = st.recursive(
    _LEAVES.filter(lambda v: not isinstance(v, str) or v.isprintable()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(_JSON)
@settings(max_examples=100, deadline=None)
def test_canonical_json_is_a_fixed_point(value):
    """Reading canonical JSON and writing it again gives the same bytes, so a hash survives a round trip."""
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    """Two mappings with equal content have equal bytes."""
    assert canonical_json({"b": 1, "a": [1.5]}) == canonical_json({"a": [1.5], "b": 1}) == b'{"a":[1.5],"b":1}'


def test_everything_numerical_becomes_plain_json():
    """Numpy values, enums, tuples, sets and paths have their obvious form; NaN and infinity become null."""

    class Colour(enum.Enum):
        RED = 7

    value = {
        Pathology.NOR: np.float32(0.5),
        "array": np.arange(3),
        "odd": [np.nan, math.inf, np.bool_(True)],
        "tuple": (1, Colour.RED),
        "set": {2, 1},
        "path": PurePosixPath("a/b"),
    }
    expected = {
        "NOR": 0.5,
        "array": [0, 1, 2],
        "odd": [None, None, True],
        "tuple": [1, 7],
        "set": [1, 2],
        "path": "a/b",
    }
    assert plain(value) == expected


@pytest.mark.parametrize("value", [b"bytes", object(), {"a": lambda: None}])
def test_what_has_no_json_form_is_refused(value):
    """Anything else is an InputError, not a silent string."""
    with pytest.raises(InputError, match="JSON form"):
        plain(value)


def test_a_document_is_json_with_its_hash_first():
    """A document is valid JSON whose first key is its digest, and reading gives back the content."""
    plan = Plan(generator=this_program(), plan={"seed": 1, "list": [{"a": 1}, {"b": 2}]}, subject_ids=("a", "b"))
    raw = plan.to_bytes()
    assert next(iter(json.loads(raw))) == "digest"
    assert parse_document(raw, Plan, "plan.json") == plan


def test_any_changed_byte_of_a_document_is_damage():
    """Every single changed, removed or added byte is found."""
    raw = Plan(generator=this_program(), plan={"seed": 1}, subject_ids=("a",)).to_bytes()
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        for bad in (changed, raw[:place] + raw[place + 1 :], raw[:place] + b" " + raw[place:]):
            with pytest.raises(DamageError):
                parse_document(bad, Plan, "plan.json")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"schema": "synthgen/plan@2", "generator": GENERATOR, "plan": {}, "subject_ids": ["a"]},
        {"schema": "synthgen/plan@1", "generator": GENERATOR, "plan": {}, "subject_ids": ["../a"]},
        {"schema": "synthgen/plan@1", "generator": GENERATOR, "plan": {}, "subject_ids": ["a"], "unknown": 1},
        {"schema": "synthgen/plan@1", "generator": GENERATOR, "plan": [], "subject_ids": ["a"]},
    ],
)
def test_a_whole_document_of_another_schema_is_bad_input(content):
    """A document that is intact but not of this schema is an InputError that names schema and field."""
    with pytest.raises(InputError, match="synthgen/plan@1"):
        parse_document(render_document(content), Plan, "plan.json")


def test_deep_nesting_does_not_overflow():
    """A hostile document of a hundred thousand brackets is refused like any other."""
    rest = b' "plan": ' + b"[" * 100_000 + b"]" * 100_000 + b"\n}\n"
    honest = render_document({"x": 1})
    prefix = honest.index(b"sha256:") + 7
    raw = honest[:prefix] + sha256(rest).hexdigest().encode() + honest[prefix + 64 : prefix + 67] + rest
    with pytest.raises(InputError):
        parse_document(raw, Plan, "plan.json")
