"""Hugging Face: a repository folder with its dataset card, ready to be uploaded.

The card is that of the dataset under the front matter that the Hub reads. `datasets.load_dataset` gives the table of
cases; its `image` and `label` columns are paths inside the repository.

Reference: https://huggingface.co/docs/hub/datasets-cards
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from synthgen.datasets.card import CARD, dataset_card, title
from synthgen.datasets.manifest import Manifest
from synthgen.datasets.reader import StoredDataset
from synthgen.exports.cases import Progress, separated, table_rows, write_cases, write_file
from synthgen.exports.croissant import CASES
from synthgen.exports.datalist import nifti_place
from synthgen.exports.export import export

_LICENCES: Mapping[str, str] = {
    "apache-2.0": "apache-2.0",
    "mit": "mit",
    "cc0-1.0": "cc0-1.0",
    "cc-by-4.0": "cc-by-4.0",
    "cc-by-sa-4.0": "cc-by-sa-4.0",
    "cc-by-nc-4.0": "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0": "cc-by-nc-sa-4.0",
}
"""Licences that the Hub knows by an identifier; any other is given by its name."""

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@export
def export_hugging_face(source: StoredDataset, folder: Path, _name: str, progress: Progress | None) -> None:
    """Write `dataset` as NIfTI with a table of cases and a Hugging Face card into `out` and return it."""
    rows = table_rows(write_cases(source, folder, nifti_place, progress))
    write_file(folder, CASES, separated(rows))
    write_file(folder, CARD, hub_card(source.manifest, len(rows)).encode())


def hub_card(manifest: Manifest, cases: int) -> str:
    """Return the card of a dataset under its front matter.

    Parameters
    ----------
    cases
        Number of rows of the table of cases.
    """
    size = next((name for limit, name in _SIZES if cases < limit), "n>1M")
    front: dict[str, object] = {
        **_licence(manifest.legal.licence),
        "pretty_name": title(manifest),
        "task_categories": ["image-segmentation", "image-classification"],
        "tags": ["synthetic", "medical", "cardiac-mri", "nifti"],
        "size_categories": [size],
        "configs": [{"config_name": "cases", "data_files": CASES}],
    }
    # any JSON value is YAML
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()]
    layout = (
        f"`{CASES}` has a row per subject and phase with the paths of its image and label (`images/`, `labels/`: "
        "NIfTI, grey values scaled in the header). `manifest.json` and `records/` stay with the dataset that this was "
        "exported from."
    )
    return "\n".join(["---", *lines, "---", "", dataset_card(manifest), "## Files", "", layout, ""])


def _licence(text: str) -> dict[str, str]:
    known = _LICENCES.get("-".join(text.lower().split()))
    if known:
        return {"license": known}
    name = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")  # an identifier to the Hub; the card has the words
    said = name not in ("", "not-stated")  # as cohorts say that do not know
    return {"license": "other", "license_name": name} if said else {"license": "unknown"}
