from __future__ import annotations

import pytest

from synthgen.datasets.card import CARD, dataset_card
from synthgen.datasets.manifest import load_manifest
from synthgen.datasets.verify import verify


@pytest.fixture(scope="module")
def manifest(published):
    """Return the manifest of five phantoms."""
    return load_manifest(published)


def test_every_dataset_has_its_card(published, manifest):
    """The card lies in the folder, is in the manifest, and is what the manifest alone gives."""
    assert (published / CARD).read_text(encoding="utf-8") == dataset_card(manifest)
    assert CARD in {file.path for file in manifest.files}


@pytest.mark.parametrize("change", [lambda card: card.write_text("other"), lambda card: card.unlink()])
def test_a_changed_card_is_found(dataset, change):
    """`verify` names the card when it is not what was written."""
    change(dataset / CARD)
    assert [fault.where for fault in verify(dataset)] == [CARD]


def test_the_card_counts_classes_and_vendors(manifest):
    """The table's last row and column are sums, and every class has its mean indices."""
    text = dataset_card(manifest)
    assert "| all | 2 | 1 | 1 | 1 | 5 |" in text
    assert "| NOR, normal | 1 | 0 | 0 | 0 | 1 |" in text
    assert "| HCM | 140.5 | 55.4 |" in text


def test_the_card_says_sources_limits_and_citation(manifest):
    """Licence, sources and what to cite are there, and what is not known is said to be."""
    assert "Licence of this dataset: not stated." in dataset_card(manifest)
    source = {"name": "ACDC", "licence": "CC BY-NC-SA 4.0", "citation": "Bernard"}
    legal = type(manifest.legal).model_validate({"licence": "CC BY-NC-SA 4.0", "source_data": [source]})
    text = dataset_card(manifest.model_copy(update={"legal": legal}))
    assert "- Licence of this dataset: CC BY-NC-SA 4.0." in text
    assert "- Fitted on ACDC (licence: CC BY-NC-SA 4.0): Bernard" in text
    assert "\n- Bernard\n" in text
    assert "Not for diagnosis" in text
    assert manifest.content_id in text


def test_the_card_cites_the_methods_that_made_it(manifest):
    """Whoever mixes or draws with SDNet cites those, each method once; without a generator nobody is."""
    by_name = {"SASHIMI": "latent", "Thermos": "mix", "Comput. Med. Imaging": "spade", "Chartsias": "sdnet"}
    models = ({"name": "default"},)
    for methods, renderer in ((["latent"], "spade"), (["mix", "mix"], "spade"), (["latent", "mix"], "sdnet")):
        plan = {"recipe": {"conditions": [{"method": method} for method in methods], "renderer": renderer}}
        text = dataset_card(manifest.model_copy(update={"plan": plan, "models": models}))
        assert {used for name, used in by_name.items() if name in text} == {*methods, renderer}
        assert text.count("Thermos") <= 1
    assert not any(name in dataset_card(manifest.model_copy(update={"models": ()})) for name in by_name)


def test_texts_of_others_cannot_break_the_page(manifest):
    """A name with markup or line breaks stays one harmless line."""
    source = {"name": "a\n# b | <script>", "licence": "x"}
    legal = type(manifest.legal).model_validate({"source_data": [source]})
    text = dataset_card(manifest.model_copy(update={"legal": legal}))
    assert "- Fitted on a # b \\| &lt;script> (licence: x)" in text
