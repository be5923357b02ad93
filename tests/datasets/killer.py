"""Write a dataset in child processes that are killed; started by test_writer.py, reports JSON on standard output.

Arguments: folder, mode. `exhaustive` kills a build before every single file operation, `growth` and `conversion` an
extension and a conversion; `timed` kills each of them at ten arbitrary moments.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from synthgen.datasets.convert import convert
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.verify import verify
from synthgen.datasets.writer import DatasetWriter

_spec = importlib.util.spec_from_file_location("phantoms", Path(__file__).with_name("phantoms.py"))
_phantoms = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_phantoms)

EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.scandir", "os.truncate", "os.link"}


class Bomb:
    """Kills this process at the n-th file operation below a folder; without n it only counts."""

    def __init__(self, folder: Path, moment: int | None) -> None:
        self.count = 0
        self._folder = str(folder)
        self._moment = moment
        self.armed = True
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if self.armed and event in EVENTS and self._folder in str(arguments[0]):
            if self.count == self._moment:
                os.kill(os.getpid(), signal.SIGKILL)
                threading.Event().wait()
            self.count += 1


def write(out: Path, subjects: list, rows: int, threads: int = 1) -> None:
    """Write or resume the dataset."""
    with DatasetWriter.open(out, plan={"seed": 7}, subject_ids=[s.subject_id for s in subjects]) as writer:
        todo = [s for s in subjects if s.subject_id not in writer.done]
        workers = [
            threading.Thread(target=lambda k=k: [writer.add(s) for s in todo[k::threads]]) for k in range(threads)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        writer.finish(preview_rows=rows)


def grow(out: Path, parent: Path, subjects: list) -> None:
    """Write or resume a new version of `parent`."""
    ids = [s.subject_id for s in subjects]
    with DatasetWriter.open(out, plan={"seed": 7}, subject_ids=ids, parent=StoredDataset(parent)) as writer:
        for subject in subjects:
            if subject.subject_id not in writer.done:
                writer.add(subject)
        writer.finish(preview_rows=0)


def child(work) -> int:
    """Run `work` in a fork and return its wait status."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def state(out: Path) -> list[str]:
    """Return what is wrong after a kill: a published dataset must be whole."""
    return [damage.what for damage in verify(out)] if out.exists() else []


def contents(out: Path) -> dict[str, bytes]:
    """Return every file of a dataset with its bytes."""
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def exhaustive(folder: Path) -> dict:
    """Kill a build everywhere."""
    subjects = [_phantoms.make_phantom(number, (1, 8, 8)) for number in range(2)]
    return everywhere(folder, lambda out: write(out, subjects, 0))


def growth(folder: Path) -> dict:
    """Kill an extension everywhere; the version it grows from must stay as it is."""
    subjects = [_phantoms.make_phantom(number, (1, 8, 8)) for number in range(2)]
    write(folder / "parent", subjects[:1], 0)
    before = contents(folder / "parent")
    found = everywhere(folder, lambda out: grow(out, folder / "parent", subjects))
    return found if contents(folder / "parent") == before else {**found, "faults": ["the parent changed"]}


def conversion(folder: Path) -> dict:
    """Kill conversions to HDF5 and NIfTI everywhere."""
    subjects = [_phantoms.make_phantom(number, (1, 8, 8)) for number in range(2)]
    write(folder / "source", subjects, 1)
    results = []
    for container in ("hdf5", "nifti"):
        (folder / container).mkdir()
        results.append(everywhere(folder / container, lambda out, c=container: convert(folder / "source", out, c)))
    return {"kills": sum(r["kills"] for r in results), "faults": [fault for r in results for fault in r["faults"]]}


def everywhere(folder: Path, work) -> dict:
    """Kill before each file operation in turn, then resume; every result must equal the uninterrupted one."""
    work(folder / "whole")
    whole = contents(folder / "whole")
    faults, kills = [], 0
    for moment in range(10_000):
        out = folder / f"k{moment}" / "cohort"
        out.parent.mkdir()
        status = child(lambda out=out, moment=moment: (Bomb(out.parent, moment), work(out)))
        kills += os.WIFSIGNALED(status)
        faults += state(out)
        if not out.exists() and child(lambda out=out: work(out)) != 0:
            faults.append(f"moment {moment}: resume failed")
        if not out.exists() or contents(out) != whole:
            faults.append(f"moment {moment}: differs from the uninterrupted dataset")
        if not os.WIFSIGNALED(status):
            break
    return {"kills": kills, "faults": faults}


def timed(folder: Path) -> dict:
    """Kill ten times at arbitrary moments, each of: a build by four threads, an extension, conversions. After each kill
    the same dataset is resumed, until it is whole.
    """
    rng = np.random.default_rng(0)
    subjects = [_phantoms.make_phantom(number, (2, 32, 32)) for number in range(40)]
    parent = folder / "parent"
    write(parent, subjects[:20], 1)
    before = contents(parent)
    works = {
        "build": lambda out: write(out, subjects, 1, threads=4),
        "extension": lambda out: grow(out, parent, subjects),
        "hdf5": lambda out: convert(parent, out, "hdf5"),
        "nifti": lambda out: convert(parent, out, "nifti"),
    }
    kills, faults = dict.fromkeys(works, 0), []
    for name, work in works.items():
        begun = time.monotonic()
        work(folder / name)
        seconds = time.monotonic() - begun
        whole, out = contents(folder / name), folder / f"{name}-0"
        for number in range(1, 11):
            kills[name] += killed(lambda out=out, work=work: work(out), float(rng.uniform(0, seconds / 3)))
            faults += state(out)
            if number == 10 and not out.exists():
                work(out)
            if out.exists():
                faults += [] if contents(out) == whole else [f"{name}: differs from the uninterrupted dataset"]
                out = folder / f"{name}-{number}"
    if contents(parent) != before:
        faults.append("the parent changed")
    return {"kills": sum(kills.values()), "fewest": min(kills.values()), "faults": faults}


def killed(work, seconds: float) -> bool:
    """Run `work` in a fork, kill it after some time, and return whether it was still running."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    # a killed process loses nothing that the kernel has; syncing the disk of a busy machine is most of the time here
    os.sync = os.fsync = lambda *_: None
    modes = {work.__name__: work for work in (exhaustive, growth, conversion, timed)}
    result = modes[sys.argv[2]](Path(sys.argv[1]))
    sys.stdout.write(json.dumps(result))
