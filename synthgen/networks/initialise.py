"""Initial weights from a keyed generator: torch's own constructors draw from the global one."""

from __future__ import annotations

import math
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


@runtime_checkable
class OwnWeights(Protocol):
    """A module that wants other initial weights for some of its layers than the common rule."""

    def own_weights(self, generator: torch.Generator) -> None:
        """Overwrite those weights in place."""
        ...


@torch.no_grad()
def initialise(module: Module, generator: torch.Generator) -> Module:
    """Draw every weight of `module` anew from `generator` (CPU), in place, and return the module.

    Convolutions and linear layers are uniform within one over the root of the fan-in, torch's default; the
    power-iteration vectors of spectral normalisation are random unit vectors; modules with `own_weights` have the last
    word.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            parametrised = getattr(layer, "parametrizations", None)
            weight = layer.weight if parametrised is None else parametrised.weight.original
            bound = 1 / math.sqrt(math.prod(weight.shape[1:]))
            for parameter in (weight, layer.bias):
                if parameter is not None:
                    parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))
        for name, vector in layer.named_buffers(recurse=False):
            if name in ("_u", "_v"):
                drawn = torch.empty(vector.shape).normal_(generator=generator)
                vector.copy_(drawn / drawn.norm())
    for layer in module.modules():
        if isinstance(layer, OwnWeights):
            layer.own_weights(generator)
    return module
