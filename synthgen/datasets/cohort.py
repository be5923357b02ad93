"""`SyntheticCohort`: a published dataset as a `torchio.SubjectsDataset`. The only module that knows torchio."""

from __future__ import annotations

import math
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, SupportsIndex

import numpy as np
import torch
import torchio as tio
from numpy.typing import NDArray

from synthgen.counts import whole_number
from synthgen.datasets.containers import read_volume, store_of
from synthgen.datasets.division import divide
from synthgen.datasets.manifest import RecordEntry, load_manifest
from synthgen.datasets.record import SubjectEntry
from synthgen.datasets.store import Kind
from synthgen.errors import InputError
from synthgen.labels import Pathology, Phase, Tissue, Vendor
from synthgen.seeding import Stage, numpy_stream

PhaseLayout = Literal["each", "both"]
"""`each`: a torchio subject per phase, with `image` and `label`. `both`: one per subject, with `image_ED` and so on."""

Transform = Callable[[tio.Subject], tio.Subject]


@dataclass(frozen=True)
class StoreReader:
    """How one volume is read: a torchio `reader` that also knows shape and affine beforehand.

    It holds no file handle, so it survives pickling and forking.
    """

    container: str
    root: Path
    entry: SubjectEntry
    phase: Phase
    kind: Kind

    def __call__(self, path: Path | str) -> tuple[torch.Tensor, NDArray[np.float64]]:  # noqa: ARG002 - torchio's signature
        """Return tensor `(1, x, y, z)` and RAS+ affine; `path` is torchio's and not used."""
        voxels = read_volume(self.container, self.root, self.entry, self.phase, self.kind)
        tensor = torch.from_numpy(np.ascontiguousarray(voxels.transpose(2, 1, 0)[None]))
        return tensor, self.entry.affine_ras

    def __deepcopy__(self, memo: dict) -> Self:
        """Return itself: nothing in it changes, and `SubjectsDataset` copies a subject at every access."""
        return self

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the tensor that will be read."""
        z, y, x = self.entry.shape
        return 1, x, y, z


class _Lazy(tio.Image):
    """Mixin for torchio images: shape and affine come from the reader until pixels are asked for.

    torchio 1.x loads the whole volume for `.shape` when an image has a reader, and keeps it. Images that transforms
    rebuild from a tensor have no such reader and behave as torchio's own.
    """

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Tensor shape `(1, x, y, z)`, without reading."""
        reader = self.reader
        return super().shape if self._loaded or not isinstance(reader, StoreReader) else reader.shape

    @property
    def affine(self) -> NDArray[np.float64]:
        """Affine to RAS+ millimetres, without reading."""
        reader = self.reader
        return super().affine if self._loaded or not isinstance(reader, StoreReader) else reader.entry.affine_ras

    @affine.setter
    def affine(self, matrix: torch.Tensor | NDArray | None) -> None:
        self[tio.AFFINE] = self._parse_affine(matrix)


class StoreImage(_Lazy, tio.ScalarImage):
    """Lazy image of a dataset: float32."""


class StoreLabel(_Lazy, tio.LabelMap):
    """Lazy label map of a dataset: uint8, codes of `Tissue`."""


