"""Mutated inputs for `faults.py`: what is changed, how it is read, and what may come of it.

A case is (seed, number): kind of input, file, change and every byte of it follow from the two. A change is either plain
damage, which must be noticed wherever the kind carries hashes, or hostile: hashes and checksums are made to fit again,
so that it reaches the parsers behind them. Nothing may end in anything but the content or a `SynthgenError`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from synthgen.cohorts.acdc import Acdc
from synthgen.cohorts.nifti import write_volume
from synthgen.cohorts.nifti_folder import NiftiFolder
from synthgen.datasets.archive import pack, unpack
from synthgen.datasets.convert import convert
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.verify import verify
from synthgen.engine.generate import Generator
from synthgen.engine.recipe import Recipe
from synthgen.errors import DamageError, SynthgenError
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import Phase
from synthgen.networks.bundle import SHIPPED, load_bundle
from synthgen.seeding import Stage, numpy_stream
from synthgen.simulate import simulate
from synthgen.subjects import SourceSubject, SyntheticSubject

Tree = dict[str, bytes]
Rng = np.random.Generator

SAME, REFUSED, OTHER = "same", "refused", "other"
"""Outcomes that are right: the content as it was, the project's own error, other content where nothing forbids it."""

SECONDS = 2.0
"""Processor time that one case may take."""

_ROTA = (
    "zarr hdf5 nifti archive bundle zarr hdf5 nifti archive folder acdc recipe zarr hdf5 nifti archive bundle folder "
)
ROTA = (_ROTA + "acdc recipe").split()
"""The kind of case k is `ROTA[k % 20]`."""

HOLE = "@@hole@@"
FRAGMENTS = [
    *("null", "true", "0", "-1", "0.5", "1e308", "-1e999", "NaN", "Infinity", "1" + "0" * 400, "1" * 5000),
    *('""', '"x"', '"NaN"', '"1e9"', '"../../../../etc/passwd"', '"/etc/passwd"', '"a/../../b"', '"\\u0000"'),
    *('"\\ud800"', '"CON"', '"' + "x" * 1_000_000 + '"', "[]", "{}", "[[]]", '[{"a": [null]}]', "9223372036854775808"),
    *("4096", "65536", "2147483648", "[" * 100_000, "[" * 500 + "]" * 500, '{"a":' * 500 + "1" + "}" * 500),
    *("[1e308, 1e308, 1e308]", "[0, 0, 0]", "[4096, 4096, 4096]", '"' + "\\n" * 50 + '"', "{,}", "nul"),
]
"""What stands in place of a JSON value; not all of it is JSON."""

