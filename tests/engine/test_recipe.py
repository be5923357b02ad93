import json

import pytest

from synthgen.engine.recipe import Condition, Recipe
from synthgen.errors import InputError
from synthgen.labels import Pathology, Vendor


def recipe(**changes):
    """Return a small recipe."""
    return Recipe(conditions=(Condition(pathology=Pathology.ARV, count=3),), **changes)


def test_a_recipe_survives_its_file(tmp_path):
    """What is loaded is what was saved, and the file names its schema."""
    conditions = (
        Condition(pathology=Pathology.ARV, vendor=Vendor.D, count=168, severity=(0.7, 1.0)),
        Condition(pathology=Pathology.NOR, count=2),
    )
    written = Recipe(conditions=conditions, seed=0, correlation="paper", max_attempts=7)
    path = tmp_path / "r.json"
    written.save(path)
    assert Recipe.load(path) == written
    assert json.loads(path.read_text())["schema"] == "synthgen/recipe@1"
    assert written.count == 170


def test_options_that_exclude_each_other_are_told_in_words():
    """The message says what was given, not how it looks inside the program."""
    wanted = {"pathology": Pathology.HCM, "count": 2, "method": "mix", "severity": (0.5, 0.6), "vendor": None}
    with pytest.raises(InputError) as caught:
        Recipe.parse({"conditions": [wanted]}, subject="options")
    assert "severity belongs to the method latent" in str(caught.value)
    assert "got pathology HCM, count 2, method mix, severity (0.5, 0.6)" in str(caught.value)
    assert not any(word in str(caught.value) for word in ("Value error", "<", "None"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "JSON"),
        ("[1]", "recipe"),
        ('{"conditions": []}', "conditions"),
        ('{"conditions": [{"pathology": "ARV", "count": 0}]}', "count"),
        ('{"conditions": [{"pathology": "XYZ", "count": 1}]}', "pathology"),
        ('{"conditions": [{"pathology": "ARV", "count": 1, "severity": [1, 0.5]}]}', "backwards"),
        ('{"conditions": [{"pathology": "ARV", "count": 1, "severity": [0, 2]}]}', "severity"),
        ('{"conditions": [{"pathology": "ARV", "count": 1}], "sed": 1}', "sed"),
        ('{"conditions": [{"pathology": "ARV", "count": 1}], "seed": -1}', "seed"),
        ('{"schema": "synthgen/recipe@9", "conditions": [{"pathology": "ARV", "count": 1}]}', "schema"),
        ('{"conditions": [{"pathology": "ARV", "count": 1}, {"pathology": "ARV", "count": 2}]}', "merge"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_a_bad_file_is_refused_with_its_fault(tmp_path, text, said):
    """Whatever is wrong with a recipe file ends in one line that names the file and the fault."""
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        Recipe.load(path)
    assert "r.json" in str(error.value)


def test_paths_may_be_text_and_files_may_have_a_byte_order_mark(tmp_path):
    """A file saved by an editor that marks UTF-8 is read as well."""
    recipe = Recipe.parse({"conditions": [{"pathology": "DCM", "count": 3}]})
    recipe.save(str(tmp_path / "r.json"))
    (tmp_path / "r.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "r.json").read_bytes())
    assert Recipe.load(str(tmp_path / "r.json")) == recipe


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    """A path that is no file is bad input, not a crash."""
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError):
            Recipe.load(path)


def test_the_key_of_a_condition_leaves_its_count_out():
    """More of the same is the same condition; anything else is another."""
    base = Condition(pathology=Pathology.ARV, count=3)
    assert base.key == Condition(pathology=Pathology.ARV, count=168).key
    others = (
        Condition(pathology=Pathology.DCM, count=3),
        Condition(pathology=Pathology.ARV, vendor=Vendor.A, count=3),
        Condition(pathology=Pathology.ARV, severity=(0.5, 1.0), count=3),
    )
    assert len({base.key, *(other.key for other in others)}) == 4
    # Part of the format: a changed key changes every cohort that exists.
    assert base.key == KEY_OF_ARV


KEY_OF_ARV = 65063895


def test_paired_conditions_share_their_key():
    """Under any vendor a paired condition is the same anatomy; an unpaired one of a vendor is another."""
    paired = [Condition(pathology=Pathology.ARV, vendor=v, count=2, paired=True) for v in (Vendor.A, Vendor.D)]
    assert paired[0].key == paired[1].key
    assert paired[0].key not in (KEY_OF_ARV, Condition(pathology=Pathology.ARV, vendor=Vendor.A, count=2).key)
    assert Recipe(conditions=paired).count == 4


@pytest.mark.parametrize("wrong", [{}, {"vendor": "A", "method": "mix"}])
def test_pairs_without_a_vendor_or_of_mixtures_are_refused(wrong):
    """Whose style to pair is not said; a mixture is selected by how it looks."""
    with pytest.raises(InputError, match="paired needs a vendor"):
        Recipe.parse({"conditions": [{"pathology": "ARV", "count": 1, "paired": True, **wrong}]})


def test_a_recipe_cannot_be_changed():
    """A recipe is a value."""
    with pytest.raises(ValueError, match="frozen"):
        recipe().seed = 3