class SyntheticCohort(tio.SubjectsDataset):
    """A synthetic cohort for torchio 1.x: loaders, queues, samplers and transforms work as with any `SubjectsDataset`.

    Every subject has flat metadata: `subject_id`, `heart` (the same for subjects that share a body), `phase` (layout
    `each` only), `pathology`, `vendor`, `manufacturer`, `sex` (empty if unknown), `height_cm`, `weight_kg` and the
    clinical indices by name (NaN if unknown).

    Images of a generator lie about between -1, which is air, and 1, those of virtual hearts from 0 on: pad with the
    smallest value, not with 0. Numbers of slices differ from subject to subject.

    Use `torchio.SubjectsLoader` for batches: a plain `DataLoader` makes a `Subject` of a batch.

    Parameters
    ----------
    subjects, transform, load_getitem
        As `torchio.SubjectsDataset`; `open_dataset` makes them from a folder.
    """

    def __init__(
        self,
        subjects: Sequence[tio.Subject],
        transform: Transform | None = None,
        load_getitem: bool = True,
    ) -> None:
        super().__init__(subjects, transform=transform, load_getitem=load_getitem)

    @property
    def label_names(self) -> dict[int, str]:
        """Name of each label value."""
        return {tissue.value: tissue.name.lower() for tissue in Tissue}

    @property
    def subject_ids(self) -> tuple[str, ...]:
        """Ids of the subjects, each once, in order."""
        return tuple(dict.fromkeys(str(subject["subject_id"]) for subject in self.dry_iter()))

    @property
    def class_counts(self) -> dict[str, int]:
        """Number of subjects (not of phases) of each pathology that occurs, in the order of `Pathology`."""
        classes = {str(subject["subject_id"]): str(subject["pathology"]) for subject in self.dry_iter()}
        counts = Counter(classes.values())
        return {pathology.value: counts[pathology.value] for pathology in Pathology if counts[pathology.value]}

    @property
    def class_weights(self) -> dict[str, float]:
        """Weight of each pathology that makes all classes count the same; 1 for each in a balanced cohort."""
        counts = self.class_counts
        mean = sum(counts.values()) / len(counts)
        return {name: mean / count for name, count in counts.items()}

    def subset(
        self,
        indices: Iterable[SupportsIndex] | None = None,
        *,
        pathology: Pathology | str | None = None,
        vendor: Vendor | str | None = None,
        phase: Phase | str | None = None,
        subject_ids: Iterable[str] | None = None,
    ) -> Self:
        """Return the items that meet every condition given, as a cohort with the same transform. Reads nothing.

        Parameters
        ----------
        indices
            Places of the items; no mask of truth values.

        Raises
        ------
        InputError
            If nothing is left, an id is unknown, a name is not in its vocabulary, or a value is of the wrong kind.
        """
        conditions = (("pathology", Pathology, pathology), ("vendor", Vendor, vendor), ("phase", Phase, phase))
        wanted = {name: kind.parse(value).value for name, kind, value in conditions if value is not None}
        ids = None if subject_ids is None else self._checked_ids(_listed(subject_ids, "ids"))
        places = None if indices is None else self._checked_places(_listed(indices, "places"))
        everything = self.dry_iter()
        chosen = everything if places is None else [everything[place] for place in places]
        kept = [
            subject
            for subject in chosen
            if all(subject.get(name) == value for name, value in wanted.items())
            and (ids is None or subject["subject_id"] in ids)
        ]
        if not kept:
            got = f"none with {wanted or reprlib.repr(ids or places)}"
            raise InputError("subset", expected="at least one subject", got=got)
        return self._like(kept)

    def split(self, *fractions: float, seed: SupportsIndex = 0) -> tuple[Self, ...]:
        """Divide the subjects into parts of these fractions, with every class and vendor in each if there are enough.

        Both phases of a subject stay together, and so do subjects of one `heart`: made in one recipient's body, or
        styles and variations of one anatomy. Mixtures may have a ventricle of one donor in another part.

        Parameters
        ----------
        fractions
            Positive, their sum at most 1; what a sum below 1 leaves over is in no part.
        seed
            Another seed, another division; the same seed, the same division.

        Raises
        ------
        InputError
            If the fractions are wrong, the seed is no whole number from 0, or a part would be empty.
        """
        if not fractions or not (min(fractions) > 0 and sum(fractions) <= 1 + 1e-9):  # NaN is refused too
            raise InputError("split", expected="positive fractions that sum to at most 1", got=f"{fractions}")
        root = whole_number("seed", seed, 0)
        hearts: dict[str, dict[str, tuple[str, str]]] = {}
        for subject in self.dry_iter():
            kinds = (str(subject["pathology"]), str(subject["vendor"]))
            hearts.setdefault(str(subject["heart"]), {})[str(subject["subject_id"])] = kinds
        groups = [hearts[heart] for heart in sorted(hearts)]
        numpy_stream(root, stage=Stage.SPLIT).shuffle(groups)
        places = divide([list(group.values()) for group in groups], [*fractions, max(0.0, 1.0 - sum(fractions))])
        parts: list[list[str]] = [[] for _ in fractions]
        for place, group in zip(places, groups, strict=True):
            if place < len(parts):  # else it is left over
                parts[place] += group
        if not all(parts):
            got = f"{len(groups)} hearts for {fractions}"
            raise InputError("split", expected="a heart for every part", got=got)
        return tuple(self.subset(subject_ids=part) for part in parts)

    def _checked_ids(self, subject_ids: Sequence[object]) -> set[object]:
        known = set(self.subject_ids)
        for subject_id in subject_ids:
            if not isinstance(subject_id, str) or subject_id not in known:
                expected = f"at least one id and only ids of this cohort, such as {self.subject_ids[0]}"
                raise InputError("subset", expected=expected, got=reprlib.repr(subject_id))
        return set(subject_ids)

    def _checked_places(self, indices: Sequence[object]) -> list[int]:
        return [whole_number("subset, place", index, -len(self), len(self) - 1) for index in indices]

    def _like(self, subjects: Sequence[tio.Subject]) -> Self:
        return type(self)(subjects, transform=self._transform, load_getitem=self.load_getitem)


