"""The type checker that the tests put around every function of the package, through jaxtyping's import hook."""

from __future__ import annotations

from typing import Any, Self

from beartype import BeartypeConf, FrozenDict, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({Self: Any})))
"""beartype, reading annotations as mypy does: an int is a float. `Self` is not checked: methods come one by one."""
