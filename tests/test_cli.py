"""The command line: what it imports, what it says and what it ends with."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from synthgen import cli
from synthgen.commands import console, options
from synthgen.errors import DamageError, InputError, PartialError, SynthgenError
from synthgen.labels import Pathology, Vendor
from synthgen.processes import INTERRUPTS, uninterrupted

COMMANDS = (
    "build", "diff", "evaluate", "export", "extend", "fit", "hearts", "pack", "replay", "show", "unpack", "verify",
)  # fmt: skip
HEAVY = ("torch", "torchio", "zarr", "numpy", "scipy", "nibabel", "pydantic", "rich")


def refused(capsys, *arguments: str) -> str:
    """Run a command line that must end with code 2, one line on standard error and nothing on standard output."""
    assert cli.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("synthgen: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


def test_help_imports_nothing_heavy() -> None:
    """`synthgen --help` answers without importing torch, zarr, numpy or any of the like."""
    script = (
        "import sys\nfrom synthgen.cli import run\ncode = run(['--help'])\n"
        f"heavy = [name for name in {HEAVY} if name in sys.modules]\nsys.exit(code or ', '.join(heavy) or 0)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert all(name in answer.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys) -> None:
    """Each command of the table exists under its name and explains itself, without loading torch."""
    assert cli.run([command, "--help"]) == 0
    assert f"Usage: synthgen {command}" in capsys.readouterr().out


def test_help_of_a_command_does_not_import_torch() -> None:
    """`synthgen build --help` answers without torch: heavy imports wait for the work itself."""
    script = "import sys\nfrom synthgen.cli import run\nrun(['build', '--help'])\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0


def test_no_command_shows_the_help(capsys) -> None:
    """A bare `synthgen` shows the help and is bad usage."""
    assert cli.run([]) == 2
    assert "Commands:" in capsys.readouterr().err


def test_version(capsys) -> None:
    """`--version` says the version of the package."""
    assert cli.run(["--version"]) == 0
    assert cli.__version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "nonsense"),
        (("build",), "--target"),
        (("build", "--target", "ARV"), "--count"),
        (("build", "--target", "ARV", "--count", "0"), "--count"),
        (("build", "--target", "ARV", "--count", "-3"), "--count"),
        (("build", "--target", "ARV", "--count", "many"), "--count"),
        (("build", "--target", "XYZ", "--count", "1"), "XYZ"),
        (("build", "--target", "ARV", "--count", "1", "--vendor", "Q"), "'Q'"),
        (("build", "--target", "ARV", "--count", "1", "--severity", "1:0"), "--severity"),
        (("build", "--target", "ARV", "--count", "1", "--severity", "nan"), "--severity"),
        (("build", "--target", "ARV", "--count", "1", "--seed", "-1"), "seed"),
        (("build", "--target", "ARV", "--count", "1", "--correlation", "some"), "correlation"),
        (("build", "--target", "ARV", "--recipe", "some.json"), "--recipe"),
        (("build", "--recipe", "no/such.json"), "such.json"),
        (("build", "--target", "ARV", "--count", "1", "--bundle", "no/such"), "no/such"),
        (("fit", "acdc", "--out", "b"), "COHORT"),
        (("fit", "elsewhere:x", "--out", "b"), "COHORT"),
        (("fit", "hearts:few", "--out", "b"), "COHORT"),
        (("fit", "hearts:0", "--out", "b"), "count"),
        (("fit", "hearts:3", "--out", "b", "--preset", "huge"), "huge"),
        (("fit", "acdc:no/such", "--out", "b"), "no/such"),
        (("fit", "mnms:no/such", "--out", "b"), "no/such"),
        (("fit", "nifti:no/such", "--out", "b"), "no/such"),
        (("hearts", "--count", "0", "--out", "h"), "count"),
        (("hearts", "--count", "1", "--out", "h", "--target", "XYZ"), "XYZ"),
        (("hearts", "--count", "1", "--out", "h", "--workers", "0"), "workers"),
        (("show", "no/such"), "no/such"),
        (("verify", "no/such"), "no/such"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, said, capsys, tmp_path, monkeypatch) -> None:
    """Whatever is wrong with a command line, the answer is one line that names it, and exit code 2."""
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        "build --target ARV --count 1",
        *(f"hearts --count 1 --layout {layout}" for layout in ("dataset", "acdc", "mnms")),
    ],
)
def test_an_existing_output_folder_is_refused(command, capsys, tmp_path) -> None:
    """Nothing is ever written into a folder that exists."""
    assert str(tmp_path) in refused(capsys, *command.split(), "--out", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SynthgenError("it failed."), 1, "it failed."),
        (InputError("x", expected="y", got="z"), 2, "x: expected y, got z."),
        (PartialError("half done."), 3, "half done."),
        (DamageError("two\nlines"), 4, "two lines"),
        (OSError(28, "No space left on device"), 1, "No space left"),
        (PermissionError(13, "Permission denied", "some/file"), 1, "synthgen: some/file: Permission denied."),
        (ZeroDivisionError("by zero"), 1, "unexpected ZeroDivisionError: by zero"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_failure_is_one_line_and_its_code(error, code, said, capsys, monkeypatch) -> None:
    """Each kind of failure ends with its exit code and one line on standard error, never a traceback."""

    @click.command()
    def verify() -> None:
        raise error

    monkeypatch.setattr(cli._LazyGroup, "get_command", lambda *_: verify)
    assert cli.run(["verify"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert err.strip().count("\n") == 0


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    """Give both signals back what they did."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals_as_before")
def test_a_late_interrupt_does_not_change_the_code(monkeypatch) -> None:
    """What a command ended with stays the exit code, also when Ctrl-C is pressed again while the process ends."""
    monkeypatch.setattr(cli, "run", lambda: 3)
    with pytest.raises(SystemExit) as end:
        cli.main()
    signal.raise_signal(signal.SIGINT)
    assert end.value.code == 3


