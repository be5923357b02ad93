"""`PackedStacks`: label-like stacks of many subjects in little memory, and in one safetensors file of a bundle."""

from __future__ import annotations

import lzma
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.factors.latents import decode_json, encode_json
from synthgen.labels import Phase

_LARGEST_STACK = 2 * 64 * 1024 * 1024
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 21, "pb": 0}]
"""Of xz; a value is one byte, so nothing repeats every four (`pb`)."""

_MEMORY = 64 << 20


class PackedStacks:
    """Stacks `(2 phases, z, H, W)` uint8 by id, each with a header of JSON values; packed until asked for.

    Parameters
    ----------
    headers
        By id; each has a `shape` `[z, H, W]`.
    stacks
        Packed bytes by id.
    """

    def __init__(self, headers: Mapping[str, dict[str, Any]], stacks: Mapping[str, bytes]) -> None:
        self._headers, self._stacks = dict(headers), dict(stacks)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids in the order of the source cohort."""
        return tuple(self._headers)

    def header(self, subject_id: str) -> dict[str, Any]:
        """Return a subject's header; InputError if there is no such subject."""
        if subject_id not in self._headers:
            raise InputError("donors", expected="a donor of the bundle", got=repr(subject_id))
        return self._headers[subject_id]

    def stack(self, subject_id: str) -> NDArray[np.uint8]:
        """Return a subject's stack `(2, z, H, W)`, read-only.

        Raises
        ------
        InputError
            If there is no such subject or its stack does not have the announced size.
        """
        with reading(subject_id):
            shape = (len(Phase), *(int(length) for length in self.header(subject_id)["shape"]))
            size = math.prod(shape)
        if len(shape) != 4 or not 0 < size <= _LARGEST_STACK:
            raise InputError(f"donor {subject_id}", expected="a stack (2, z, H, W)", got=f"shape {shape}"[:200])
        try:
            raw = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY).decompress(self._stacks[subject_id], size + 1)
        except lzma.LZMAError as error:
            raise InputError(f"donor {subject_id}", expected="a stack packed by xz", got=str(error)) from error
        if len(raw) != size:
            raise InputError(f"donor {subject_id}", expected=f"a stack of {size} bytes", got="another size")
        return np.frombuffer(raw, np.uint8).reshape(shape)

    @classmethod
    def of(cls, subjects: Iterable[tuple[str, dict[str, Any], NDArray[np.uint8]]]) -> Self:
        """Pack subjects given as id, header without `shape`, and stack."""
        headers, stacks = {}, {}
        for subject_id, header, stack in subjects:
            headers[subject_id] = {**header, "shape": list(stack.shape[1:])}
            stacks[subject_id] = lzma.compress(np.ascontiguousarray(stack).tobytes(), filters=_FILTERS)
        return cls(headers, stacks)

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return everything as a flat dictionary for a safetensors file."""
        stacks = {
            f"stack.{subject_id}": torch.frombuffer(bytearray(stack), dtype=torch.uint8)
            for subject_id, stack in self._stacks.items()
        }
        return {"donors": encode_json(list(self._headers.items())), **stacks}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor], file: str) -> Self:
        """Read what `to_tensors` wrote into `file`.

        Raises
        ------
        InputError
            If a subject's stack is missing, or the headers are not pairs of an id and a table.
        """
        try:
            headers = {str(name): dict(header) for name, header in decode_json(tensors["donors"])}
            stacks = {subject_id: bytes(tensors[f"stack.{subject_id}"].numpy()) for subject_id in headers}
        except KeyError as missing:
            raise InputError(file, expected=f"a tensor {missing}", got="none") from missing
        except (TypeError, ValueError) as error:
            raise InputError(file, expected="headers by id", got=str(error)[:200]) from error
        return cls(headers, stacks)


@contextmanager
def reading(subject_id: str) -> Iterator[None]:
    """Turn what a malformed header raises while a subject is made of it into an InputError that names the subject."""
    try:
        yield
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        got = f"{type(error).__name__}: {error}"[:200]
        raise InputError(f"donor {subject_id}", expected="the header of a donor", got=got) from error


def spacing_of(header: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return the three positive millimetres that a header states; ValueError if it does not."""
    z, y, x = (float(length) for length in header["spacing_mm"])
    if not (z > 0 and y > 0 and x > 0 and math.isfinite(z + y + x)):
        raise ValueError(f"spacing {header['spacing_mm']}")
    return z, y, x