CELLS = [
    *("", " ", "-1", "0", "nan", "inf", "1e999", "9" * 400, "../../etc/passwd", "/etc/passwd", "\0", "x" * 200_000),
    *('"', "',", "A,B", "\r", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\N{ARABIC-INDIC DIGIT THREE}", "\ufeff", "RV"),
]
"""What stands in place of a cell of a table or a value of a configuration."""


@dataclass
class Place:
    """A folder with known content, changed by a case and put back after it."""

    root: Path
    tree: Tree
    touched: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, root: Path) -> Place:
        """Remember what is below `root`."""
        return cls(root, contents(root))

    def write(self, path: str, data: bytes) -> None:
        """Give a file other content."""
        self._clear(path)
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._clear(path)

    def put(self, path: str, what: str) -> None:
        """Put what is no plain file in the place of a file."""
        self._clear(path)
        {
            "folder": lambda p: p.mkdir(),
            "pipe": os.mkfifo,
            "link": lambda p: p.symlink_to("/etc/hostname"),
            "loop": lambda p: p.symlink_to(p.name),
        }[what](self.root / path)

    def restore(self) -> None:
        """Put everything back."""
        for path in self.touched:
            self._clear(path, note=False)
            if path in self.tree:
                (self.root / path).write_bytes(self.tree[path])
        self.touched.clear()

    def _clear(self, path: str, *, note: bool = True) -> None:
        if note:
            self.touched.add(path)
        place = self.root / path
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def contents(root: Path) -> Tree:
    """Return every plain file below a folder with its bytes."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


# --- changes of bytes, of JSON, of files ---


def change_bytes(data: bytes, rng: Rng) -> tuple[str, bytes]:
    """Return the name of a change and the changed bytes."""
    size = max(len(data), 1)
    at, then = sorted(int(v) for v in rng.integers(0, size, 2))
    span = int(min(2 ** rng.integers(0, 12), size))
    piece = data[at : at + span]
    flipped = bytearray(data)
    for place in rng.integers(0, size, int(rng.integers(1, 9))):
        if data:
            flipped[place] ^= 1 << int(rng.integers(8))
    changes = {
        "flip": bytes(flipped),
        "truncate": data[:at],
        "delete": data[:at] + data[at + span :],
        "duplicate": data[:then] + piece + data[then:],
        "swap": data[:at] + data[then : then + span] + data[at + span : then] + piece + data[then + span :],
        "insert": data[:at] + rng.bytes(span) + data[at:],
        "zeros": data[:at] + bytes(len(piece)) + data[at + span :],
        "nothing left": b"",
        "append": data + rng.bytes(span),
    }
    name = str(rng.choice(list(changes)))
    return name, changes[name]


def change_json(text: bytes, rng: Rng) -> tuple[str, bytes]:
    """Return the name of a change and a JSON text (or nearly one) with one value, key or element changed."""
    document = json.loads(text)
    nodes = list(_nodes(document))
    holder, key = nodes[int(rng.integers(len(nodes)))]
    how = str(rng.choice(["value", "value", "value", "drop", "extra", "twice", "type"]))
    fragment = FRAGMENTS[int(rng.integers(len(FRAGMENTS)))]
    if how == "drop":
        del holder[key]
    elif how == "extra" and isinstance(holder, dict):
        holder[str(rng.choice(["extra", "__class__", "", "x" * 10_000, "id"]))] = HOLE
    elif how == "twice" and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif how == "type":
        holder[key] = [holder[key]] if rng.integers(2) else str(holder[key])
    else:
        holder[key] = HOLE
    changed = json.dumps(document).replace(f'"{HOLE}"', fragment)
    return f"{how} at {str(key)[:40]!r}: {fragment[:30]}", changed.encode("utf-8", "surrogatepass")


def _nodes(value: object) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _nodes(item)


def change_table(data: bytes, rng: Rng, separator: str) -> tuple[str, bytes]:
    """Return the name of a change and a table or configuration with a cell, line or column changed."""
    rows = [line.split(separator) for line in data.decode().splitlines()]
    at = int(rng.integers(len(rows)))
    cell = CELLS[int(rng.integers(len(CELLS)))]
    column = int(rng.integers(len(rows[at])))
    how = str(rng.choice(["cell", "cell", "cell", "drop line", "line twice", "drop cell", "extra cell"]))
    if how == "cell":
        rows[at][column] = cell
    elif how == "drop line":
        del rows[at]
    elif how == "line twice":
        rows.insert(at, list(rows[at]))
    elif how == "drop cell":
        del rows[at][column]
    else:
        rows[at].insert(column, cell)
    return f"{how}: {cell[:20]!r}", "\n".join(separator.join(row) for row in rows).encode()


def damage(place: Place, rng: Rng, paths: list[str] | None = None) -> str:
    """Change one file of a folder and nothing else; return what was done."""
    paths = paths or sorted(place.tree)
    path = paths[int(rng.integers(len(paths)))]
    other = paths[int(rng.integers(len(paths)))]
    how = str(rng.choice(["bytes"] * 8 + ["remove", "copy", "exchange", "folder", "pipe", "link", "loop"]))
    if how == "bytes":
        how, data = change_bytes(place.tree[path], rng)
        place.write(path, data)
    elif how == "remove":
        place.remove(path)
    elif how == "copy":
        place.write(path + ".copy", place.tree[path])
    elif how == "exchange":
        place.write(path, place.tree[other])
        place.write(other, place.tree[path])
        how = f"exchange with {other}"
    else:
        place.put(path, how)
    return f"{path}: {how}"


# --- hashes and checksums that fit again ---


def seal_document(content: bytes) -> bytes:
    """Return a dataset's document with a first line that fits; `content` is the JSON text of an object."""
    rest = content.strip().removeprefix(b"{")
    return b'{"digest": "sha256:' + hashlib.sha256(rest).hexdigest().encode() + b'",\n' + rest


