"""The package as a whole: its door, its version, what is shipped in it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module, resources
from pathlib import Path
from types import ModuleType

import pytest

import synthgen

ROOT = Path(__file__).parents[1]


def run(script: str) -> str:
    """Run `script` in a fresh interpreter and return what it prints."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_import_is_light() -> None:
    """`import synthgen` imports neither torch nor anything else that is heavy."""
    heavy = "[m for m in ('torch', 'torchio', 'numpy', 'zarr', 'scipy', 'pydantic', 'click') if m in sys.modules]"
    assert run(f"import sys, synthgen; print({heavy})") == "[]"


@pytest.mark.parametrize("name", [n for n in synthgen.__all__ if n != "__version__"])
def test_every_public_name_opens(name) -> None:
    """Each name of `__all__` is there, is no module, and is told by `dir`."""
    assert not isinstance(getattr(synthgen, name), ModuleType)
    assert name in dir(synthgen)


def test_the_table_behind_the_door_is_the_door() -> None:
    """`__all__` lists exactly what the lazy table can open, and the version."""
    assert sorted(synthgen.__all__) == sorted([*synthgen._HOMES, "__version__"])


def test_unknown_names_are_attribute_errors() -> None:
    """A name that is not public is an AttributeError, so that `hasattr` works."""
    assert not hasattr(synthgen, "no_such_thing")


@pytest.mark.parametrize("name", ["build", "fit"])
@pytest.mark.parametrize(
    "first", ["import synthgen.{0}", "from synthgen.{0} import {0}", "from synthgen import {0}", ""]
)
def test_use_cases_stay_functions(name, first) -> None:
    """`synthgen.build` is the function, not the module of that name, whatever was imported first."""
    script = f"import synthgen\n{first.format(name)}\nimport synthgen.{name}\nprint(type(synthgen.{name}).__name__)"
    assert run(script) == "function"


def test_typing_marker_is_shipped() -> None:
    """Type checkers of users see the annotations: `py.typed` is in the package."""
    assert resources.files("synthgen").joinpath("py.typed").is_file()


def test_default_bundle_is_shipped() -> None:
    """The default bundle lies in the package, whole, and stays below 16 MB."""
    folder = resources.files("synthgen").joinpath("bundles", "default")
    files = [entry for entry in folder.iterdir() if entry.is_file()]
    assert "bundle.json" in {entry.name for entry in files}
    assert sum(len(entry.read_bytes()) for entry in files) < 16e6
    assert synthgen.load_bundle("default").name == "default"


def test_sub_packages_reexport_nothing() -> None:
    """Sub-package `__init__` files are empty: leaf modules are imported, so that cycles cannot form."""
    package = Path(str(resources.files("synthgen")))
    for init in package.glob("*/__init__.py"):
        assert init.read_text() == "", init.parent.name


@pytest.mark.parametrize("path", sorted((ROOT / "manifests").glob("*.json")), ids=lambda path: path.stem)
def test_recipes_of_the_repository_parse(path) -> None:
    """Each recipe under `manifests/` is a recipe, and in the form that the program itself writes."""
    recipe = import_module("synthgen.engine.recipe").Recipe.load(path)
    assert recipe.count > 0
