"""A small published dataset to export."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.writer import DatasetWriter

PHANTOMS = Path(__file__).parents[1] / "datasets" / "phantoms.py"
_spec = importlib.util.spec_from_file_location("synthgen_test_phantoms_to_export", PHANTOMS)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

PRIVATE = "patient0042"
"""Stands in the subjects' histories and in the request: it must be in no export."""


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    """Return a published dataset of six phantoms; read only."""
    subjects = [_module.make_phantom(number) for number in range(6)]
    folder = tmp_path_factory.mktemp("published") / "cohort"
    legal = {
        "licence": "CC BY-NC-SA 4.0",
        "source_data": [{"name": "phantoms", "licence": "CC BY-NC-SA 4.0", "citation": "Nobody, 2026"}],
    }
    with DatasetWriter.open(folder, plan={"bundle": PRIVATE}, subject_ids=[s.subject_id for s in subjects]) as writer:
        for subject in subjects:
            subject.record["recipient"] = PRIVATE
            writer.add(subject)
        return writer.finish({"models": [{"name": "rings", "folder": PRIVATE}], "legal": legal}, preview_rows=0)


@pytest.fixture(scope="session")
def source(dataset) -> StoredDataset:
    """Return it opened."""
    return StoredDataset(dataset)
