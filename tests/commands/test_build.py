"""`synthgen build`: from a command line to a recipe, and what is said at the end."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from synthgen import cli
from synthgen.labels import Pathology, Vendor

module = import_module("synthgen.build")
Recipe = import_module("synthgen.engine.recipe").Recipe


@pytest.fixture
def asked(monkeypatch) -> dict:
    """Catch what the command asks the use case for, and answer as it would."""
    calls: dict = {}

    def build(recipe, out, **options):
        calls.update(recipe=recipe, out=Path(out), **options)
        options["progress"](recipe.count, recipe.count)
        return module.Summary(
            dataset=str(out),
            subjects=recipe.count,
            slices=20 * recipe.count,
            resumed=0,
            counts={"ARV-A": recipe.count},
            draws={"ARV": recipe.count + 3},
            rejected={"ARV": {"topology": 2, "physiology": 1}},
            seconds=1.0,
            slices_per_second=20.0,
            limit="compute",
            workers=1,
            device="cpu",
        )

    monkeypatch.setattr(module, "build", build)
    return calls


def test_the_shortest_line_is_enough(asked, capsys) -> None:
    """Class and count suffice; the rest is the recipe's own default, and the folder's name tells what was asked for."""
    assert cli.run(["build", "--target", "ARV", "--count", "168"]) == 0
    assert asked["recipe"] == Recipe.parse({"conditions": [{"pathology": "ARV", "count": 168}]})
    assert asked["out"] == Path("cohorts/ARV-168-seed0")
    assert (asked["workers"], asked["device"]) == (None, "auto")
    out, err = capsys.readouterr()
    assert "168 of 168 subjects" in err
    assert "topology 2, physiology 1" in out
    assert "cohorts/ARV-168-seed0/preview.png" in out


def test_every_option_reaches_the_recipe(asked) -> None:
    """Classes times vendors become conditions, and every option arrives where it belongs."""
    line = "build --target arv,HCM --vendor D --vendor A --count 5 --severity 0.7:1 --correlation none"
    assert (
        cli.run([*line.split(), "--bundle", "own", "--seed", "9", "--out", "x", "--workers", "2", "--device", "cpu"])
        == 0
    )
    recipe = asked["recipe"]
    pairs = [(condition.pathology, condition.vendor) for condition in recipe.conditions]
    assert pairs == [(p, v) for p in (Pathology.ARV, Pathology.HCM) for v in (Vendor.D, Vendor.A)]
    assert {condition.count for condition in recipe.conditions} == {5}
    assert {condition.severity for condition in recipe.conditions} == {(0.7, 1.0)}
    assert (recipe.correlation, recipe.bundle, recipe.seed) == ("none", "own", 9)
    assert (asked["out"], asked["workers"], asked["device"]) == (Path("x"), 2, "cpu")


def test_mixing_and_its_renderer_are_asked_for_by_name(asked) -> None:
    """Method and renderer reach the recipe, and the folder's name tells a mixed cohort."""
    assert cli.run(["build", "--target", "ARV", "--count", "3", "--method", "mix", "--renderer", "sdnet"]) == 0
    assert asked["recipe"].conditions[0].method == "mix"
    assert asked["recipe"].renderer == "sdnet"
    assert asked["out"] == Path("cohorts/ARV-3-mix-seed0")


def test_a_cohort_is_balanced_by_what_it_lacks(asked) -> None:
    """Twelve virtual hearts take classes in turn: three of each of the first two, two of the others, which get one."""
    assert cli.run(["build", "--balance", "class", "--like", "hearts:12", "--method", "mix"]) == 0
    conditions = asked["recipe"].conditions
    assert {c.pathology: c.count for c in conditions} == dict.fromkeys(list(Pathology)[2:], 1)
    assert {c.method for c in conditions} == {"mix"}
    assert cli.run(["build", "--balance", "class", "--like", "hearts:12", "--fill", "2"]) == 0
    assert {c.pathology: c.count for c in asked["recipe"].conditions} == dict.fromkeys(list(Pathology)[2:], 2)


@pytest.mark.parametrize(
    "line",
    [
        "--balance class",
        "--like hearts:12",
        "--balance class --like hearts:12 --target ARV",
        "--balance vendor --like hearts:12 --count 3",
        "--balance class --like hearts:10",
        "--balance class --like hearts:12 --fill 0",
        "--balance class --like hearts:12 --fill 10000000",
        "--target ARV --count 2 --fill 2",
        "--balance class --like nowhere",
    ],
)
def test_balancing_needs_a_cohort_and_nothing_else(asked, capsys, line: str) -> None:
    """Half a request, a contradiction, a cohort that lacks nothing and one that is none are usage errors."""
    assert cli.run(["build", *line.split()]) == 2
    assert capsys.readouterr().err.startswith("synthgen: ")
    assert asked == {}


@pytest.mark.parametrize("option", [("--severity", "0.8:1"), ("--correlation", "none")])
def test_mixtures_take_no_option_about_latents(asked, capsys, option) -> None:
    """What a mixture would ignore is refused by name, a range that is the default too."""
    assert cli.run(["build", "--target", "ARV", "--count", "3", "--method", "mix", *option]) == 2
    assert option[0] in capsys.readouterr().err
    assert "recipe" not in asked


@pytest.mark.parametrize("text", ["0.5:", ":0.5", ":"])
def test_a_range_of_severity_has_both_ends(asked, capsys, text) -> None:
    """A range without one of its ends is refused."""
    assert cli.run(["build", "--target", "ARV", "--count", "3", "--severity", text]) == 2
    assert "--severity" in capsys.readouterr().err


def test_requests_that_differ_in_severity_have_different_folders(asked) -> None:
    """What is asked for beside class and count is in the folder's name."""
    assert cli.run(["build", "--target", "ARV", "--count", "3", "--vendor", "D", "--severity", "0.5:1"]) == 0
    assert asked["out"] == Path("cohorts/ARV-3-vendor-D-severity0.5-1-seed0")


def test_a_recipe_file_says_it_all(asked, tmp_path) -> None:
    """A recipe file is taken as it is, named after itself; seed and bundle may be said again on the command line."""
    file = tmp_path / "mine.json"
    Recipe.parse({"conditions": [{"pathology": "DCM", "count": 3}], "seed": 5, "bundle": "other"}).save(file)
    assert cli.run(["build", "--recipe", str(file)]) == 0
    assert asked["recipe"] == Recipe.load(file)
    assert asked["out"] == Path("cohorts/mine")
    assert cli.run(["build", "--recipe", str(file), "--seed", "6"]) == 0
    assert (asked["recipe"].seed, asked["recipe"].bundle) == (6, "other")


def test_json_is_one_document(asked, capsys) -> None:
    """With `--json` standard output is one JSON document and standard error is silent."""
    assert cli.run(["build", "--target", "all", "--count", "2", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["subjects"] == 10


def test_a_dry_run_builds_nothing(asked, capsys, monkeypatch) -> None:
    """A dry run tells subjects, time, memory and disk, and makes nothing."""

    def dry_run(recipe, **options):
        return module.Estimate(
            subjects=recipe.count,
            slices=44,
            seconds=90.0,
            memory_bytes=1_500_000_000,
            disk_bytes=2_000_000,
            workers=2,
            device="cpu",
        )

    monkeypatch.setattr(module, "dry_run", dry_run)
    assert cli.run(["build", "--target", "ARV", "--count", "2", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert all(text in out for text in ("1.5 min", "1.50 GB", "2.0 MB", "44"))
    assert asked == {}
