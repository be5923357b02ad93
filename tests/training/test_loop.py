"""The loop: progress, statistics, snapshots, and resuming without a trace."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
import torch
from training_cases import NAMES, Objective, objective

from synthgen.errors import InputError, SynthgenError
from synthgen.lock import FolderLock
from synthgen.training.loop import SNAPSHOT, STATISTICS, Progress, train


class StopError(Exception):
    """The power goes out."""


def state(task: Objective) -> dict[str, torch.Tensor]:
    """All tensors of all networks."""
    return {
        f"{name}.{key}": value for name, module in task.modules.items() for key, value in module.state_dict().items()
    }


def cut(task: Objective, folder: Path, at: int) -> None:
    """Train with a snapshot at every line of statistics and stop after `at` samples."""

    def stop(progress: Progress) -> None:
        if progress.samples >= at:
            raise StopError

    with pytest.raises(StopError):
        train(task, work_dir=folder, snapshot_seconds=0, statistics_every=2, report=stop)


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(name: str, tmp_path: Path) -> None:
    """Networks and statistics are equal to the bit, although the cut came between two snapshots."""
    whole, resumed = objective(name, samples=48), objective(name, samples=48)
    train(whole, work_dir=tmp_path / "whole", statistics_every=2)
    batch = whole.settings.batch_size
    cut(objective(name, samples=48), tmp_path / "cut", at=5 * batch)
    train(resumed, work_dir=tmp_path / "cut", statistics_every=2)
    expected, got = state(whole), state(resumed)
    assert [key for key in expected if not torch.equal(expected[key], got[key])] == []
    lines = [(tmp_path / folder / STATISTICS).read_text() for folder in ("whole", "cut")]
    assert lines[0] == lines[1]


def test_a_finished_training_loads_without_a_step(tmp_path: Path) -> None:
    """Running the same call again returns the same networks and trains nothing."""
    first, again = objective("spade", samples=8), objective("spade", samples=8)
    train(first, work_dir=tmp_path)
    steps: list[Progress] = []
    train(again, work_dir=tmp_path, report=steps.append)
    assert steps == []
    assert all(torch.equal(value, state(again)[key]) for key, value in state(first).items())
    assert not any(module.training for module in again.modules.values())


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    """Who finds the folder taken is refused and changes nothing there; what is finished loads whoever holds it."""
    folder = tmp_path / "work"
    cut(objective("vae", samples=48), folder, at=32)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with FolderLock(folder), pytest.raises(InputError, match=r"work: .*nobody else is writing"):
        train(objective("vae", samples=48), work_dir=folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    train(objective("vae", samples=48), work_dir=folder)
    with FolderLock(folder):
        train(objective("vae", samples=48), work_dir=folder)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    """The label VAE's cross-entropy falls by half within the tiny budget."""
    train(objective("vae"), work_dir=tmp_path, statistics_every=4)
    lines = [json.loads(line) for line in (tmp_path / STATISTICS).read_text().splitlines()]
    assert [line["samples"] for line in lines] == [32, 64, 96, 128, 160]
    assert lines[-1]["cross_entropy"] < 0.6 * lines[0]["cross_entropy"]


def test_progress_counts_samples_to_the_budget(tmp_path: Path) -> None:
    """Reports count samples seen, end exactly at the budget and tell a rate."""
    seen: list[Progress] = []
    train(objective("perceptual", samples=10), work_dir=tmp_path, report=seen.append)
    assert [progress.samples for progress in seen] == [4, 8, 10]
    assert all(progress.total == 10 and progress.samples_per_second > 0 for progress in seen)


@pytest.mark.parametrize("change", [{"seed": 1}, {"samples": 16}])
def test_the_snapshot_of_another_training_is_refused(change: dict, tmp_path: Path) -> None:
    """Another seed or budget does not silently continue."""
    train(objective("vae", samples=8), work_dir=tmp_path)
    with pytest.raises(InputError, match="another folder"):
        train(objective("vae", **{"samples": 8, **change}), work_dir=tmp_path)


@pytest.mark.parametrize("damage", ["cut", "pickle"])
def test_a_damaged_snapshot_is_refused(damage: str, tmp_path: Path) -> None:
    """A cut or foreign file is an input error that says what to do."""
    train(objective("vae", samples=8), work_dir=tmp_path)
    path = tmp_path / SNAPSHOT
    path.write_bytes(path.read_bytes()[:1000] if damage == "cut" else b"\x80\x04" + bytes(500))
    with pytest.raises(InputError, match="Delete the file"):
        train(objective("vae", samples=8), work_dir=tmp_path)


def test_a_disk_without_room_is_told_and_the_last_snapshot_stays(tmp_path: Path) -> None:
    """The file that cannot be written is named, nothing half written lies beside it, and the same call goes on."""
    batch = objective("spade").settings.batch_size
    cut(objective("spade", samples=8 * batch), tmp_path, at=4 * batch)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # the write fails as it does on a full disk
    try:
        with pytest.raises(SynthgenError, match=rf"{SNAPSHOT}: cannot be written"):
            train(objective("spade", samples=8 * batch), work_dir=tmp_path, snapshot_seconds=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {file.name for file in tmp_path.iterdir()} == {SNAPSHOT, STATISTICS}
    seen: list[int] = []
    train(objective("spade", samples=8 * batch), work_dir=tmp_path, report=lambda p: seen.append(p.samples))
    assert seen[0] >= 4 * batch


def test_divergence_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that is no number ends training with an error instead of a ruined snapshot."""
    task = objective("vae")
    monkeypatch.setattr(task, "step", lambda rows, step: {"loss": float("nan")})
    with pytest.raises(SynthgenError, match="diverged at step 1"):
        train(task, work_dir=tmp_path)
    assert not (tmp_path / SNAPSHOT).exists()
