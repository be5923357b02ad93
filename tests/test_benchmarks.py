"""Benchmarks take minutes to hours and are run by hand: here each finds what it imports, and says how it is run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NO_COMMANDS = {"mutations"}
"""Modules that the scripts share."""


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_a_benchmark_can_be_started(name, monkeypatch):
    """What it imports is there still, and its docstring has its command."""
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location(f"synthgen_benchmark_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # data classes look their module up
    spec.loader.exec_module(module)
    assert name in NO_COMMANDS or f"benchmarks/{name}.py" in module.__doc__
