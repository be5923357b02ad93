"""`synthgen build`: make a synthetic cohort from a fitted generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from synthgen.commands.console import Reporter, emit, table
from synthgen.commands.options import (
    FOLDER,
    device_option,
    format_option,
    json_option,
    pathologies,
    severity,
    vendors,
    workers_option,
)
from synthgen.errors import InputError

if TYPE_CHECKING:
    from synthgen.engine.balance import By
    from synthgen.engine.recipe import Method, Recipe
    from synthgen.labels import Pathology, Vendor


@click.command()
@click.option("--target", "targets", multiple=True, help="Class: NOR, MINF, DCM, HCM, ARV or all; repeat for several.")
@click.option("--count", type=int, default=None, help="Subjects of each class (and of each vendor, if any is named).")
@click.option("--vendor", "styles", multiple=True, help="Vendor style: A, B, C or D.  [default: all, in turn]")
@click.option(
    "--paired", is_flag=True, help="Give every subject to each --vendor: the same label maps in other styles."
)
@click.option(
    "--style",
    "reference",
    type=FOLDER,
    default=None,
    help="Short-axis scan (NIfTI) whose style all images get; --vendor says what they are called.",
)
@click.option(
    "--severity",
    "span",
    default=None,
    metavar="LO:HI",
    help="From 0, normal, to 1, the full class; near 0 few satisfy its rule.",
)
@click.option(
    "--correlation",
    default=None,
    help="How latents hang together: class, separable, recipient, paper or none.  [default: class]",
)
@click.option(
    "--method",
    type=click.Choice(["latent", "mix"]),
    default=None,
    help="Anatomy drawn from the class, or structures of it put into normal hearts.  [default: latent]",
)
@click.option(
    "--balance",
    "balance_by",
    type=click.Choice(["class", "vendor"]),
    default=None,
    help="Instead of --target: what each class, or vendor, that --like has lacks to be as large as its largest.",
)
@click.option("--like", default=None, help="Cohort to balance: hearts:N, acdc:DIR, mnms:DIR, nifti:DIR or a dataset.")
@click.option(
    "--fill",
    type=int,
    default=None,
    help="With --balance: how many times over what lacks is made; 2 taught a classifier more than 1.  [default: 1]",
)
@click.option(
    "--recipe", "recipe_file", type=FOLDER, default=None, help="JSON file with the request, instead of options."
)
@click.option("--bundle", default=None, help="Name or folder of the fitted generator.  [default: default]")
@click.option(
    "--renderer",
    type=click.Choice(["spade", "sdnet"]),
    default=None,
    help="Images from label maps, or from SDNet's factors.  [default: spade]",
)
@click.option("--seed", type=int, default=None, help="Root of all chance.  [default: 0]")
@click.option("--out", type=FOLDER, default=None, help="Folder to make; must not exist.  [default: one below cohorts/]")
@format_option
@workers_option
@device_option
@click.option("--dry-run", is_flag=True, help="Say what it takes (subjects, slices, minutes, memory, disk) and stop.")
@json_option
def build(
    targets: tuple[str, ...],
    count: int | None,
    styles: tuple[str, ...],
    paired: bool,
    reference: Path | None,
    span: str | None,
    correlation: str | None,
    method: str | None,
    balance_by: str | None,
    like: str | None,
    fill: int | None,
    recipe_file: Path | None,
    bundle: str | None,
    renderer: str | None,
    seed: int | None,
    out: Path | None,
    container: str | None,
    workers: int | None,
    device: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a labelled synthetic cohort with exact counts.

    An interrupted build goes on when the same command is run again. Without a network, a GPU or data:

        synthgen build --target ARV --count 168
    """
    request = _Request(
        targets=targets,
        count=count,
        styles=styles,
        paired=paired or None,
        reference=reference,
        span=span,
        correlation=correlation,
        method=method,
        balance_by=balance_by,
        like=like,
        fill=fill,
    )
    general: dict[str, object] = {"seed": seed, "bundle": bundle, "renderer": renderer, "format": container}
    general = {name: value for name, value in general.items() if value is not None}
    recipe = request.recipe(general) if recipe_file is None else request.recipe_from(recipe_file, general)
    folder = out or Path("cohorts") / (recipe_file.stem if recipe_file else _name(recipe))
    from synthgen.build import build as build_dataset
    from synthgen.build import dry_run as estimate

    if dry_run:
        expected = estimate(recipe, workers=workers, device=device).as_dict()
        emit(expected, _tell_estimate(expected), as_json=as_json)
        return
    with Reporter("subjects", quiet=as_json) as reporter:
        made = build_dataset(recipe, folder, workers=workers, device=device, progress=reporter.progress).as_dict()
    emit(made, _tell_summary(made), as_json=as_json)


