"""Worker processes."""

from __future__ import annotations

from threadpoolctl import threadpool_info

from synthgen.processes import worker_pool


def _threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info()]


def test_a_worker_computes_with_one_thread() -> None:
    """Linear algebra of several workers does not fight for the processors."""
    with worker_pool(1) as pool:
        found = pool.submit(_threads).result()
    assert set(found) == {1}
