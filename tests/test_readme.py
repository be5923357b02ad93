"""The README: what it tells people to type works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import synthgen
from synthgen import cli
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import Pathology
from synthgen.simulate import simulate

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def fenced(mark: str) -> str:
    """Return the code block that follows the comment `<!-- mark -->`."""
    found = re.search(rf"<!-- {mark} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, mark
    return found[1]


def run(script: str, folder: Path) -> str:
    """Run `script` as a program of its own in `folder` and return what it prints."""
    program = folder / "example.py"
    program.write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(Path(synthgen.__file__).parents[1])}  # the package under test
    command = [sys.executable, "-W", "error::UserWarning", program]
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_the_training_example_trains(tmp_path) -> None:
    """The README's script trains a U-Net for one epoch through a queue and tests it through a loader of 2 processes."""
    (tmp_path / "cohorts").mkdir()
    hearts = VirtualHearts(4, pathologies=[Pathology.ARV], pixels=96, spacing_mm=2.0)
    simulate(hearts, tmp_path / "cohorts" / "ARV-168-seed0", workers=1)
    said = run(fenced("example: train"), tmp_path)
    assert re.search(r"not seen: \d+%", said), said


def test_the_starting_example_starts_from_what_hearts_taught(tmp_path) -> None:
    """The README's U-Net takes a step on a subject of its own, whose tissues it knows: random weights lose 2.2."""
    (tmp_path / "cohorts").mkdir()
    hearts = VirtualHearts(1, pathologies=[Pathology.ARV], pixels=96, spacing_mm=2.0, seed=5)
    simulate(hearts, tmp_path / "cohorts" / "ARV-168-seed0", workers=1)
    said = run(fenced("example: start"), tmp_path)
    assert float(said.removeprefix("loss ")) < 0.5, said


def test_the_making_example_makes(tmp_path) -> None:
    """The README's other example builds a cohort from the default bundle and opens it."""
    said = run(fenced("example: make"), tmp_path)
    assert said.startswith("2 subjects"), said
    assert (tmp_path / "cohorts" / "some-hcm" / "manifest.json").exists()


def test_the_main_command_asks_for_what_the_program_can_do() -> None:
    """The README's first command is one line that installs with the pinned versions and makes the cohort."""
    command = fenced("command: main").strip()
    assert "\n" not in command
    assert "-c constraints.txt" in command
    arguments = command.rsplit("synthgen ", 1)[1].split()
    assert arguments == ["build", "--target", "ARV", "--count", "168"]


def test_the_test_command_checks_everything() -> None:
    """The README's second command is one line that lints, checks floors and types, and runs the tests."""
    command = fenced("command: test").strip()
    assert "\n" not in command
    for part in ("ruff check", "ruff format --check", "lint-imports", "mypy", "pytest"):
        assert part in command


def test_the_bundle_command_is_what_made_the_bundle() -> None:
    """Cohort, size, preset and seed of the README's command are those that the shipped bundle says it was made with."""
    count, preset, seed = re.search(r"fit hearts:(\d+) --preset (\w+) --seed (\d+)", fenced("command: bundle")).groups()
    described = synthgen.load_bundle("default").description
    assert described.source.cohort == VirtualHearts.name
    assert (described.source.subjects, described.preset) == (int(count), preset)
    assert described.provenance["seed"] == int(seed)
    assert described.provenance["source"] == VirtualHearts(int(count), seed=int(seed)).fingerprint()


def test_every_option_that_the_readme_names_exists() -> None:
    """Each `synthgen COMMAND --option` of the README is an option of that command."""
    for command, rest in re.findall(r"`synthgen (\w+)([^`]*)`", README):
        answer = CliRunner().invoke(cli._group, [command, "--help"], obj=cli._Settings())
        if "COMMAND [ARGS]" in answer.output:  # a group: the next word is the command
            answer = CliRunner().invoke(cli._group, [command, rest.split()[0], "--help"], obj=cli._Settings())
        assert answer.exit_code == 0, command
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in answer.output, (command, option)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_every_file_that_the_readme_links_exists(target) -> None:
    """Each relative link of the README leads somewhere."""
    if not (ROOT / "docs").exists():
        pytest.skip("an unpacked sdist: it has no docs/")
    assert (ROOT / target).exists()
