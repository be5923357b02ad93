from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from synthgen.datasets.reader import StoredDataset
from synthgen.errors import InputError
from synthgen.exports.bids import _participants, export_bids


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    """Return the export of six phantoms."""
    return export_bids(dataset, tmp_path_factory.mktemp("bids") / "rings")


def test_names_and_tables_agree(folder, dataset):
    """Every participant has its four volumes under its BIDS name, and its own id in the table."""
    rows = [line.split("\t") for line in (folder / "participants.tsv").read_text().splitlines()]
    assert rows[0][:4] == ["participant_id", "pathology", "vendor", "synthgen_id"]
    assert [row[3] for row in rows[1:]] == list(StoredDataset(dataset).ids)
    for name, *_ in rows[1:]:
        found = {path.name for path in (folder / name / "anat").iterdir()}
        assert found == {f"{name}_acq-sax_desc-{p}_{s}.nii.gz" for p in ("ED", "ES") for s in ("T2w", "dseg")}
    assert "n/a" in (folder / "participants.tsv").read_text()


def test_it_says_that_it_is_a_derivative_and_what_is_missing(folder):
    """The description names the generator and its sources; the README names the limits."""
    content = json.loads((folder / "dataset_description.json").read_text())
    assert content["DatasetType"] == "derivative"
    assert "phantoms" in content["GeneratedBy"][0]["Description"]
    assert "no cardiac extension" in (folder / "README").read_text()


def test_ids_that_bids_cannot_tell_apart_are_refused(source):
    """BIDS drops all but letters and digits; two ids that are then equal are refused."""
    entry = source.manifest.subjects[0]
    twins = [entry.model_copy(update={"id": name}) for name in ("A-1", "a1")]
    with pytest.raises(InputError, match="letters and digits"):
        _participants(twins)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bids-validator-deno") is None, reason="needs bids-validator-deno, 120 MB")
def test_the_validator_finds_no_error(folder):
    """The BIDS validator reports warnings only."""
    command = ["bids-validator-deno", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