def _opened(document: bytes) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(document)
    del content["digest"]
    return content


def _entry(path: str, data: bytes) -> dict[str, object]:
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def write_sealed(place: Place, path: str, data: bytes) -> None:
    """Write a file of a dataset and let its record and the manifest name the new bytes."""
    changed = {path: data}
    for name in sorted(place.tree):
        if name.startswith("records/") and path != name:
            record = _opened(place.tree[name])
            if any(file["path"] == path for file in record["files"]):
                record["files"] = [_entry(path, data) if f["path"] == path else f for f in record["files"]]
                changed[name] = seal_document(json.dumps(record).encode())
    if path != "manifest.json":
        manifest = _opened(place.tree["manifest.json"])
        for subject in manifest["subjects"]:
            name = subject["record"]["path"]
            subject["record"] = _entry(name, changed.get(name, place.tree[name]))
        manifest["files"] = [
            _entry(f["path"], changed.get(f["path"], place.tree[f["path"]])) for f in manifest["files"]
        ]
        changed["manifest.json"] = seal_document(json.dumps(manifest).encode())
    for name, content in changed.items():
        place.write(name, content)


def forge(place: Place, rng: Rng) -> str:
    """Change one file of a dataset and make every hash and checksum fit; return what was done."""
    paths = sorted(place.tree)
    documents = [p for p in paths if p == "manifest.json" or p.startswith("records/")]
    volumes = [p for p in paths if p.startswith("volumes.") and not p.endswith(".json")]
    if rng.integers(2):
        path = documents[int(rng.integers(len(documents)))]
        how, text = change_json(json.dumps(_opened(place.tree[path])).encode(), rng)
        data = seal_document(text)
    else:
        path = volumes[int(rng.integers(len(volumes)))]
        how, data = _forged_volume(path, place.tree[path], rng)
    write_sealed(place, path, data)
    return f"forged {path}: {how}"


def _forged_volume(path: str, data: bytes, rng: Rng) -> tuple[str, bytes]:
    if path.endswith(".gz"):
        return inside_gzip(data, rng)
    if path.endswith(".h5"):
        how, content = near_start(data[512:], rng)
        mark = data[:512].split(b": ")[0] + f": {google_crc32c.value(content):08x}\n".encode()
        return how, mark.ljust(512, b"\0") + content
    how, content = near_start(data[:-4], rng)
    return how, content + struct.pack("<I", google_crc32c.value(content))


def near_start(data: bytes, rng: Rng) -> tuple[str, bytes]:
    """Change bytes, half the time among the first 600, where headers are."""
    head = int(rng.choice([600, len(data)]))
    how, changed = change_bytes(data[:head], rng)
    return how, changed + data[head:]


def inside_gzip(data: bytes, rng: Rng) -> tuple[str, bytes]:
    """Change what a gzip stream holds."""
    how, content = near_start(zlib.decompress(data, 31), rng)
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return f"inside gzip: {how}", packer.compress(content) + packer.flush()


# --- kinds of input ---


@dataclass(frozen=True)
class Kind:
    """One kind of input: how a case changes it (and whether a difference may come of it), and how it is read."""

    place: Place
    change: Callable[[Place, Rng], tuple[str, bool]]
    read: Callable[[Place], object]
    first: object


def read_dataset(place: Place) -> object:
    """Read a dataset in every way; a difference without an error is in the answer."""
    answer: list[object] = []
    complaint = None
    for read in (_read_subjects, _read_stored):
        try:
            answer.append(read(place.root))
        except SynthgenError as error:  # still to be asked: does anything differ where nothing complains?
            complaint = error
            answer.append(None)
    found = verify(place.root, deep=True)
    answer.append(None if found else contents(place.root))
    if complaint or found:
        raise _RefusedError(tuple(answer)) from complaint
    return tuple(answer)


