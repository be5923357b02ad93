"""`extend`: a dataset grows into its next version; its subjects stay what they are, to the last byte."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from synthgen.build import Progress, build, recipe_of
from synthgen.counts import LARGEST_COUNT
from synthgen.datasets.manifest import next_version
from synthgen.datasets.reader import StoredDataset
from synthgen.engine.recipe import Recipe
from synthgen.errors import InputError
from synthgen.networks.device import device_of
from synthgen.render import RENDERED, refuse_unused, render, rendering_of
from synthgen.simulate import hearts_of, simulate
from synthgen.subjects import SourceCohort
from synthgen.training.report import Report

_VERSION = re.compile(r"-v\d+\.\d+\.\d+$")


@dataclass(frozen=True, kw_only=True)
class Extension:
    """The new version: its folder, and what it has beside its parent."""

    dataset: str
    version: str
    parent: str
    content_id: str
    subjects: int
    added: int

    def as_dict(self) -> dict[str, object]:
        """Return the extension as JSON values."""
        return asdict(self)


def extend(
    dataset: Path | str,
    count: int,
    out: Path | str | None = None,
    *,
    bundle: str | None = None,
    cohort: SourceCohort | None = None,
    workers: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> Extension:
    """Make the next version of `dataset` with more subjects of the same request. The dataset itself is only read.

    The new version has the content of a dataset that was built as large from the start. An interrupted extension goes
    on when it is called again.

    Parameters
    ----------
    dataset
        Folder of a published dataset that `build`, `hearts` or `render` made.
    count
        Subjects to add: of each condition of the recipe, as `build` counts, or in all, as `hearts` counts; copies of
        each subject, as `render` counts.
    out
        Folder to publish; beside `dataset`, its name with the new version, when None.
    bundle
        Where the bundle of the dataset is now; where it was, when None.
    cohort
        The cohort whose label maps `render` rendered; for its datasets alone.
    workers, device, progress
        As `build`.

    Raises
    ------
    InputError
        If nothing is known that could make more, a cohort or bundle is given and not needed, the bundle is another
        one, there would be too many subjects, or `out` exists.
    DamageError
        If a subject of `dataset` is not what was written.
    UnreachableError, PartialError
        As `build`.
    """
    parent = StoredDataset(dataset)
    if count < 1:
        raise InputError("count", expected="at least 1 subject to add", got=str(count))
    target = _beside(parent) if out is None else Path(out)
    manifest = parent.manifest
    refuse_unused(manifest, cohort=cohort, bundle=bundle)
    device_of(device)  # simulated hearts need none, but a wrong one is told
    if "rendering" in manifest.plan:
        rendering, known = rendering_of(manifest, cohort, bundle=bundle)
        _refuse_too_many(rendering.copies, count)
        more = replace(rendering, copies=rendering.copies + count)
        report = Report(
            count=lambda what, done, total: progress(done, total) if progress and what == RENDERED else None
        )
        render(known, target, more, parent=parent, workers=workers, device=device, report=report)
    elif "recipe" in manifest.plan:
        recipe = recipe_of(manifest, bundle=bundle)
        _refuse_too_many(max(condition.count for condition in recipe.conditions), count)
        larger = [{**c.model_dump(mode="json"), "count": c.count + count} for c in recipe.conditions]
        grown = Recipe.parse({**recipe.as_dict(), "conditions": larger}, subject="extension")
        build(grown, target, parent=parent, workers=workers, device=device, progress=progress)
    else:
        _refuse_too_many(len(manifest.subjects), count)
        hearts = hearts_of(manifest.plan, more=count)
        simulate(hearts, target, parent=parent, workers=workers, progress=progress)
    made = StoredDataset(target).manifest
    return Extension(
        dataset=str(target),
        version=made.version,
        parent=manifest.version,
        content_id=made.content_id,
        subjects=len(made.subjects),
        added=len(made.subjects) - len(manifest.subjects),
    )


def _refuse_too_many(there: int, count: int) -> None:
    if there + count > LARGEST_COUNT:
        expected = f"at most {LARGEST_COUNT - there}, since there are {there} and no more than {LARGEST_COUNT} may be"
        raise InputError("count", expected=expected, got=str(count))


def _beside(parent: StoredDataset) -> Path:
    path = parent.path.absolute()
    return path.with_name(f"{_VERSION.sub('', path.name)}-v{next_version(parent.manifest.version)}")