def _tell_estimate(expected: Mapping[str, object]) -> str:
    """Return an estimate as lines of text."""
    seconds, memory, disk = (float(str(expected[name])) for name in ("seconds", "memory_bytes", "disk_bytes"))
    time = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
    told = {"time": time, "memory": f"{memory / 1e9:.2f} GB", "disk": f"{disk / 1e6:.1f} MB"}
    rest = {name: value for name, value in expected.items() if name not in {"seconds", "memory_bytes", "disk_bytes"}}
    return table({**rest, **told})


def _tell_summary(made: Mapping[str, object]) -> str:
    """Return a summary as one screen of text."""
    told = {name: _phrase(value) for name, value in made.items() if value not in ({}, 0) or name == "subjects"}
    return table({**told, "preview": f"{made['dataset']}/preview.png"})


def _phrase(value: object) -> str:
    """Return a table as `ARV 3, HCM (topology 2)`, anything else as it is written."""
    if not isinstance(value, dict):
        return str(value)
    parts = (
        f"{name} ({_phrase(item)})" if isinstance(item, dict) else f"{name} {item}" for name, item in value.items()
    )
    return ", ".join(parts) or "none"


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What the options say about the subjects; the counterpart of a recipe file."""

    targets: tuple[str, ...]
    count: int | None
    styles: tuple[str, ...]
    paired: bool | None
    reference: Path | None
    span: str | None
    correlation: str | None
    method: str | None
    balance_by: str | None
    like: str | None
    fill: int | None

    def recipe(self, general: Mapping[str, object]) -> Recipe:
        """Return the recipe that the options describe; InputError names the option at fault."""
        latent = {"--severity": self.span, "--correlation": self.correlation}
        ignored = [name for name, value in latent.items() if value is not None]
        if self.method == "mix" and ignored:
            raise InputError("--method mix", expected="no option about latents, it draws none", got=", ".join(ignored))
        if self.balance_by or self.like:
            return self._balanced(general)
        if self.fill is not None:
            raise InputError("--fill", expected="--balance, which says what is to be filled", got="--fill alone")
        classes, letters = pathologies(self.targets), vendors(self.styles)
        if not classes:
            raise InputError("--target", expected="a class, such as --target ARV, or a --recipe", got="neither")
        if self.count is None or self.count < 1:
            got = "none" if self.count is None else str(self.count)
            raise InputError("--count", expected="at least 1 subject of each class", got=got)
        if self.paired and (not letters or self.method == "mix"):
            got = "no --vendor" if not letters else "--method mix"
            raise InputError("--paired", expected="vendors, such as --vendor A,D, and no --method mix", got=got)
        common: dict[str, object] = {"count": self.count}
        common |= {} if self.span is None else {"severity": severity(self.span)}
        common |= {} if self.method is None else {"method": self.method}
        common |= {} if self.paired is None else {"paired": True}
        common |= self._style(letters, str(general.get("bundle", "default")))
        conditions = [{"pathology": p, "vendor": v, **common} for p in classes for v in letters or (None,)]
        correlation = {} if self.correlation is None else {"correlation": self.correlation}
        from synthgen.engine.recipe import Recipe

        return Recipe.parse({"conditions": conditions, **correlation, **general}, subject="options")

    def _balanced(self, general: Mapping[str, object]) -> Recipe:
        """Return the recipe of what a cohort lacks."""
        given = {
            "--target": self.targets, "--count": self.count, "--vendor": self.styles, "--severity": self.span,
            "--paired": self.paired, "--style": self.reference,
        }  # fmt: skip
        wrong = [name for name, value in given.items() if value not in (None, ())]
        if wrong or not (self.balance_by and self.like):
            got = ", ".join(wrong) or ("--like" if self.like else "--balance") + " alone"
            raise InputError("options", expected="--balance and --like, without --target and its like", got=got)
        from synthgen.engine.balance import balance
        from synthgen.engine.recipe import Recipe

        by, method = cast("By", self.balance_by), cast("Method", self.method or "latent")
        conditions = balance(_kinds(self.like), by, method, 1 if self.fill is None else self.fill)
        correlation = {} if self.correlation is None else {"correlation": self.correlation}
        asked = [condition.model_dump(mode="json", exclude_unset=True) for condition in conditions]
        return Recipe.parse({"conditions": asked, **correlation, **general}, subject="options")

    def _style(self, letters: tuple[Vendor, ...], bundle: str) -> dict[str, object]:
        """Return the style of the reference as a field of a condition, nothing if there is none."""
        if self.reference is None:
            return {}
        if len(letters) != 1:
            got = ", ".join(letters) or "none"
            raise InputError("--style", expected="one --vendor, which says what the style is called", got=got)
        from synthgen.engine.style_reference import style_reference
        from synthgen.networks.bundle import load_bundle

        return {"style": style_reference(load_bundle(bundle), self.reference).model_dump(mode="json")}

    def recipe_from(self, file: Path, general: Mapping[str, object]) -> Recipe:
        """Return the recipe in `file`, with the general options; others would contradict it."""
        names = {
            "targets": "--target",
            "styles": "--vendor",
            "span": "--severity",
            "balance_by": "--balance",
            "reference": "--style",
        }
        given = [names.get(name, f"--{name}") for name, value in asdict(self).items() if value not in (None, ())]
        if given:
            raise InputError("--recipe", expected="no other option that says what to make", got=", ".join(given))
        from synthgen.engine.recipe import Recipe

        return Recipe.parse({**Recipe.load(file).as_dict(), **general}, subject=file)


def _kinds(like: str) -> list[tuple[Pathology, Vendor]]:
    """Return class and vendor of every subject of a dataset, or of a cohort as `fit` names it."""
    if Path(like, "manifest.json").is_file():
        from synthgen.datasets.manifest import load_manifest

        return [(entry.pathology, entry.vendor) for entry in load_manifest(Path(like)).subjects]
    from synthgen.commands.cohorts import cohort_of

    cohort = cohort_of(like)
    return list(zip(cohort.subject_pathologies, cohort.subject_vendors, strict=True))


def _name(recipe: Recipe) -> str:
    """Return a folder name that tells what was asked for."""
    classes = list(dict.fromkeys(str(condition.pathology) for condition in recipe.conditions))
    letters = list(dict.fromkeys(str(condition.vendor) for condition in recipe.conditions if condition.vendor))
    vendor = f"-vendor-{''.join(letters)}" if letters else ""
    styles = list(dict.fromkeys(c.style.name.split(".")[0] for c in recipe.conditions if c.style))
    vendor += "".join(f"-style-{name}" for name in styles)
    paired = "-paired" if any(condition.paired for condition in recipe.conditions) else ""
    mixed = "-mix" if any(condition.method == "mix" for condition in recipe.conditions) else ""
    spans = list(dict.fromkeys(c.severity for c in recipe.conditions if "severity" in c.model_fields_set))
    severe = "".join(f"-severity{low:g}-{high:g}" for low, high in spans)
    return f"{'-'.join(classes)}-{recipe.count}{vendor}{paired}{severe}{mixed}-seed{recipe.seed}"
