"""Random-subject reading: every container through `SyntheticCohort` against `.nii.gz` through torchio's own reader.

    python benchmarks/reading.py [DATASET] [--hearts 8] [--queries 60] [--epochs 5]

Without DATASET, virtual hearts are simulated first. All arms hold the same voxels (the dataset is converted, the raw
arrays are unpacked) and take turns within milliseconds, so that the ratios hold on a busy machine; times are the 10th
percentile (best epoch for the loader) of wall and of process CPU time. A volume is one phase: image (float32 out) and
label. `memmap` is the limit: uncompressed integers in one file, scaled to float32.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torchio as tio

from synthgen.datasets.cohort import open_dataset
from synthgen.datasets.containers import CONTAINERS
from synthgen.datasets.convert import convert
from synthgen.datasets.nifti_store import nifti_path
from synthgen.datasets.quantisation import dequantise
from synthgen.datasets.reader import StoredDataset
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import Phase
from synthgen.simulate import simulate

REFERENCE = "nii.gz, torchio's reader"
LIMIT = "memmap"
BATCH = 4
Timing = tuple[float, float]  # wall and CPU, milliseconds


def timed(work: Callable[[], object]) -> Timing:
    """Return how long a call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)


def raw_arrays(dataset: StoredDataset, folder: Path) -> tuple[Callable[[int], object], int]:
    """Write every volume uncompressed into one file; return its reader and its bytes."""
    path, places, end = folder / "raw.bin", [], 0
    with path.open("wb") as stream:
        for entry in dataset.manifest.subjects:
            volumes = dataset.stored(entry.id).volumes
            for phase in Phase:
                places.append((entry, end))
                end += stream.write(volumes["image"][phase].tobytes()) + stream.write(volumes["label"][phase].tobytes())
    data = np.memmap(path, np.uint8, "r")

    def read(index: int) -> object:
        entry, start = places[index]
        middle, stop = start + 2 * entry.voxels, start + 3 * entry.voxels
        image = dequantise(data[start:middle].view("<i2"), entry.intensity).reshape(entry.shape)
        return image, data[middle:stop].reshape(entry.shape).copy()

    return read, end


def through_torchio(dataset: StoredDataset) -> tio.SubjectsDataset:
    """Return the NIfTI files of a dataset as any torchio user opens them."""
    return tio.SubjectsDataset(
        [
            tio.Subject(
                image=tio.ScalarImage(dataset.path / nifti_path(subject_id, phase, "image")),
                label=tio.LabelMap(dataset.path / nifti_path(subject_id, phase, "label")),
            )
            for subject_id in dataset.ids
            for phase in Phase
        ]
    )


def volumes(arms: Mapping[str, Callable[[int], object]], items: int, queries: int) -> dict[str, Timing]:
    """Read random items, every arm in turn on each, in an order that changes."""
    rng = np.random.default_rng(0)
    taken: dict[str, list[Timing]] = {name: [] for name in arms}
    for query in range(-2, queries):  # two to warm up
        index = int(rng.integers(items))
        for name in rng.permutation(list(arms)):
            measured = timed(lambda read=arms[name]: read(index))  # noqa: B023 - called at once
            if query >= 0:
                taken[name].append(measured)
    return {name: tuple(np.percentile(np.array(values), 10, axis=0)) for name, values in taken.items()}


def epochs(arms: Mapping[str, tio.SubjectsDataset], count: int) -> dict[str, Timing]:
    """Go through each dataset in batches, shuffled, in this process, the arms in turn; milliseconds per volume."""
    taken: dict[str, list[Timing]] = {name: [] for name in arms}
    for number in range(count):
        for name, dataset in arms.items():
            shuffled = torch.Generator().manual_seed(number)
            loader = tio.SubjectsLoader(dataset, batch_size=BATCH, shuffle=True, generator=shuffled, drop_last=True)
            wall, cpu = timed(lambda loader=loader: [batch["image"][tio.DATA].shape for batch in loader])
            taken[name].append((wall / len(loader) / BATCH, cpu / len(loader) / BATCH))
    return {name: tuple(np.min(np.array(values), axis=0)) for name, values in taken.items()}


def one_shape(folder: Path) -> list[int]:
    """Return the items of the commonest shape: batches need one."""
    entries = StoredDataset(folder).manifest.subjects
    shapes = [entry.shape for entry in entries]
    commonest = max(set(shapes), key=shapes.count)
    return [2 * place + k for place, shape in enumerate(shapes) if shape == commonest for k in range(len(Phase))]


def table(times: Mapping[str, Timing], sizes: Mapping[str, float]) -> None:
    """Print milliseconds, the ratio to torchio's reader, and the size beside raw integers."""
    print("| arm | wall ms | CPU ms | faster than torchio's reader (wall, CPU) | size of raw |")
    print("|---|---|---|---|---|")
    reference = times[REFERENCE]
    for name, (wall, cpu) in times.items():
        size = f"{sizes[name]:.3f}" if name in sizes else ""
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {reference[0] / wall:.1f}, {reference[1] / cpu:.1f} | {size} |")


def run(source: Path, folder: Path, options: argparse.Namespace) -> None:
    """Measure one dataset."""
    stored = {name: StoredDataset(convert(source, folder / name, name)) for name in CONTAINERS}
    entries = stored["zarr"].manifest.subjects
    read, raw = raw_arrays(stored["zarr"], folder)
    sizes = {name: sum(file.bytes for i in d.ids for file in d.record(i).files) / raw for name, d in stored.items()} | {
        LIMIT: 1.0
    }
    sizes[REFERENCE] = sizes["nifti"]
    cohorts: dict[str, tio.SubjectsDataset] = {name: open_dataset(d.path) for name, d in stored.items()}
    cohorts[REFERENCE] = through_torchio(stored["nifti"])
    arms: dict[str, Callable[[int], object]] = {LIMIT: read, **{n: c.__getitem__ for n, c in cohorts.items()}}
    print(f"{len(entries)} subjects, {raw / 2 / len(entries) / 1e6:.2f} MB of raw integers per volume\n\nper volume\n")
    table(volumes(arms, 2 * len(entries), options.queries), sizes)
    alike: Sequence[int] = one_shape(source)
    loaded: dict[str, tio.SubjectsDataset] = {n: open_dataset(d.path).subset(alike) for n, d in stored.items()}
    every = list(cohorts[REFERENCE].dry_iter())
    loaded[REFERENCE] = tio.SubjectsDataset([every[index] for index in alike])
    print(f"\nthrough SubjectsLoader, batches of {BATCH}, {len(alike)} volumes of one shape\n")
    table(epochs(loaded, options.epochs), {})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", type=Path)
    parser.add_argument("--hearts", type=int, default=8)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = options.dataset or simulate(VirtualHearts(options.hearts), folder / "hearts", workers=1)
        run(source, folder, options)


if __name__ == "__main__":
    main()
