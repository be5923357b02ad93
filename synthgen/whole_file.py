"""`whole_file`: a file that appears whole or not at all, whatever happens while it is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from synthgen.errors import SynthgenError, writing_failed


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to, which becomes `path` when the block ends well, its content on the disk.

    The process is part of the name, so that no two write into the same file. When the block ends the name is gone; only
    a process that is killed leaves it, see `left_over`.

    Raises
    ------
    SynthgenError
        If the file system refuses to write.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield staged
        _sync(staged)
        staged.replace(path)
    except OSError as error:
        raise writing_failed(path, error) from error
    except SafetensorError as error:  # hides the operating system's number in its message
        raise SynthgenError(f"{path}: cannot be written ({error}).") from error
    finally:
        with suppress(OSError):
            staged.unlink()


def left_over(path: Path) -> set[Path]:
    """Return what killed processes left beside `path`, and what running ones are writing there now."""
    return set(path.parent.glob(f".{path.name}.*.partial"))


def _sync(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
