from __future__ import annotations

import csv
import hashlib
import io

from synthgen.exports.cases import label_values, separated, table_rows, write_cases
from synthgen.exports.datalist import nifti_place


def test_the_table_names_every_file_with_its_hash(source, tmp_path):
    """A row per phase: its files exist and have the SHA-256 of the row; what is not known is empty."""
    rows = list(csv.DictReader(io.StringIO(separated(table_rows(write_cases(source, tmp_path, nifti_place))).decode())))
    assert len(rows) == 12
    assert len({row["case"] for row in rows}) == 12
    for row in rows:
        for kind in ("image", "label"):
            assert hashlib.sha256((tmp_path / row[kind]).read_bytes()).hexdigest() == row[f"{kind}_sha256"]
        assert row["rv_ef_percent"] == ""
        assert (row["slices"], row["rows"], row["columns"]) == ("3", "24", "28")


def test_labels_end_with_the_last_one_that_occurs(source, tmp_path):
    """Trainers want consecutive labels and no class without a voxel at the end of the table."""
    values = label_values(write_cases(source, tmp_path, nifti_place))
    assert list(values.items())[-1] == ("muscle", 5)
    assert list(values.values()) == list(range(6))
