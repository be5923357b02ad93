"""The processors this process may use, and worker processes, started the one way that is safe here."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING

from synthgen.errors import PartialError

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what batch systems stop a job with, which the command line takes for Ctrl-C."""


def usable_processors() -> int:
    """Return how many processors this process may use: a batch system often grants fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_pool(workers: int | None = None) -> ProcessPoolExecutor:
    """Return a pool of `workers` fresh processes; one per usable processor when None.

    They are spawned, because a fork after threads have started may deadlock. Linear algebra keeps to one thread:
    two workers of two threads each simulated hearts at a quarter of the speed on two processors. They leave Ctrl-C to
    the main process, which stops them in order and says so in one line; when it is killed, they end too.
    """
    context = multiprocessing.get_context("spawn")
    return _Pool(workers or usable_processors(), mp_context=context, initializer=_begin)


class _Pool(ProcessPoolExecutor):
    """A pool that Ctrl-C cannot stop on its way out: workers that were not told to end would be waited for forever."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers, as `Executor.shutdown` does."""
        with uninterrupted():
            super().shutdown(wait, cancel_futures=cancel_futures)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore interrupts, for the orderly end of what a first one stopped; signals are no matter of other threads."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    held = {number: handler for number, handler in before.items() if callable(handler)}  # others do nothing, or kill
    for number in held:
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)


@contextmanager
def worker_deaths() -> Iterator[None]:
    """Turn the death of a worker process into a message; to be put around every use of a pool.

    Raises
    ------
    PartialError
        If a worker process was killed, by someone or for want of memory.
    """
    try:
        yield
    except BrokenProcessPool as error:
        raise PartialError(
            "a worker process was killed, perhaps for want of memory; run the same command again, with fewer workers. "
            'In a script of yours the call has to stand below `if __name__ == "__main__":`, or workers run it again.'
        ) from error


def share_processors() -> None:
    """Let torch use one thread if this is a worker process: a pool has as many workers as there are processors."""
    if multiprocessing.parent_process() is not None:
        import torch  # noqa: PLC0415 - heavy; workers that simulate do without

        torch.set_num_threads(1)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch use one thread, as worker processes do: with more it adds in another order."""
    import torch  # noqa: PLC0415 - heavy

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let linear algebra use one thread: with more, sums are divided otherwise and end in other last bits."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return what threadpoolctl finds once both libraries that bring linear algebra are loaded."""
    import numpy  # noqa: F401, ICN001, PLC0415
    import scipy.linalg  # noqa: F401, PLC0415
    from threadpoolctl import ThreadpoolController  # noqa: PLC0415

    return ThreadpoolController()


def _begin() -> None:
    """Prepare a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _libraries().limit(limits=1, user_api="blas")


def _end_with_parent() -> None:
    """End this worker process when its main process is gone; one that was killed cannot say that it goes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