@pytest.mark.usefixtures("signals_as_before")
def test_a_batch_system_stops_a_command_as_ctrl_c_does(monkeypatch) -> None:
    """SIGTERM interrupts where SIGINT would, in the background too, where shells have SIGINT ignored."""
    monkeypatch.setattr(cli, "run", lambda: signal.raise_signal(signal.SIGTERM))
    for before in (signal.default_int_handler, signal.SIG_IGN):
        signal.signal(signal.SIGINT, before)
        with pytest.raises(KeyboardInterrupt):
            cli.main()


@pytest.mark.usefixtures("signals_as_before")
def test_an_orderly_end_is_not_interrupted() -> None:
    """Neither signal reaches what cleans up after a first one; afterwards both interrupt again."""
    for number in INTERRUPTS:
        signal.signal(number, signal.default_int_handler)
    with uninterrupted():
        for number in INTERRUPTS:
            signal.raise_signal(number)
    for number in INTERRUPTS:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


def test_debug_shows_the_traceback(capsys, monkeypatch) -> None:
    """The hint of an unexpected failure is true: with `--debug` the traceback is shown."""

    @click.command()
    def verify() -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(cli._LazyGroup, "get_command", lambda *_: verify)
    assert cli.run(["--debug", "verify"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_classes_are_read_in_any_usual_way() -> None:
    """Targets come repeated, as a comma list or as `all`; each counts once, in the order given."""
    assert options.pathologies(("arv", "HCM, DCM", "ARV")) == (Pathology.ARV, Pathology.HCM, Pathology.DCM)
    assert options.pathologies(("all",)) == tuple(Pathology)
    assert options.vendors(("d,A",)) == (Vendor.D, Vendor.A)


@pytest.mark.parametrize(("text", "span"), [("0.7:1", (0.7, 1.0)), ("0.5", (0.5, 0.5)), ("0:0", (0.0, 0.0))])
def test_severity_is_a_range_or_a_number(text, span) -> None:
    """`LO:HI` is a range and one number is that severity exactly."""
    assert options.severity(text) == span


def test_progress_is_plain_lines_without_a_terminal(capsys) -> None:
    """Without a terminal, progress is lines with count and rate, the last one always said."""
    with console.Reporter("subjects") as reporter:
        reporter.announce("first stage: starting")
        for done in range(4):
            reporter.progress(done, 3)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "first stage: starting"
    assert err.splitlines()[-1].startswith("3 of 3 subjects, ")


def test_progress_on_a_terminal_shows_rate_and_time_left() -> None:
    """On a terminal, progress is a bar with count, rate and time left."""
    script = (
        "import time\nfrom synthgen.commands.console import Reporter\n"
        "with Reporter('subjects') as r:\n"
        "    for n in range(1, 9):\n        time.sleep(0.05)\n        r.progress(n, 10)\n"
    )
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", script], stderr=child, env=environment, check=True)
    os.close(child)
    said = os.read(parent, 1 << 16).decode()
    os.close(parent)
    assert "8/10" in said
    assert "per s" in said
    assert "0:00:0" in said


def test_quiet_progress_says_nothing(capsys) -> None:
    """With `--json` nothing but the document is written."""
    with console.Reporter("subjects", quiet=True) as reporter:
        reporter.announce("nothing")
        reporter.progress(3, 3)
    console.emit({"folder": Path("a/b"), "subjects": 3}, "3 subjects", as_json=True)
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {"folder": "a/b", "subjects": 3}


def test_the_root_launcher_is_the_same_program() -> None:
    """`python cli.py` in a checkout is the installed command."""
    launcher = Path(__file__).parents[1] / "cli.py"
    answer = subprocess.run([sys.executable, launcher, "--version"], capture_output=True, text=True, check=True)
    assert cli.__version__ in answer.stdout