class _RefusedError(DamageError):
    """Something complained; `answer` holds what was read elsewhere, None where it was refused."""

    def __init__(self, answer: tuple) -> None:
        super().__init__("refused")
        self.answer = answer


def _read_subjects(root: Path) -> object:
    dataset = StoredDataset(root)
    subjects = [dataset[number] for number in range(len(dataset))]
    return [_facts(subject) for subject in subjects]


def _facts(subject: SourceSubject | SyntheticSubject) -> object:
    volumes = [v for group in (subject.images, subject.labels) for v in group.values()]
    voxels = [(hashlib.sha256(v.voxels.tobytes()).hexdigest(), v.shape, v.affine.tolist()) for v in volumes]
    known = (subject.subject_id, subject.pathology, subject.vendor, subject.body)
    return repr((*known, getattr(subject, "indices", None), getattr(subject, "record", None), voxels))


def _read_stored(root: Path) -> object:
    dataset = StoredDataset(root)
    stored = [dataset.stored(name) for name in dataset.ids]
    voxels = [hashlib.sha256(a.tobytes()).hexdigest() for s in stored for v in s.volumes.values() for a in v.values()]
    return repr([(s.entry, s.history) for s in stored]), voxels, repr(dataset.manifest)


def change_dataset(place: Place, rng: Rng) -> tuple[str, bool]:
    """Damage or forge a dataset."""
    return (damage(place, rng), False) if rng.integers(3) else (forge(place, rng), True)


def change_archive(place: Place, rng: Rng) -> tuple[str, bool]:
    """Damage an archive, or write one anew with a forged dataset or strange members."""
    data = place.tree["one.zip"]
    how = int(rng.integers(4))
    if how < 2:
        low = data.rindex(b"manifest.json") - 30 if how and rng.integers(2) else 0  # the directory at the end
        low = data.index(b"PK\x01\x02") if low else 0
        name, tail = change_bytes(data[low:], rng)
        place.write("one.zip", data[:low] + tail)
        return f"byte {low} on: {name}", False
    inner = Place(place.root / "dataset", contents(place.root / "dataset"))
    try:
        what = forge(inner, rng) if how == 2 else "members"
        names = sorted(contents(inner.root), key=lambda path: path != "manifest.json")
        place.touched.add("one.zip")
        with warnings.catch_warnings(), zipfile.ZipFile(place.root / "one.zip", "w") as archive:
            warnings.simplefilter("ignore")  # the same name twice is what is meant
            for path in names:
                info = _strange(path, rng) if how == 3 and not rng.integers(len(names)) else _member(path)
                archive.writestr(info, (inner.root / path).read_bytes())
    finally:
        inner.restore()
    return what, how == 2


def _member(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path)
    info.external_attr, info.create_system = 0o100644 << 16, 3
    return info


def _strange(path: str, rng: Rng) -> zipfile.ZipInfo:
    names = [
        "../escaped",
        "/escaped",
        path + "/",
        "manifest.json",
        "x" * 60_000,
        path.upper(),
        "a\\..\\b",
        path + "\0x",
    ]
    info = _member(str(rng.choice([path, *names])))
    info.external_attr = int(rng.choice([0o100644, 0o120777, 0o040755])) << 16
    info.compress_type = int(rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))
    return info


def read_archive(place: Place) -> object:
    """Unpack; what lands beside the folder is in the answer."""
    out = place.root / "out"
    beside = {p.name for p in place.root.iterdir()} - {"out"}
    try:
        return contents(unpack(place.root / "one.zip", out))
    finally:
        shutil.rmtree(out, ignore_errors=True)
        left = {p.name for p in place.root.iterdir()} - beside
        if left:
            raise AssertionError(f"left behind: {left}")


