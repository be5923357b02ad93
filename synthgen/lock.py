"""A lock that two processes cannot hold, and that a killed process does not keep."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from synthgen.errors import InputError, SynthgenError, writing_failed


class FolderLock:
    """Exclusive right to write in `folder`, held through the file `.NAME.lock` beside it.

    The lock is the kernel's (`flock`), so it ends with the process, however it ends; a lock file that stays behind
    means nothing.

    Raises
    ------
    InputError
        If another process holds it, or `folder` has no name beside which the file could lie, as `/` has none.
    SynthgenError
        If the file system refuses to write, cannot lock or is full.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.name:
            raise InputError(folder, expected="a name for a new file or folder", got=repr(str(folder)))
        self._path = folder.with_name(f".{folder.name}.lock")
        self._handle = self._acquire(folder)
        try:
            self._sign()
        except OSError as error:
            self.release()
            raise writing_failed(self._path, error) from error

    def _acquire(self, folder: Path) -> int:
        while True:
            try:
                handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            except OSError as error:
                raise writing_failed(folder, error) from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
                os.close(handle)
                if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                    raise SynthgenError(f"{self._path}: this file system cannot lock ({error.strerror}).") from error
                raise InputError(
                    folder,
                    expected="a folder that nobody else is writing in",
                    got=f"one being written by {holder or 'another process'}",
                    hint="Wait until it has ended, or choose another name",
                ) from None
            if self._is_current(handle):
                return handle
            os.close(handle)  # the holder removed the file between our open and our lock: take the new one

    def _sign(self) -> None:
        """Say in the file who holds the lock."""
        os.ftruncate(self._handle, 0)
        os.write(self._handle, f"process {os.getpid()} on {os.uname().nodename}\n".encode())

    def _is_current(self, handle: int) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(handle)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def release(self) -> None:
        """Give the lock back and remove its file; releasing twice does nothing."""
        if self._handle >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
