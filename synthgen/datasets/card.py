"""`README.md` of a dataset: what a reader must know before using it, from the manifest alone.

It says nothing about the container, so it stays the same when a dataset is converted, and knows no time, so equal
builds have equal cards. Nothing of a subject's history and no path of the maker's machine is in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import TypeVar

from pydantic import JsonValue

from synthgen.datasets.manifest import Manifest, RecordEntry, SourceData
from synthgen.datasets.quantisation import LEVELS
from synthgen.labels import Pathology, Phase, Tissue, Vendor

CARD = "README.md"

_Member = TypeVar("_Member", Pathology, Vendor)

_PATHOLOGIES: Mapping[Pathology, str] = {
    Pathology.NOR: "normal",
    Pathology.MINF: "previous myocardial infarction",
    Pathology.DCM: "dilated cardiomyopathy",
    Pathology.HCM: "hypertrophic cardiomyopathy",
    Pathology.ARV: "abnormal right ventricle",
}

_TISSUES: Mapping[Tissue, str] = {
    Tissue.BACKGROUND: "background",
    Tissue.LV: "left-ventricular cavity, papillary muscles included",
    Tissue.MYO: "left-ventricular myocardium",
    Tissue.RV: "right-ventricular cavity",
    Tissue.LUNG: "lung",
    Tissue.MUSCLE: "muscle, bone and other soft tissue",
    Tissue.FAT: "fat",
    Tissue.ABDOMEN: "abdominal organs",
    Tissue.VESSEL: "great vessels and atria",
}

_PHASES: Mapping[Phase, str] = {Phase.ED: "end-diastole", Phase.ES: "end-systole"}

_INDICES: Mapping[str, str] = {
    "lv_edv_ml": "LV EDV (ml)",
    "lv_ef_percent": "LV EF (%)",
    "lv_mass_ed_g": "LV mass (g)",
    "rv_edv_ml": "RV EDV (ml)",
    "rv_ef_percent": "RV EF (%)",
    "wall_ed_segment_max_mm": "thickest segment (mm)",
}

_LIMITS = (
    "Not for diagnosis or treatment, and no evidence about a scanner, a hospital or a population.",
    "Class proportions are not a prevalence.",
    "Short-axis stacks at end-diastole and end-systole only: no cine, no long axis, no late enhancement.",
    "Images follow their labels; an expert who contours them would differ, as experts differ from each other.",
    "A vendor is a style of images by the letters of M&Ms, not a claim about a product.",
    "A generator shows no more variety than it was fitted on.",
    "No claim of privacy is made about the data that a generator was fitted on.",
)
_REDRAWN = "Draws that failed the checks were drawn again; each subject's record tells how often and why."
_KNOWN_ANATOMIES = (
    "Label maps are those of known subjects{how}: who may not have them may not have this dataset.",
    "Class, height, weight and sex are those of the subject of the label maps; the rule of the class is not checked.",
    "Subjects of one `heart` go back to one of them: never divide them between training and testing.",
)
_SHARED_BODIES = (
    "Subjects of one `heart` were made in one body, which their label maps share: never divide them between training "
    "and testing. Mixtures may share a ventricle of one donor beyond that."
)

_ANATOMIES: Mapping[str, str] = {
    "latent": "anatomy: S. Amirrajab et al., SASHIMI 2022, LNCS 13570:34–42, arXiv 2209.04223",
    "mix": "anatomy: S. Thermos et al., MICCAI 2021, arXiv 2107.01748, doi 10.1007/978-3-030-87199-4_15",
}
_IMAGES: Mapping[str, str] = {
    "spade": "images: S. Amirrajab et al., Comput. Med. Imaging Graph. 101:102123, 2022, "
    "doi 10.1016/j.compmedimag.2022.102123",
    "sdnet": "images: A. Chartsias et al., Med. Image Anal. 58:101535, 2019, doi 10.1016/j.media.2019.101535",
}
_USES = {"generator": "Fitted on", "label maps": "Label maps of"}
_CLASSES = "classes: O. Bernard et al. (ACDC), IEEE TMI 37(11):2514–2525, 2018, doi 10.1109/TMI.2018.2837502"


def dataset_card(manifest: Manifest) -> str:
    """Return the card of a dataset as Markdown: what it is, classes and vendors, labels, sources, limits, citation.

    Parameters
    ----------
    manifest
        Its list of files is not looked at, so the card itself may be one of them.
    """
    sections = [
        f"# {title(manifest)}",
        summary(manifest),
        f"**{manifest.disclaimer}**",
        "## Classes and vendors",
        _counts(manifest.subjects),
        "Clinical indices as measured on the labels, mean ± standard deviation:",
        _index_table(manifest.subjects),
        "## Labels",
        _table(("value", "name", "tissue"), [(str(t.value), t.name.lower(), text) for t, text in _TISSUES.items()]),
        f"Image and label of a phase share one grid, and so do both phases. Images have {LEVELS + 1} grey levels.",
        "## Sources and licences",
        _sources(manifest),
        "## Limits",
        _bullets((*_LIMITS, *(() if _label_maps(manifest) else (_REDRAWN,)), *provisos(manifest))),
        "## Citing it",
        _citation(manifest),
        "## Identity",
        _bullets(
            (
                f"version {manifest.version}, content `{manifest.content_id}`, request `{manifest.recipe_id}`",
                "`manifest.json` holds the request, the models and the hash of every file",
                "`records/` holds the history of each subject",
                "`synthgen verify` checks every byte",
            )
        ),
    ]
    return "\n\n".join(sections) + "\n"


def title(manifest: Manifest) -> str:
    """Return the headline: how many subjects of what."""
    names = _present(Pathology, [entry.pathology for entry in manifest.subjects])
    return f"{len(manifest.subjects)} synthetic short-axis cardiac MR subjects ({', '.join(names)})"


def summary(manifest: Manifest) -> str:
    """Return a paragraph that says what is in the dataset and what made it."""
    subjects = manifest.subjects
    slices = sorted({str(entry.shape[0]) for entry in subjects}, key=int)
    grids = Counter(f"{e.shape[2]} × {e.shape[1]} pixels of {e.spacing_mm[2]:.2f} mm" for e in subjects)
    thick = sorted({f"{entry.spacing_mm[0]:.3g}" for entry in subjects}, key=float)
    most = grids.most_common(1)[0][0] + (" and other grids" if len(grids) > 1 else "")
    bundles = [_text(model.get("name")) for model in manifest.models if model.get("name")]
    maker = f"from the fitted generator {', '.join(bundles)}" if bundles else "by simulation"
    maker += "".join(f", rendering label maps of {_text(source.name)}" for source in _label_maps(manifest))
    return (
        f"Each of the {len(subjects)} subjects has an image and a label map of nine tissues at "
        f"{' and '.join(_PHASES[phase] for phase in Phase)}: {_span(slices)} slices, "
        f"{_span(thick)} mm apart, {most}. Made by synthgen {manifest.generator.version} {maker}."
    )


def sources_of(manifest: Manifest) -> tuple[SourceData, ...]:
    """Return the data behind the dataset, without entries that say nothing."""
    return tuple(source for source in manifest.legal.source_data if source.name or source.licence)


def provisos(manifest: Manifest) -> tuple[str, ...]:
    """Return what must be known of a dataset wherever it goes: whose label maps it has, which subjects share some."""
    if not _label_maps(manifest):
        return (_SHARED_BODIES,) if any(entry.anatomy for entry in manifest.subjects) else ()
    rendering = manifest.plan.get("rendering")
    varied = isinstance(rendering, dict) and rendering.get("varied") is not False
    how = ", bent and with larger or smaller hearts" if varied else ", as they are"
    return tuple(line.format(how=how) for line in _KNOWN_ANATOMIES)


def _label_maps(manifest: Manifest) -> tuple[SourceData, ...]:
    """Return the data whose label maps were rendered."""
    return tuple(source for source in sources_of(manifest) if source.use == "label maps")


def citations(manifest: Manifest) -> list[str]:
    """Return what to cite, one line each, the program first."""
    own = f"synthgen {manifest.generator.version}, dataset version {manifest.version}, {manifest.content_id}"
    data = [source.citation for source in sources_of(manifest)]
    lines = [own, *(_methods(manifest) if manifest.models else ()), *data, manifest.legal.citation, _CLASSES]
    return list(dict.fromkeys(_text(line) for line in lines if line))


def _methods(manifest: Manifest) -> list[str]:
    """Return whose methods drew anatomies and images, as the request names them."""
    recipe = manifest.plan.get("recipe")
    asked = recipe if isinstance(recipe, dict) else {}
    conditions = asked.get("conditions")
    drawn = {c.get("method") for c in conditions if isinstance(c, dict)} if isinstance(conditions, list) else set()
    supposed = set() if _label_maps(manifest) else {"latent"}
    anatomies = [text for method, text in _ANATOMIES.items() if method in (drawn or supposed)]
    return [*anatomies, _IMAGES["sdnet" if asked.get("renderer") == "sdnet" else "spade"]]


def _counts(subjects: Sequence[RecordEntry]) -> str:
    vendors = _present(Vendor, [entry.vendor for entry in subjects])
    found = Counter((entry.pathology, entry.vendor) for entry in subjects)
    header = ("class", *(f"{vendor} ({vendor.manufacturer})" for vendor in vendors), "all")
    rows = []
    for pathology in _present(Pathology, [entry.pathology for entry in subjects]):
        numbers = [found[pathology, vendor] for vendor in vendors]
        rows.append((f"{pathology}, {_PATHOLOGIES[pathology]}", *map(str, numbers), str(sum(numbers))))
    totals = [sum(found[p, vendor] for p in Pathology) for vendor in vendors]
    return _table(header, [*rows, ("all", *map(str, totals), str(sum(totals)))])


def _index_table(subjects: Sequence[RecordEntry]) -> str:
    names = [name for name in _INDICES if any(entry.indices.get(name) is not None for entry in subjects)]
    rows = []
    for pathology in _present(Pathology, [entry.pathology for entry in subjects]):
        members = [entry for entry in subjects if entry.pathology is pathology]
        rows.append((pathology.value, *(_spread([entry.indices.get(name) for entry in members]) for name in names)))
    return _table(("class", *(_INDICES[name] for name in names)), rows)


def _spread(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "unknown"
    return f"{fmean(known):.1f}" + (f" ± {stdev(known):.1f}" if len(known) > 1 else "")


def _sources(manifest: Manifest) -> str:
    licence = _text(manifest.legal.licence) or "not stated"
    lines = [f"Licence of this dataset: {licence}."]
    lines += [
        f"{_USES[source.use]} {_text(source.name)} (licence: {_text(source.licence) or 'not stated'})"
        + (f": {_text(source.citation)}" if source.citation else "")
        for source in sources_of(manifest)
    ]
    return _bullets(lines)


def _citation(manifest: Manifest) -> str:
    return _bullets(citations(manifest))


def _present(kind: type[_Member], values: Iterable[_Member]) -> list[_Member]:
    found = set(values)
    return [member for member in kind if member in found]


def _span(numbers: Sequence[str]) -> str:
    return numbers[0] if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _text(value: JsonValue) -> str:
    """Return a text of someone else's as one line that cannot be taken for a table or a heading."""
    return " ".join(str(value or "").split()).replace("|", "\\|").replace("<", "&lt;")


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))
