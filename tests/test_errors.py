"""Errors: one line, a code, and whole on the other side of a process border."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest

from synthgen.errors import DamageError, InputError, PartialError, SynthgenError


def test_the_message_is_one_line() -> None:
    """Whatever is put in, the message is one line that ends in one full stop and says all four parts."""
    error = InputError(Path("a/b"), expected="one\nthing", got="two\tthings", hint="Try again.")
    assert str(error) == "a/b: expected one thing, got two things. Try again."
    assert str(InputError("x", expected="y", got="z")) == "x: expected y, got z."


@pytest.mark.parametrize(
    ("kind", "code"), [(SynthgenError, 1), (InputError, 2), (PartialError, 3), (DamageError, 4)], ids=str
)
def test_exit_codes(kind, code) -> None:
    """Each kind of error has the exit code that the command line promises."""
    assert kind.exit_code == code


def test_an_error_is_copied_whole() -> None:
    """A copy, as a process border makes it, says the same and keeps its parts."""
    error = InputError("x", expected="y", got="z", hint="h")
    again = copy.copy(error)
    assert type(again) is InputError
    assert str(again) == str(error)
    assert (again.subject, again.expected, again.got, again.hint) == ("x", "y", "z", "h")


def test_bad_input_found_by_a_worker_arrives_as_it_is() -> None:
    """What a worker process raises is the same InputError here, and no broken pool."""
    script = (
        "from synthgen.labels import Pathology\nfrom synthgen.processes import worker_pool\n"
        "if __name__ == '__main__':\n"
        "    with worker_pool(1) as pool:\n"
        "        print(repr(pool.submit(Pathology.parse, 'XYZ').exception()))\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "InputError" in answer.stdout
    assert "XYZ" in answer.stdout


def test_a_pool_ignores_the_interrupt_of_the_terminal() -> None:
    """Ctrl-C reaches the main process only: a worker goes on, and there is no traceback of its own."""
    script = (
        "import os, signal\nfrom synthgen.processes import worker_pool\n"
        "if __name__ == '__main__':\n"
        "    with worker_pool(1) as pool:\n"
        "        worker = pool.submit(os.getpid).result()\n"
        "        os.kill(worker, signal.SIGINT)\n"
        "        print(pool.submit(os.getpid).result() == worker)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "True"
    assert answer.stderr == ""
