"""`synthgen build`: make a synthetic cohort from a fitted generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthgen.commands.console import Reporter, emit, table
from synthgen.commands.options import FOLDER, json_option, pathologies, severity, vendors, workers_option
from synthgen.errors import InputError

if TYPE_CHECKING:
    from synthgen.engine.recipe import Recipe


@click.command()
@click.option("--target", "targets", multiple=True, help="Class: NOR, MINF, DCM, HCM, ARV or all; repeat for several.")
@click.option("--count", type=int, default=None, help="Subjects of each class (and of each vendor, if any is named).")
@click.option("--vendor", "styles", multiple=True, help="Vendor style: A, B, C or D.  [default: all, in turn]")
@click.option("--severity", "span", default=None, metavar="LO:HI", help="From 0, normal, to 1, the full class.")
@click.option(
    "--correlation", default=None, help="How latents hang together: class, recipient, paper or none.  [default: class]"
)
@click.option(
    "--recipe", "recipe_file", type=FOLDER, default=None, help="JSON file with the request, instead of options."
)
@click.option("--bundle", default=None, help="Name or folder of the fitted generator.  [default: default]")
@click.option("--seed", type=int, default=None, help="Root of all chance.  [default: 0]")
@click.option("--out", type=FOLDER, default=None, help="Folder to make; must not exist.  [default: one below cohorts/]")
@workers_option
@click.option("--dry-run", is_flag=True, help="Say what it takes (subjects, slices, minutes, memory, disk) and stop.")
@json_option
def build(
    targets: tuple[str, ...],
    count: int | None,
    styles: tuple[str, ...],
    span: str | None,
    correlation: str | None,
    recipe_file: Path | None,
    bundle: str | None,
    seed: int | None,
    out: Path | None,
    workers: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a labelled synthetic cohort with exact counts.

    An interrupted build goes on when the same command is run again. Without a network, a GPU or data:

        synthgen build --target ARV --count 168
    """
    request = {"targets": targets, "count": count, "styles": styles, "span": span, "correlation": correlation}
    general = {name: value for name, value in (("seed", seed), ("bundle", bundle)) if value is not None}
    if recipe_file is None:
        recipe = _from_options(**request, general=general)
    else:
        _refuse_both(request)
        recipe = _from_file(recipe_file, general)
    folder = out or Path("cohorts") / (recipe_file.stem if recipe_file else _name(recipe))
    _run(recipe, folder, workers=workers, dry_run=dry_run, as_json=as_json)


def _run(recipe: Recipe, folder: Path, *, workers: int | None, dry_run: bool, as_json: bool) -> None:
    from synthgen.build import build as make
    from synthgen.build import dry_run as estimate

    if dry_run:
        expected = estimate(recipe, workers=workers).as_dict()
        emit(expected, table(expected), as_json=as_json)
        return
    with Reporter("subjects", quiet=as_json) as reporter:
        summary = make(recipe, folder, workers=workers, progress=reporter.progress).as_dict()
    emit(summary, table(summary), as_json=as_json)


def _from_options(
    targets: tuple[str, ...],
    count: int | None,
    styles: tuple[str, ...],
    span: str | None,
    correlation: str | None,
    *,
    general: dict[str, object],
) -> Recipe:
    """Return the recipe that the options describe; InputError names the option at fault."""
    classes, letters = pathologies(targets), vendors(styles)
    if not classes:
        raise InputError("--target", expected="a class, such as --target ARV, or a --recipe", got="neither")
    if count is None or count < 1:
        got = "none" if count is None else str(count)
        raise InputError("--count", expected="at least 1 subject of each class", got=got)
    common = {"count": count} if span is None else {"count": count, "severity": severity(span)}
    conditions = [{"pathology": p, "vendor": v, **common} for p in classes for v in letters or (None,)]
    if correlation is not None:
        general = {**general, "correlation": correlation}
    from synthgen.engine.recipe import Recipe

    return Recipe.parse({"conditions": conditions, **general}, subject="options")


def _from_file(file: Path, general: dict[str, object]) -> Recipe:
    """Return the recipe in `file` with the seed and the bundle of the command line."""
    from synthgen.engine.recipe import Recipe

    return Recipe.parse({**Recipe.load(file).as_dict(), **general}, subject=file)


def _refuse_both(request: dict[str, object]) -> None:
    """Refuse a recipe beside options that it already answers."""
    names = {"targets": "--target", "count": "--count", "styles": "--vendor", "span": "--severity"}
    given = [names.get(name, f"--{name}") for name, value in request.items() if value not in (None, ())]
    if given:
        raise InputError("--recipe", expected="no other option that says what to make", got=", ".join(given))


def _name(recipe: Recipe) -> str:
    """Return a folder name that tells what was asked for."""
    classes = list(dict.fromkeys(str(condition.pathology) for condition in recipe.conditions))
    letters = list(dict.fromkeys(str(condition.vendor) for condition in recipe.conditions if condition.vendor))
    vendor = f"-vendor-{''.join(letters)}" if letters else ""
    return f"{'-'.join(classes)}-{recipe.count}{vendor}-seed{recipe.seed}"