def open_dataset(
    path: Path | str, *, phases: PhaseLayout | str = "each", transform: Transform | None = None
) -> SyntheticCohort:
    """Open a published dataset. Reads the manifest and no pixel.

    Parameters
    ----------
    path
        The dataset's folder.
    phases
        `each` for one torchio subject per (subject, phase) with keys `image` and `label`; `both` for one per subject
        with `image_ED`, `label_ED`, `image_ES` and `label_ES`.
    transform
        Applied by torchio to each subject after loading.

    Raises
    ------
    InputError
        If there is no dataset at `path`.
    DamageError
        If its manifest was changed.
    """
    if phases not in {"each", "both"}:
        raise InputError("phases", expected="'each' or 'both'", got=repr(phases))
    root = Path(path).absolute()
    manifest = load_manifest(root)
    container = manifest.layout.container
    names = sorted({name for entry in manifest.subjects for name in entry.indices})
    subjects = []
    for entry in manifest.subjects:
        facts = _facts(entry, names)
        lean = entry.entry()
        if phases == "both":
            images = {
                f"{kind}_{phase}": image
                for phase in Phase
                for kind, image in _images(container, root, lean, phase).items()
            }
            subjects.append(tio.Subject(**images, **facts))
        else:
            subjects.extend(
                tio.Subject(**_images(container, root, lean, phase), phase=phase.value, **facts) for phase in Phase
            )
    return SyntheticCohort(subjects, transform=transform)


def _listed(values: object, what: str) -> list[object]:
    """Return as a list what may be an iterator, good for one pass; InputError for a text and what is no list."""
    if isinstance(values, Iterable) and not isinstance(values, str):
        with suppress(TypeError):  # of an array without dimensions
            return list(values)
    raise InputError("subset", expected=f"a list of {what}", got=reprlib.repr(values))


def _images(container: str, root: Path, entry: SubjectEntry, phase: Phase) -> dict[str, tio.Image]:
    path = root / store_of(container).folders[0]  # torchio wants one that exists; the reader knows which volume it is
    return {
        "image": StoreImage(path=path, reader=StoreReader(container, root, entry, phase, "image")),
        "label": StoreLabel(path=path, reader=StoreReader(container, root, entry, phase, "label")),
    }


def _facts(entry: RecordEntry, index_names: Sequence[str]) -> Mapping[str, str | float]:
    """Return metadata with the same keys for every subject: torchio cannot collate anything else."""
    body = entry.body
    facts: dict[str, str | float] = {
        "subject_id": entry.id,
        "heart": entry.heart,
        "pathology": entry.pathology.value,
        "vendor": entry.vendor.value,
        "manufacturer": entry.vendor.manufacturer,
        "sex": body.sex.value if body and body.sex else "",
        "height_cm": body.height_cm if body else math.nan,
        "weight_kg": body.weight_kg if body else math.nan,
    }
    for name in index_names:
        value = entry.indices.get(name)
        facts[name] = math.nan if value is None else value
    return facts
