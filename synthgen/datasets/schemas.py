"""JSON Schemas of the files that the project writes and reads.

`python -m synthgen.datasets.schemas export_schemas` writes them again after a model has changed; a test compares.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from synthgen.datasets.documents import Document
from synthgen.datasets.manifest import Manifest, Plan
from synthgen.datasets.record import SubjectRecord
from synthgen.engine.recipe import Recipe
from synthgen.networks.bundle import BundleDescription

MODELS: Mapping[str, type[BaseModel]] = {
    "manifest": Manifest,
    "subject": SubjectRecord,
    "plan": Plan,
    "recipe": Recipe,
    "bundle": BundleDescription,
}
"""Models by the stem of their schema's file."""


def schema(model: type[BaseModel]) -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of a file of this model.

    Files of a dataset carry a hash of themselves in their first line, which is no field of the model.
    """
    # a reader may leave out what has a default; a file of a dataset never does
    written = issubclass(model, Document)
    content = model.model_json_schema(by_alias=True, mode="serialization" if written else "validation")
    if written:
        content["properties"]["digest"] = {
            "description": "SHA-256 of all bytes after the first line of the file.",
            "pattern": "^sha256:[0-9a-f]{64}$",
            "type": "string",
        }
        content["required"] = sorted([*content["required"], "digest"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **content}


def schema_texts() -> dict[str, str]:
    """Return the text of every schema by its file name."""
    return {
        f"{name}.schema.json": json.dumps(schema(model), indent=2, sort_keys=True) + "\n"
        for name, model in MODELS.items()
    }


def write_schemas(folder: Path) -> None:
    """Write every schema into `folder` and remove those whose model is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = schema_texts()
    for path in folder.glob("*.schema.json"):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
