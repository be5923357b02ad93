"""The processors this process may use, and worker processes, started the one way that is safe here."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor


def usable_processors() -> int:
    """Return how many processors this process may use: a batch system often grants fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_pool(workers: int | None = None) -> ProcessPoolExecutor:
    """Return a pool of `workers` fresh processes; one per usable processor when None.

    They are spawned, because a fork after threads have started may deadlock, and they leave Ctrl-C to the main process,
    which stops them in order and says so in one line.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers or usable_processors(), mp_context=context, initializer=_ignore_interrupt)


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
