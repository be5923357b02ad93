"""`synthgen fit`: from a command line to a cohort and a fit."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from synthgen import cli
from synthgen.cohorts.acdc import Acdc
from synthgen.cohorts.mnms import Mnms
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.simulate import simulate
from synthgen.sources import open_cohort

module = import_module("synthgen.fit")


def test_hearts_are_a_cohort_of_their_own() -> None:
    """`hearts:7` is seven virtual hearts of the seed."""
    cohort = open_cohort("hearts:7", seed=3)
    assert isinstance(cohort, VirtualHearts)
    assert (len(cohort), cohort.seed) == (7, 3)


@pytest.mark.parametrize(("layout", "kind"), [("acdc", Acdc), ("mnms", Mnms)])
def test_folders_are_read_by_their_kind(layout, kind, tmp_path) -> None:
    """`acdc:DIR` and `mnms:DIR` are the readers of those layouts."""
    simulate(VirtualHearts(1, pixels=64, spacing_mm=2.0), tmp_path / "d", layout=layout, workers=1)
    cohort = open_cohort(f"{layout}:{tmp_path / 'd'}")
    assert isinstance(cohort, kind)
    assert len(cohort) == 1


def test_options_reach_the_fit(monkeypatch, capsys) -> None:
    """Every option arrives at the use case, and its stages and counts are told."""
    asked: dict = {}

    def fit(cohort, out, *, report, **options):
        asked.update(cohort=cohort, out=out, **options)
        report.stage("label_vae: starting")
        report.count("label_vae", 5, 5)
        return out

    monkeypatch.setattr(module, "fit", fit)
    line = "fit hearts:2 --out b --preset tiny --budget 0.5 --seed 4 --device cpu --no-mixing"
    assert cli.run(line.split()) == 0
    options = {name: asked[name] for name in ("out", "preset", "budget", "seed", "device", "mixing")}
    assert options == {
        "out": Path("b"), "preset": "tiny", "budget": 0.5, "seed": 4, "device": "cpu", "mixing": False
    }  # fmt: skip
    out, err = capsys.readouterr()
    assert out == "bundle in b\n"
    assert err.splitlines()[0] == "label_vae: starting"
    assert err.splitlines()[1].startswith("5 of 5 label_vae")


def test_a_generator_for_some_vendors_alone(monkeypatch, capsys) -> None:
    """With `--vendor` only subjects of those vendors are fitted on; a vendor without subjects is refused."""
    asked: list = []
    monkeypatch.setattr(module, "fit", lambda cohort, out, **_options: asked.append(cohort) or out)
    assert cli.run(["fit", "hearts:20", "--out", "b", "--vendor", "B", "--vendor", "D"]) == 0
    assert {str(vendor) for vendor in asked[0].subject_vendors} == {"B", "D"}
    assert len(asked[0]) == 10
    assert cli.run(["fit", "hearts:5", "--out", "b", "--vendor", "D"]) == 2
    assert "--vendor" in capsys.readouterr().err


def test_a_broken_patient_is_one_line_and_code_2(tmp_path, capsys) -> None:
    """Half a gzip file among the patients ends a fit with one line that names it, though a worker process found it."""
    simulate(VirtualHearts(2, pixels=64, spacing_mm=2.0), tmp_path / "d", layout="acdc", workers=1)
    image = sorted((tmp_path / "d").rglob("*_frame??.nii.gz"))[0]
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    assert cli.run(["fit", f"acdc:{tmp_path / 'd'}", "--out", str(tmp_path / "b"), "--preset", "tiny"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert image.name in lines[-1]
    assert lines[-1].startswith("synthgen: ")
    assert "Traceback" not in "".join(lines)
    assert not (tmp_path / "b").exists()
