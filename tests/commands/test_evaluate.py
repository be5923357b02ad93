"""`synthgen evaluate`: from a command line to a study and its table."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from synthgen import cli
from synthgen.cohorts.mnms import write_cohort
from synthgen.evaluation.tiers import TIERS
from synthgen.hearts.virtual_hearts import VirtualHearts

module = import_module("synthgen.few_labels")


@pytest.fixture
def asked(monkeypatch) -> dict:
    """Catch the study that the command asks for, and answer as it would."""
    calls: dict = {}

    def compare(cohort, out, study, *, report):
        calls.update(cohort=cohort, out=out, study=study)
        report.stage("sdnet-001: training")
        report.count("samples of sdnet-001", 4, 4)
        scores = {
            "a": dict.fromkeys(("lv", "myo", "rv", "mean"), 0.7),
            "b": dict.fromkeys(("lv", "myo", "rv", "mean"), 0.8),
        }
        arms = [module.Arm(network="sdnet", fraction=0.015, labelled=1, subjects=scores)]
        out.mkdir()
        (out / module.RESULTS_FILE).write_text(json.dumps({"train": 7, "arms": [{"network": "sdnet"}]}))
        return module.Outcome(folder=out, train=7, test=2, arms=arms)

    monkeypatch.setattr(module, "compare_with_few_labels", compare)
    return calls


def test_every_option_reaches_the_study(asked, capsys, tmp_path) -> None:
    """Cohort, fractions, budget, preset, grid, seed and device arrive; the table is in percent with deviations."""
    line = "evaluate labels hearts:9 --fraction 1 --fraction 0.1 --samples 40 --preset tiny --pixels 64 --seed 4"
    out = tmp_path / "s"
    assert cli.run([*line.split(), "--device", "cpu", "--labelled-shapes", "--out", str(out)]) == 0
    expected = {"preset": "tiny", "fractions": (1.0, 0.1), "samples": 40, "pixels": 64, "seed": 4, "device": "cpu"}
    assert asked["study"] == module.Study(**expected, labelled_shapes=True)
    assert (len(asked["cohort"]), asked["cohort"].seed, asked["out"]) == (9, 4, out)
    text, said = capsys.readouterr()
    assert "| 1.5 % (1) | sdnet | 75.0 ± 5.0 | 75.0 ± 5.0 | 75.0 ± 5.0 | 75.0 ± 5.0 |" in text
    assert "sdnet-001: training" in said


def test_the_paper_is_the_default(asked, tmp_path) -> None:
    """Without options it is the study of the preset `small` with 100, 25, 6 and 1.5 % of the labels."""
    assert cli.run(["evaluate", "labels", "hearts:9", "--out", str(tmp_path / "s")]) == 0
    assert asked["study"] == module.Study()
    assert asked["study"].fractions == (1.0, 0.25, 0.06, 0.015)


def test_json_is_the_results_file(asked, capsys, tmp_path) -> None:
    """With `--json` standard output is the document of `results.json` and standard error is silent."""
    assert cli.run(["evaluate", "labels", "hearts:9", "--json", "--out", str(tmp_path / "s")]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == json.loads(Path(tmp_path / "s" / module.RESULTS_FILE).read_text())


@pytest.mark.parametrize("begun", [True, False])
def test_an_interrupted_study_goes_on(begun, capsys, monkeypatch, tmp_path) -> None:
    """Ctrl-C ends with code 3 and says how to go on where a study has begun, and with 130 where nothing is left."""

    def interrupted(_cohort, out, _study, **_):
        if begun:
            out.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "compare_with_few_labels", interrupted)
    assert cli.run(["evaluate", "labels", "hearts:9", "--out", str(tmp_path / "s")]) == (3 if begun else 130)
    assert ("the same command goes on" in capsys.readouterr().err) == begun


@pytest.mark.parametrize("quiet", [[], ["--json"]])
def test_subjects_that_are_left_out_are_told(quiet, asked, capsys, tmp_path) -> None:
    """How many rows of a table cannot be used, and why, stands on standard error; with `--json` nothing does."""
    write_cohort(VirtualHearts(2, seed=1, pixels=64, spacing_mm=3.0), tmp_path / "mnms")
    (table,) = (tmp_path / "mnms").glob("*.csv")
    table.write_text(table.read_text() + "LOST1,,A,,0,1,,HCM,,,\nOTHER,,A,,0,1,,LVNC,,,\n")
    cohort = f"mnms:{tmp_path / 'mnms'}"
    assert cli.run(["evaluate", "labels", cohort, *quiet, "--out", str(tmp_path / "s")]) == 0
    assert len(asked["cohort"]) == 2
    told = f"{cohort}: 2 subjects left out: 1 no folder, 1 pathology LVNC" in capsys.readouterr().err
    assert told == (not quiet)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hearts:many"], "COHORT"),
        (["acdc:/no/such/folder"], "/no/such/folder"),
        (["hearts:1", "--preset", "tiny"], "cohort"),
        (["hearts:5", "--fraction", "6"], "fraction"),
        (["hearts:5", "--fraction", "some"], "--fraction"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, said, capsys, tmp_path) -> None:
    """Unreadable cohorts, cohorts too small to be divided and fractions that are none end with one line and code 2."""
    assert cli.run(["evaluate", "labels", *arguments, "--out", str(tmp_path / "s")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("synthgen: ")
    assert said in lines[-1]


@pytest.fixture
def balanced(monkeypatch) -> dict:
    """Catch the rebalance study that the command asks for, and answer as it would."""
    study_module = import_module("synthgen.rebalance")
    scores_of = import_module("synthgen.evaluation.arm_scores").ArmScores
    calls: dict = {}

    def run(cohort, out, study, *, test, report):
        calls.update(cohort=cohort, study=study, test=test)
        structures = dict.fromkeys(("lv", "myo", "rv", "mean"), 0.5)
        scores = {"rare": True, "right": 1, "dice": structures, "hd95_mm": structures}
        other = {"rare": True, "right": 0}
        arms = [scores_of(name="original", trained=8, added=0, subjects=[{"a": scores, "b": scores}] * 2)]
        arms += [scores_of(name="wrong-class", trained=9, added=1, subjects=[{"a": other, "b": other}] * 2)]
        out.mkdir()
        (out / "results.json").write_text(json.dumps({"arms": 2}))
        differences = {"original": {"wrong-class": arms[1].against(arms[0])}}
        return study_module.Outcome(
            folder=out, rarity=study.rarity, arms=arms, differences=differences, left_out={"mix": "no anatomies"}
        )

    monkeypatch.setattr(study_module, "rebalance", run)
    return calls


def test_a_rebalance_study_is_asked_for_and_shown(balanced, capsys, tmp_path) -> None:
    """Options arrive; virtual hearts are tested on others; what was not measured is not applicable, not zero."""
    line = "evaluate rebalance hearts:9 --by vendor --rare b --keep 2 --fill 3 --arm original --arm latent --seeds 5"
    more = ["--tier", "standard", "--bundle", "fit", "--seed", "4", "--out", str(tmp_path / "s")]
    assert cli.run([*line.split(), *more]) == 0
    study = balanced["study"]
    assert (study.rarity.by, study.rarity.rare, study.rarity.keep, study.rarity.fill) == ("vendor", "B", 2, 3)
    assert (study.arms, study.seeds, study.tier, study.bundle) == (("original", "latent"), 5, "standard", "fit")
    assert (len(balanced["cohort"]), len(balanced["test"])) == (9, TIERS["standard"].test_hearts)
    assert balanced["cohort"].seed != balanced["test"].seed
    text = capsys.readouterr().out
    assert "| original | 8 | 0 | 100.0 ± 0.0 | 100.0 ± 0.0 | 50.0 ± 0.0 |" in text
    assert "| wrong-class | 9 | 1 | 0.0 ± 0.0 | 0.0 ± 0.0 | n/a | n/a |" in text
    assert "| wrong-class - original | -100.0 [-100.0, -100.0] | -100.0 [-100.0, -100.0] | n/a | n/a | n/a |" in text
    assert "mix left out: no anatomies" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        *(("--rare XYZ", "--rare"), ("--by set --rare ARV", "--rare"), ("--arm gan", "arm"), ("--seeds 0", "seeds")),
        ("--fill 0", "fill"),
    ],
)
def test_a_bad_rebalance_study_is_one_line_and_code_2(arguments, said, capsys, tmp_path) -> None:
    """Unknown classes and arms, a rare class of a balanced set and no trainings are refused before any work."""
    assert cli.run(["evaluate", "rebalance", "hearts:9", *arguments.split(), "--out", str(tmp_path / "s")]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "s").exists()
