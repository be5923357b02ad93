"""The one training loop: any objective, progress in samples seen, resumable by running the same call again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from synthgen.errors import InputError, SynthgenError, writing_failed
from synthgen.lock import FolderLock
from synthgen.training.data import TrainingSlices, batch_rows
from synthgen.training.pairs import LevelPairs
from synthgen.whole_file import whole_file

SNAPSHOT, STATISTICS = "snapshot.safetensors", "statistics.jsonl"


@runtime_checkable
class Objective(Protocol):
    """What the loop needs: networks, optimisers, and one step from the rows of a batch."""

    slices: TrainingSlices | LevelPairs
    settings: Any
    seed: int
    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    @property
    def identity(self) -> Mapping[str, Any]:
        """JSON-able description that a snapshot must agree with."""
        ...

    def step(self, rows: NDArray, step: int) -> dict[str, float]:
        """Train on one batch and return numbers to report."""
        ...

    def finish(self) -> None:
        """Do what is left after the last step."""
        ...


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands, for a progress display."""

    samples: int
    total: int
    samples_per_second: float
    statistics: Mapping[str, float]


def train(
    objective: Objective,
    *,
    work_dir: Path,
    snapshot_seconds: float = 60.0,
    statistics_every: int = 20,
    report: Callable[[Progress], None] | None = None,
) -> None:
    """Train `objective` to its budget, in place; a run that was cut off continues from its last snapshot.

    Parameters
    ----------
    objective
        What to train; `objective.settings` has `samples` and `batch_size`.
    work_dir
        Folder of this training alone: `snapshot.safetensors` (networks, optimisers, position) and `statistics.jsonl`.
    snapshot_seconds
        Time between snapshots; one more is written at the end.
    statistics_every
        Steps whose mean makes one line of statistics.
    report
        Called after every step. What it raises ends the run; the last snapshot stays.

    Raises
    ------
    InputError
        If `work_dir` holds the snapshot of another training (settings, seed or data differ), or another process trains
        there.
    SynthgenError
        If a loss stops being a number.

    Notes
    -----
    A resumed run ends with the bits of an uninterrupted one on a CPU with the same number of threads, which is torch's
    own (`torch.set_num_threads`).
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    _, finished = restore(objective, work_dir / SNAPSHOT)
    if not finished:
        with FolderLock(work_dir):  # each of two processes would take the other's snapshots for its own
            _complete(objective, work_dir, snapshot_seconds, statistics_every, report)
    for module in objective.modules.values():
        module.eval()


def _complete(
    objective: Objective,
    work_dir: Path,
    snapshot_seconds: float,
    statistics_every: int,
    report: Callable[[Progress], None] | None,
) -> None:
    """Train from the last snapshot to the end of the budget."""
    # Set up, or take up where the last snapshot left off.
    settings, count = objective.settings, len(objective.slices)
    steps = -(-settings.samples // settings.batch_size)
    step, finished = restore(objective, work_dir / SNAPSHOT)  # what a process that has just ended here left
    _trim_statistics(work_dir / STATISTICS, step)
    sums: dict[str, float] = {}
    started, saved, first = time.monotonic(), time.monotonic(), step

    # Train.
    while step < steps:
        rows = batch_rows(count, settings.batch_size, step, objective.seed)
        numbers = objective.step(rows, step)
        step += 1
        if not all(abs(value) < float("inf") for value in numbers.values()):  # also false for NaN
            raise SynthgenError(f"training diverged at step {step}: {numbers}")
        sums = {name: sums.get(name, 0.0) + value for name, value in numbers.items()}

        # Report status, at steps that do not depend on where a run was resumed.
        if step % statistics_every == 0 or step == steps:
            _append(work_dir / STATISTICS, _means(sums, step, settings.batch_size, statistics_every))
            sums = {}

        # Save a snapshot; only between lines of statistics, so that no sum has to be saved.
        if not sums and time.monotonic() - saved >= snapshot_seconds and step < steps:
            save(objective, work_dir / SNAPSHOT, step, finished=False)
            saved = time.monotonic()
        if report is not None:
            speed = (step - first) * settings.batch_size / max(time.monotonic() - started, 1e-9)
            seen = min(step * settings.batch_size, settings.samples)
            report(Progress(samples=seen, total=settings.samples, samples_per_second=speed, statistics=numbers))

    # Finish once.
    if not finished:
        objective.finish()
        save(objective, work_dir / SNAPSHOT, step, finished=True)


def save(objective: Objective, path: Path, step: int, *, finished: bool) -> None:
    """Write networks, optimisers and position as one safetensors file, whole or not at all."""
    tensors: dict[str, Tensor] = {}
    for name, module in objective.modules.items():
        tensors |= {f"module/{name}/{key}": value for key, value in module.state_dict().items()}
    for name, optimizer in objective.optimizers.items():
        for number, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{name}/{number}/{key}": value for key, value in state.items()}
    header = {"identity": _canonical(objective.identity), "step": str(step), "finished": str(int(finished))}
    with whole_file(path) as staged:
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, staged, metadata=header)


def restore(objective: Objective, path: Path) -> tuple[int, bool]:
    """Load a snapshot into `objective`; return its step and whether training had finished (0, False: none there).

    Raises
    ------
    InputError
        If the file is damaged or belongs to another training.
    """
    if not path.exists():
        return 0, False
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise InputError(path, expected="a snapshot", got=str(error), hint="Delete the file to start anew") from error
    if header.get("identity") != _canonical(objective.identity):
        raise InputError(
            path,
            expected="a snapshot of this training",
            got="other settings, seed or data",
            hint="Choose another folder",
        )
    for name, module in objective.modules.items():
        module.load_state_dict(_under(tensors, f"module/{name}/"))
    for name, optimizer in objective.optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(tensors, f"optimizer/{name}/").items():
            number, _, part = key.partition("/")
            state.setdefault(int(number), {})[part] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(header["step"]), header["finished"] == "1"


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)


def _means(sums: Mapping[str, float], step: int, batch_size: int, every: int) -> dict[str, float]:
    steps = step % every or every
    return {"step": step, "samples": step * batch_size} | {name: value / steps for name, value in sums.items()}


def _append(path: Path, line: Mapping[str, float]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise writing_failed(path, error) from error


def _trim_statistics(path: Path, step: int) -> None:
    """Drop lines written after the snapshot that training continues from."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
    with whole_file(path) as staged:
        staged.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
