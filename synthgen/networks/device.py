"""The device that networks run on, from what a user asked for."""

from __future__ import annotations

import torch

from synthgen.errors import InputError


def device_of(asked: str | None) -> str:
    """Return the device that `auto`, `cpu`, `cuda` or None means here; InputError if this machine has none of it."""
    if asked in {None, "auto"}:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(asked)
    except RuntimeError as error:
        raise InputError("device", expected="auto, cpu or cuda", got=repr(asked)) from error
    if device.type not in {"cpu", "cuda"} or (device.type == "cuda" and not torch.cuda.is_available()):
        raise InputError(
            "device", expected="one that this machine has", got=repr(asked), hint="auto takes what is there"
        )
    return str(device)
