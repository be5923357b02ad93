"""Labelled synthetic short-axis cardiac MR cohorts by pathology, vendor and severity.

This is the one door for Python users. Everything behind it is imported on first use, so that `import synthgen` costs
milliseconds and never loads torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthgen.build import build
    from synthgen.datasets.cohort import SyntheticCohort, open_dataset
    from synthgen.engine.recipe import Recipe
    from synthgen.fit import fit
    from synthgen.hearts.virtual_hearts import VirtualHearts
    from synthgen.networks.bundle import load_bundle
    from synthgen.render import Rendering, render
    from synthgen.sources import open_cohort

__version__ = "0.1.0"

__all__ = [
    "Recipe",
    "Rendering",
    "SyntheticCohort",
    "VirtualHearts",
    "__version__",
    "build",
    "fit",
    "load_bundle",
    "open_cohort",
    "open_dataset",
    "render",
]

_HOMES = {
    "Recipe": "synthgen.engine.recipe",
    "Rendering": "synthgen.render",
    "SyntheticCohort": "synthgen.datasets.cohort",
    "VirtualHearts": "synthgen.hearts.virtual_hearts",
    "build": "synthgen.build",
    "fit": "synthgen.fit",
    "load_bundle": "synthgen.networks.bundle",
    "open_cohort": "synthgen.sources",
    "open_dataset": "synthgen.datasets.cohort",
    "render": "synthgen.render",
}


class _Door(ModuleType):
    """A package whose public names stay what they are when a sub-module of the same name is imported.

    Python binds `synthgen.build` to the module of that name as soon as anything imports it, which would turn the public
    function `synthgen.build` into an uncallable module, depending on who imported what first.
    """

    def __setattr__(self, name: str, value: object) -> None:
        """Bind `name`, except a sub-module over a public name."""
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)


sys.modules[__name__].__class__ = _Door
