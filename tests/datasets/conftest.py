"""Phantoms, and a small published dataset to read, copy and damage."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from synthgen.datasets.writer import DatasetWriter
from synthgen.subjects import SyntheticSubject

PHANTOMS = Path(__file__).with_name("phantoms.py")
_spec = importlib.util.spec_from_file_location("synthgen_test_phantoms", PHANTOMS)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)


@pytest.fixture(scope="session")
def phantom() -> Callable[..., SyntheticSubject]:
    """Return the phantom factory: `phantom(number, shape)`."""
    return _module.make_phantom


@pytest.fixture(scope="session")
def write_dataset(phantom) -> Callable[..., Path]:
    """Return a function that writes and publishes phantoms 0 to `count` - 1 at `out`."""

    def write(out: Path, count: int = 3, *, preview_rows: int = 0, **options) -> Path:
        subjects = [phantom(number, **options) for number in range(count)]
        plan = {"recipe": "phantoms", "count": count, "seed": 0}
        with DatasetWriter.open(out, plan=plan, subject_ids=[s.subject_id for s in subjects]) as writer:
            for subject in subjects:
                writer.add(subject)
            return writer.finish({"models": [{"bundle": "none"}]}, preview_rows=preview_rows)

    return write


@pytest.fixture(scope="session")
def published(tmp_path_factory, write_dataset) -> Path:
    """Return a published dataset of five phantoms with a preview. Read only: copy it to change it."""
    return write_dataset(tmp_path_factory.mktemp("published") / "cohort", 5, preview_rows=1)


@pytest.fixture(scope="session")
def _small(tmp_path_factory, write_dataset) -> Path:
    return write_dataset(tmp_path_factory.mktemp("small") / "cohort", 2, preview_rows=1, shape=(2, 8, 8))


@pytest.fixture
def small_dataset(_small, tmp_path) -> Path:
    """Return a copy of a dataset of two tiny phantoms, for tests that damage it many times."""
    return Path(shutil.copytree(_small, tmp_path / "small"))


@pytest.fixture
def dataset(published, tmp_path) -> Path:
    """Return a copy of the published dataset that a test may damage."""
    return Path(shutil.copytree(published, tmp_path / "cohort"))


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Return a function that gives every file below a folder with its bytes."""

    def read(folder: Path) -> dict[str, bytes]:
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    return read
