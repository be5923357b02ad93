from __future__ import annotations

import json

import pytest

from synthgen.exports.croissant import export_croissant


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    """Return the export of six phantoms."""
    return export_croissant(dataset, tmp_path_factory.mktemp("croissant") / "rings")


def test_the_description_tells_terms_and_types(folder):
    """Licence, sources and the type of every column stand in the description; grey values are no text."""
    content = json.loads((folder / "croissant.json").read_text())
    assert content["license"] == "CC BY-NC-SA 4.0"
    assert content["creator"]["name"] == "synthgen"
    assert "Nobody, 2026" in content["citeAs"]
    assert "phantoms" in content["rai:dataCollectionRawData"]
    types = {field["name"]: field["dataType"] for field in content["recordSet"][0]["field"]}
    assert (types["case"], types["slices"], types["lv_edv_ml"]) == ("sc:Text", "sc:Integer", "sc:Float")
    assert types["rv_ef_percent"] == "sc:Float"  # unknown for all: a column of numbers nevertheless


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_mlcroissant_validates_it_and_reads_its_records(folder):
    """The reference library finds no error, and iterates the cases."""
    mlcroissant = pytest.importorskip("mlcroissant", reason="needs mlcroissant, more than 50 MB")
    description = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert not list(description.metadata.ctx.issues.errors)
    records = list(description.records("cases"))
    assert len(records) == 12
    assert records[0]["cases/pathology"] in {"NOR", b"NOR"}
