"""Worker processes, started the one way that is safe here."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor


def worker_pool(workers: int | None = None) -> ProcessPoolExecutor:
    """Return a pool of `workers` fresh processes; one per core when None.

    They are spawned, because a fork after threads have started may deadlock, and they leave Ctrl-C to the main process,
    which stops them in order and says so in one line.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context, initializer=_ignore_interrupt)


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
