"""Worker processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from threadpoolctl import threadpool_info

from synthgen.processes import worker_pool


def _threads() -> list[int]:
    import scipy.linalg  # noqa: F401 - has a library of its own, which a later import must not bring back

    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_a_worker_computes_with_one_thread() -> None:
    """Linear algebra of several workers does not fight for the processors."""
    with worker_pool(1) as pool:
        found = pool.submit(_threads).result()
    assert len(found) >= 2, "numpy's and scipy's"
    assert set(found) == {1}


BUSY = """
import signal, time
from synthgen.processes import worker_pool
if __name__ == '__main__':
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a script starts in the background
    pool = worker_pool(1)
    try:
        for job in [pool.submit(time.sleep, seconds) for seconds in (0, {seconds}, {seconds})]:
            job.result()
            print('busy', flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
"""


@pytest.mark.parametrize(
    ("signals", "seconds"), [([signal.SIGTERM], 60), ([signal.SIGINT, signal.SIGINT], 1)], ids=["killed", "interrupted"]
)
def test_no_worker_outlives_the_main_process(signals, seconds, child_environment) -> None:
    """Killed in the middle of a long job or interrupted twice, the main process and its workers end within seconds."""
    command = [sys.executable, "-c", BUSY.format(seconds=seconds)]
    with subprocess.Popen(command, stdout=-1, stderr=-1, env=child_environment) as process:
        try:
            assert process.stdout.readline() == b"busy\n"
            for number in signals:
                process.send_signal(number)
                time.sleep(0.2)
            process.communicate(timeout=30)  # ends when nobody, no worker either, holds the pipes any more
        finally:
            process.kill()
    assert process.returncode == -signals[0]
