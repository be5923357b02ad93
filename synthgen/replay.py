"""`replay`: a subject is made again from its record, and held against what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthgen.build import recipe_of
from synthgen.datasets.comparison import Difference, difference
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.record import SubjectRecord
from synthgen.datasets.staging import store_subject
from synthgen.engine.generate import Generator
from synthgen.engine.plan import SubjectSpec
from synthgen.errors import DamageError
from synthgen.networks.bundle import load_bundle
from synthgen.networks.device import device_of
from synthgen.processes import one_torch_thread
from synthgen.render import refuse_unused, rendered, rendering_of
from synthgen.simulate import hearts_of, synthetic
from synthgen.subjects import SourceCohort, SyntheticSubject


@dataclass(frozen=True, kw_only=True)
class Replay:
    """One subject made again.

    Attributes
    ----------
    same
        Whether every stored bit of voxels, geometry and facts came out again.
    difference
        What did not.
    """

    subject_id: str
    same: bool
    difference: Difference

    def as_dict(self) -> dict[str, object]:
        """Return the replay as JSON values."""
        return {"subject_id": self.subject_id, "same": self.same, "difference": self.difference.as_dict()}


def replay(
    dataset: Path | str,
    subject_ids: Sequence[str] = (),
    *,
    bundle: str | None = None,
    cohort: SourceCohort | None = None,
    device: str | None = None,
) -> Iterator[Replay]:
    """Make subjects again, one after the other, from what their records say.

    On the machine and with the versions that made them they come out the same; elsewhere labels may differ where a
    float tie flips, and images in their last bits, most of which 9-bit storage hides.

    Parameters
    ----------
    dataset
        Folder of a published dataset that `build`, `hearts` or `render` made.
    subject_ids
        Which; all when empty.
    bundle
        Where the bundle of the dataset is now; where it was, when None.
    cohort
        The cohort whose label maps `render` rendered; for its datasets alone.
    device
        As `build`.

    Raises
    ------
    InputError
        If an id is unknown, nothing is known that could make the subjects, or a cohort or bundle is given and not
        needed.
    DamageError
        If a record or volume is not what was written.
    """
    source = StoredDataset(dataset)
    entries = [source.manifest.subject(subject_id) for subject_id in subject_ids or source.ids]
    refuse_unused(source.manifest, cohort=cohort, bundle=bundle)
    make = _maker(source, bundle, cohort, device)
    for entry in entries:
        stored = source.stored(entry.id)
        found = difference(stored, store_subject(make(source.record(entry.id)), entry.index))
        yield Replay(subject_id=entry.id, same=not found.fields, difference=found)


def _maker(
    source: StoredDataset, bundle: str | None, cohort: SourceCohort | None, device: str | None
) -> Callable[[SubjectRecord], SyntheticSubject]:
    """Return the function that makes a subject from its record."""
    processor = device_of(device)  # simulated hearts need none, but a wrong one is told
    if "rendering" in source.manifest.plan:
        rendering, known = rendering_of(source.manifest, cohort, bundle=bundle)
        made = rendering.of(known, load_bundle(rendering.bundle), device=processor)
        return lambda record: rendered(made, record.index)
    if "recipe" not in source.manifest.plan:
        hearts = hearts_of(source.manifest.plan)

        def simulated(record: SubjectRecord) -> SyntheticSubject:
            return synthetic(hearts[record.index], hearts, record.index)

        return simulated
    recipe = recipe_of(source.manifest, bundle=bundle)
    generator = Generator(load_bundle(recipe.bundle), device=processor)

    def generated(record: SubjectRecord) -> SyntheticSubject:
        request = record.history.get("request")
        if not isinstance(request, dict):
            raise DamageError(f"{source.path.name}: the record of {record.id} has no request.")
        with one_torch_thread():  # as `build` does
            return generator.generate(SubjectSpec.from_dict(request))

    return generated
