"""Exceptions of the project: each carries the exit code that the command line ends with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path


class SynthgenError(Exception):
    """The work failed (exit code 1). The message is one line, ready to be shown to a user."""

    exit_code = 1


class InputError(SynthgenError):
    """Something handed in is wrong (exit code 2).

    Parameters
    ----------
    subject
        The file, folder, option or value at fault.
    expected
        What would have been right.
    got
        What came instead.
    hint
        What the user can do about it; empty when the first three say it.
    """

    exit_code = 2

    def __init__(self, subject: str | Path, *, expected: str, got: str, hint: str = "") -> None:
        self.subject, self.expected, self.got, self.hint = str(subject), expected, got, hint
        message = f"{subject}: expected {expected}, got {got}"
        super().__init__(" ".join(f"{message}. {hint}".rstrip(". ").split()) + ".")

    def __reduce__(self) -> tuple[Callable[[], InputError], tuple[()]]:
        """Cross process borders whole: an exception is otherwise made again from its message alone."""
        return partial(type(self), self.subject, expected=self.expected, got=self.got, hint=self.hint), ()


class PartialError(SynthgenError):
    """The work is partly done and can be resumed by the same command (exit code 3)."""

    exit_code = 3


class DamageError(SynthgenError):
    """Verification found missing, changed or extra bytes (exit code 4)."""

    exit_code = 4


def writing_failed(path: Path, error: OSError) -> SynthgenError:
    """Return the error to raise when the file system refuses to write."""
    return SynthgenError(f"{path}: cannot be written ({error.strerror or error}).")


@contextmanager
def resumable(work: Path) -> Iterator[None]:
    """Make a PartialError of an interrupt that leaves a folder of work to go on with."""
    try:
        yield
    except KeyboardInterrupt:
        if not work.is_dir():
            raise
        raise PartialError(f"{work}: interrupted; the same command goes on with it.") from None
