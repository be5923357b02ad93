from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from synthgen.datasets.schemas import MODELS, schema, schema_texts, write_schemas

EXPORTED = Path(__file__).parents[2] / "export_schemas"


def test_exported_schemas_are_those_of_the_models():
    """`export_schemas/` is current; if not, run `python -m synthgen.datasets.schemas export_schemas`."""
    assert {path.name: path.read_text(encoding="utf-8") for path in EXPORTED.iterdir()} == schema_texts()


def test_schemas_are_written_by_a_command(tmp_path, monkeypatch):
    """The documented command writes every schema and removes the schema of a model that is gone."""
    (tmp_path / "gone.schema.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["schemas", str(tmp_path)])
    monkeypatch.delitem(sys.modules, "synthgen.datasets.schemas")  # runpy warns if the module is loaded already
    runpy.run_module("synthgen.datasets.schemas", run_name="__main__")
    assert {path.name for path in tmp_path.iterdir()} == set(schema_texts())


@pytest.mark.parametrize("name", ["manifest", "subject"])
def test_written_files_have_the_keys_of_their_schema(published, name):
    """Every key of a written file is in its schema, and every required key is in the file."""
    path = published / "manifest.json" if name == "manifest" else published / "records" / "syn-0000.json"
    content = schema(MODELS[name])
    keys = set(json.loads(path.read_bytes()))
    assert set(content["required"]) <= keys <= set(content["properties"])
    assert content["additionalProperties"] is False


def test_writing_twice_changes_nothing(tmp_path):
    """Schemas are deterministic."""
    write_schemas(tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_schemas(tmp_path)
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
