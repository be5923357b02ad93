"""The type checker that the tests put around every function of the package, through jaxtyping's import hook."""

from __future__ import annotations

from typing import Any, Self

from beartype import BeartypeConf, FrozenDict, beartype

checked = beartype(conf=BeartypeConf(hint_overrides=FrozenDict({Self: Any})))
"""beartype, except that `Self` is not checked: jaxtyping decorates methods one by one, where it has no meaning."""
