from __future__ import annotations

import json

import pytest

from synthgen.datasets.card import dataset_card
from synthgen.exports.hugging_face import export_hugging_face, hub_card


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    """Return the export of six phantoms."""
    return export_hugging_face(dataset, tmp_path_factory.mktemp("hub") / "rings")


def front(text):
    """Return the front matter of a card, each line of which is `key: JSON`."""
    _, lines, _ = text.split("---\n", 2)
    return {key: json.loads(value) for key, value in (line.split(": ", 1) for line in lines.splitlines())}


def test_the_card_is_that_of_the_dataset_under_a_front_matter(folder, source):
    """The Hub's fields come first, then the dataset's own card, word for word."""
    text = (folder / "README.md").read_text()
    fields = front(text)
    assert fields["license"] == "cc-by-nc-sa-4.0"
    assert fields["size_categories"] == ["n<1K"]
    assert dataset_card(source.manifest) in text


@pytest.mark.parametrize(
    ("licence", "fields"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("terms of the challenge", {"license": "other", "license_name": "terms-of-the-challenge"}),
        ("Terms (v1.2), § 3", {"license": "other", "license_name": "terms-v1.2-3"}),
        ("", {"license": "unknown"}),
        ("not stated", {"license": "unknown"}),
    ],
)
def test_licences_that_the_hub_does_not_know_are_named(source, licence, fields):
    """A licence outside the Hub's list is `other` with its name; none is `unknown`."""
    manifest = source.manifest.model_copy(
        update={"legal": source.manifest.legal.model_copy(update={"licence": licence})}
    )
    assert fields.items() <= front(hub_card(manifest, 5)).items()


@pytest.mark.parametrize(("cases", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (10**6, "n>1M")])
def test_sizes_are_those_of_the_hub(source, cases, size):
    """The size category follows the number of cases."""
    assert front(hub_card(source.manifest, cases))["size_categories"] == [size]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_library_of_the_hub_reads_the_card(folder):
    """`huggingface_hub` parses the front matter."""
    hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub, 16 MB")
    card = hub.DatasetCard.load(folder / "README.md")
    assert card.data.license == "cc-by-nc-sa-4.0"
    assert card.data.task_categories == ["image-segmentation", "image-classification"]
    assert card.data.to_dict()["configs"][0]["data_files"] == "cases.csv"
