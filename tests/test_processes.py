"""Worker processes."""

from __future__ import annotations

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
