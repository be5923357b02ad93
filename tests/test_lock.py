from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synthgen.errors import InputError, SynthgenError
from synthgen.lock import FolderLock

HOLD = "import sys, pathlib, time; from synthgen.lock import FolderLock\n"
HOLD += "lock = FolderLock(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"


def test_one_holder_at_a_time(tmp_path):
    """A second lock of a folder is refused and told who holds it; after release it is free, and no file stays."""
    with FolderLock(tmp_path / "cohort"):
        with pytest.raises(InputError, match=f"process {os.getpid()} "):
            FolderLock(tmp_path / "cohort")
        FolderLock(tmp_path / "other").release()
    lock = FolderLock(tmp_path / "cohort")
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_nobody_may_write_is_told(tmp_path):
    """The folder that was asked for is named, not the file of the lock."""
    (tmp_path / "file").touch()
    with pytest.raises(SynthgenError, match=r"file/cohort: cannot be written \(Not a directory\)"):
        FolderLock(tmp_path / "file" / "cohort")


def test_a_killed_holder_holds_nothing(tmp_path, child_environment):
    """Another process's lock is respected while it lives and gone when it is killed, though its file stays."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "cohort")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {process.pid} "):
            FolderLock(tmp_path / "cohort")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / ".cohort.lock").exists()
    FolderLock(tmp_path / "cohort").release()


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [("os.write", errno.ENOSPC, "cannot be written"), ("fcntl.flock", errno.ENOLCK, "cannot lock")],
)
def test_a_file_system_that_refuses_is_told(tmp_path, monkeypatch, call, code, said):
    """A full disk is not taken for one that cannot lock; what holds no lock leaves a free name."""

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(call, refuse)
    with pytest.raises(SynthgenError, match=rf"\.cohort\.lock: .*{said} \({os.strerror(code)}\)"):
        FolderLock(tmp_path / "cohort")
    monkeypatch.undo()
    FolderLock(tmp_path / "cohort").release()
    assert list(tmp_path.iterdir()) == []


def test_nothing_lies_beside_the_root():
    """The root of the file system is refused as the name of something new."""
    with pytest.raises(InputError, match="a name"):
        FolderLock(Path("/"))
