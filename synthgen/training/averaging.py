"""`Averages`: exponential moving averages of networks under training, which end up in the networks themselves."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Averages:
    """Averages of weights and batch statistics; none are kept when `decay` is 0.

    A high learning rate learns quickly and leaves weights that rattle from step to step; their average does not
    (Polyak & Juditsky 1992, doi 10.1137/0330046).

    Parameters
    ----------
    modules
        The modules of an objective; averages are put beside them as `<name>_ema`, so that snapshots hold them.
    decay
        Per step, in [0, 1).
    """

    def __init__(self, modules: dict[str, nn.Module], decay: float) -> None:
        self._modules, self._decay = modules, decay
        self._names: set[str] = set()

    def keep(self, name: str) -> None:
        """Average `modules[name]` from its present weights on."""
        if self._decay:
            self._modules[f"{name}_ema"] = copy.deepcopy(self._modules[name]).eval()
            self._names.add(name)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the averages towards the networks; quickly at first, so that the start is forgotten."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name in sorted(self._names):
            average = self._modules[f"{name}_ema"].state_dict()
            for key, value in self._modules[name].state_dict().items():
                if value.dtype.is_floating_point:
                    average[key].lerp_(value, 1 - decay)
                else:
                    average[key].copy_(value)

    def settle(self) -> None:
        """Put the averages into the networks; to be called after the last step."""
        for name in sorted(self._names):
            self._modules[name].load_state_dict(self._modules[f"{name}_ema"].state_dict())