def change_bundle(place: Place, rng: Rng) -> tuple[str, bool]:
    """Damage a bundle, write another description, or another file that the description names rightly."""
    how = int(rng.integers(4))
    if how < 2:
        what = damage(place, rng)
        return what, "bundle.json" in what
    if how == 2:
        what, text = change_json(place.tree["bundle.json"], rng)
        place.write("bundle.json", text)
        return f"bundle.json: {what}", True
    file = str(rng.choice(sorted(set(place.tree) - {"bundle.json"})))
    what, data = _forged_tensors(place.tree[file], rng)
    description = json.loads(place.tree["bundle.json"])
    description["files"][file] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    place.write(file, data)
    place.write("bundle.json", json.dumps(description).encode())
    return f"forged {file}: {what}", True


def _forged_tensors(data: bytes, rng: Rng) -> tuple[str, bytes]:
    """Change a safetensors file: its bytes, the JSON of its header, or a JSON text that it holds as a tensor."""
    (size,) = struct.unpack_from("<Q", data)
    header, body = data[8 : 8 + size], data[8 + size :]
    described = json.loads(header)
    texts = [name for name in ("donors", "recipients", "classes", "names") if name in described]
    how = int(rng.integers(3))
    if how == 0:
        return near_start(data, rng)
    if how == 1 or not texts:
        what, header = change_json(header, rng)
        return f"header: {what}", struct.pack("<Q", len(header)) + header + body
    name = str(rng.choice(texts))
    start, end = described[name]["data_offsets"]
    try:
        what, text = change_json(body[start:end], rng)
    except ValueError:
        return near_start(data, rng)
    moved = {key: value for key, value in described.items() if key != name}
    for value in moved.values():
        if "data_offsets" in value and value["data_offsets"][0] >= end:
            value["data_offsets"] = [offset + len(text) - (end - start) for offset in value["data_offsets"]]
    moved[name] = {"dtype": "U8", "shape": [len(text)], "data_offsets": [start, start + len(text)]}
    header = json.dumps(moved).encode()
    header += b" " * (-len(header) % 8)
    return f"tensor {name}: {what}", struct.pack("<Q", len(header)) + header + body[:start] + text + body[end:]


def read_bundle(place: Place) -> object:
    """Open a bundle, every network and every donor in it."""
    bundle = load_bundle(place.root)
    generator = Generator(bundle)
    for donor in generator.donors.ids:
        _ = generator.donors[donor].heart
    for name in bundle.description.networks:
        bundle.network(name)
    hashes = [hashlib.sha256((place.root / file).read_bytes()).hexdigest() for file in bundle.description.files]
    return repr(bundle.description), hashes


def change_folder(place: Place, rng: Rng) -> tuple[str, bool]:
    """Damage a cohort, change a cell of its table, or what a volume's gzip stream holds."""
    how = int(rng.integers(3))
    tables = [path for path in sorted(place.tree) if path.endswith((".csv", ".cfg"))]
    if how == 0:
        return damage(place, rng), True
    if how == 1:
        path = str(rng.choice(tables))
        what, data = change_table(place.tree[path], rng, "," if path.endswith(".csv") else ":")
    else:
        path = str(rng.choice([path for path in sorted(place.tree) if path.endswith(".gz")]))
        what, data = inside_gzip(place.tree[path], rng)
    place.write(path, data)
    return f"{path}: {what}", True


def read_cohort(open_cohort: Callable[[Path], Any]) -> Callable[[Place], object]:
    """Return how a cohort is read: every subject."""

    def read(place: Place) -> object:
        cohort = open_cohort(place.root)
        return cohort.fingerprint(), [_facts(cohort[number]) for number in range(len(cohort))]

    return read


def change_recipe(place: Place, rng: Rng) -> tuple[str, bool]:
    """Damage a recipe or change a value in it."""
    if not rng.integers(4):
        return damage(place, rng), True
    what, text = change_json(place.tree["recipe.json"], rng)
    place.write("recipe.json", text)
    return what, True


def read_recipe(place: Place) -> object:
    """Load a recipe."""
    recipe = Recipe.load(place.root / "recipe.json")
    return recipe.as_dict(), [condition.key for condition in recipe.conditions], recipe.count


class _Remembered(VirtualHearts):
    """Virtual hearts that are simulated once, however often they are asked for."""

    def __getitem__(self, index: int) -> SourceSubject:
        """Return heart `index`."""
        known: dict[int, SourceSubject] = self.__dict__.setdefault("known", {})
        if index not in known:
            known[index] = super().__getitem__(index)
        return known[index]


def make_kinds(folder: Path, bundle: Path = SHIPPED / "default") -> Mapping[str, Kind]:
    """Write one small sound input of each kind below `folder` and read it once."""
    hearts = _Remembered(2, pixels=64, spacing_mm=2.5)
    simulate(hearts, folder / "zarr", workers=1)
    for container in ("hdf5", "nifti"):
        convert(folder / "zarr", folder / container, container)
    (folder / "archive").mkdir()
    shutil.copytree(folder / "zarr", folder / "archive" / "dataset")
    pack(folder / "zarr", folder / "archive" / "one.zip")
    shutil.copytree(bundle, folder / "bundle")
    simulate(hearts, folder / "acdc", layout="acdc", workers=1)
    _write_folder(hearts, folder / "folder")
    conditions = [{"pathology": "ARV", "count": 3}, {"pathology": "HCM", "vendor": "B", "count": 2}]
    (folder / "recipe").mkdir()
    Recipe.parse({"conditions": conditions}).save(folder / "recipe" / "recipe.json")
    ways: dict[str, tuple[Callable, Callable]] = {
        **dict.fromkeys(("zarr", "hdf5", "nifti"), (change_dataset, read_dataset)),
        "archive": (change_archive, read_archive),
        "bundle": (change_bundle, read_bundle),
        "folder": (change_folder, read_cohort(lambda p: NiftiFolder(p, label_scheme="tissue"))),
        "acdc": (change_folder, read_cohort(Acdc)),
        "recipe": (change_recipe, read_recipe),
    }
    kinds = {}
    for name, (change, read) in ways.items():
        place = Place.of(folder / name)
        kinds[name] = Kind(place, change, read, read(place))
    return kinds


def _write_folder(hearts: VirtualHearts, folder: Path) -> None:
    folder.mkdir()
    lines = ["subject_id,pathology,vendor,height_cm,weight_kg,sex,ed_image,ed_label,es_image,es_label"]
    for subject in (hearts[number] for number in range(len(hearts))):
        names = []
        for phase in Phase:
            for kind, volumes in (("image", subject.images), ("label", subject.labels)):
                names.append(f"{subject.subject_id}_{phase}_{kind}.nii.gz")
                write_volume(folder / names[-1], volumes[phase])
        lines.append(",".join([subject.subject_id, subject.pathology, subject.vendor, "170", "70", "F", *names]))
    (folder / "subjects.csv").write_text("\n".join(lines) + "\n")


# --- one case ---


def run_case(kinds: Mapping[str, Kind], seed: int, number: int, *, tell: bool = False) -> tuple[str, str, str]:
    """Return kind, outcome and what was done; an outcome other than the three above is a fault. `tell`: show errors."""
    name = ROTA[number % len(ROTA)]
    kind = kinds[name]
    rng = numpy_stream(seed, subject=number, stage=Stage.EVALUATION)
    what = "nothing"
    try:
        what, may_differ = kind.change(kind.place, rng)
        begun = time.process_time()
        outcome = _outcome(kind, may_differ=may_differ, tell=tell)
        spent = time.process_time() - begun
        if spent > SECONDS:
            outcome = f"took {spent:.1f} s"
    finally:
        kind.place.restore()
    return name, outcome, what


def _outcome(kind: Kind, *, may_differ: bool, tell: bool) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = kind.read(kind.place)
    except _RefusedError as error:
        pairs = zip(error.answer, kind.first, strict=True)
        differs = any(one is not None and one != other for one, other in pairs)
        return "silent difference beside a complaint" if differs and not may_differ else REFUSED
    except SynthgenError as error:
        if tell:
            traceback.print_exc()
        return REFUSED if "\n" not in str(error) else "an error of several lines"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the fault that is looked for
        if tell:
            traceback.print_exc()
        return f"{type(error).__name__}: {str(error)[:200]}"
    if found == kind.first:
        return SAME
    return OTHER if may_differ else "silent difference"
