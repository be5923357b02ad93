"""A bundle: a fitted generator as a folder of safetensors files and one JSON description.

No pickle is ever read. Every file is named in the description with its size and SHA-256, every network is rebuilt from
its constructor arguments and must match its file tensor for tensor, before memory is taken for it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from synthgen.errors import InputError, writing_failed
from synthgen.labels import Tissue
from synthgen.networks.classifier import PathologyClassifier
from synthgen.networks.discriminators import MultiScaleDiscriminator
from synthgen.networks.heart_critic import HeartCritic
from synthgen.networks.label_vae import LabelVAE
from synthgen.networks.noise_injection import NoiseInjector
from synthgen.networks.perceptual import TissueNet
from synthgen.networks.sdnet import SDNet
from synthgen.networks.segmentor import Segmentor
from synthgen.networks.spade import SpadeGenerator
from synthgen.networks.style_encoder import StyleEncoder
from synthgen.subjects import LabelScheme

DESCRIPTION = "bundle.json"
SCHEMA: Literal["synthgen/bundle@1"] = "synthgen/bundle@1"
SHIPPED = Path(__file__).parent.parent / "bundles"
"""Folder of the bundles that come with the package."""

KINDS: dict[str, type[nn.Module]] = {
    "label_vae": LabelVAE,
    "spade": SpadeGenerator,
    "style_encoder": StyleEncoder,
    "tissue_net": TissueNet,
    "discriminator": MultiScaleDiscriminator,
    "sdnet": SDNet,
    "classifier": PathologyClassifier,
    "noise_injector": NoiseInjector,
    "heart_critic": HeartCritic,
    "segmentor": Segmentor,
}
"""The networks a bundle can hold; nothing else can be built from one."""

MAX_DESCRIPTION_BYTES = 16 * 2**20
MAX_FILE_BYTES = 4 * 2**30
MAX_ARGUMENT = 4096
MAX_ARGUMENTS = 16
MAX_PARAMETERS = 10**9

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$", max_length=100)]
"""A plain file name: no separator, no leading dot, no way out of the folder."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FileEntry(_Record):
    """Size and SHA-256 of one file."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]


class NetworkEntry(_Record):
    """A network: what to build, with which arguments, and the file of its weights."""

    kind: str
    arguments: dict[str, JsonValue]
    file: FileName

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"unknown network kind {kind!r}; known are {', '.join(KINDS)}")
        return kind

    @field_validator("arguments")
    @classmethod
    def _modest(cls, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name, value in arguments.items():
            values = value if isinstance(value, list) else [value]
            if len(values) > MAX_ARGUMENTS or not all(_is_modest(v) for v in values):
                raise ValueError(
                    f"argument {name!r} must be a word, a number from 0 to {MAX_ARGUMENT} or a short list of them"
                )
        return arguments


def _is_modest(value: JsonValue) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"[a-z0-9_]{1,30}", value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_ARGUMENT


class SourceEntry(_Record):
    """The cohort that a bundle was fitted on."""

    cohort: str
    licence: str
    citation: str
    subjects: Annotated[int, Field(ge=0)]
    classes: dict[str, int] = Field(default_factory=dict, description="Number of subjects per pathology.")


class BundleDescription(_Record):
    """The content of `bundle.json`."""

    schema_: Literal["synthgen/bundle@1"] = Field(default=SCHEMA, alias="schema")
    name: Annotated[str, Field(min_length=1, max_length=100)]
    preset: str
    label_scheme: LabelScheme
    tissues: dict[str, int] = Field(
        default_factory=lambda: {t.name: t.value for t in Tissue}, description="Label codes by name."
    )
    image_size: Annotated[int, Field(gt=0, le=MAX_ARGUMENT)]
    spacing_mm: Annotated[float, Field(gt=0)] = Field(
        description="In-plane spacing of what the networks were fitted on."
    )
    networks: dict[str, NetworkEntry]
    source: SourceEntry
    gates: dict[str, JsonValue] = Field(default_factory=dict, description="Calibration of the validity gates.")
    styles: dict[str, JsonValue] = Field(default_factory=dict, description="Style distribution per vendor.")
    modalities: dict[str, JsonValue] = Field(
        default_factory=dict, description="Distribution of SDNet's modality vector per vendor."
    )
    provenance: dict[str, JsonValue] = Field(
        default_factory=dict, description="Command, seed, versions, feature network, statistics."
    )
    files: dict[FileName, FileEntry]

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


@dataclass(frozen=True, eq=False)
class Bundle:
    """A fitted generator on disk, verified when it was opened."""

    name: str
    folder: Path
    description: BundleDescription

    def network(self, name: str, *, trainable: bool = False) -> nn.Module:
        """Return network `name`, float32, on the CPU: in evaluation mode, its weights fixed, unless `trainable`.

        Raises
        ------
        InputError
            If there is none of that name, or its file does not fit its arguments.
        """
        entry = self.description.networks.get(name)
        if entry is None:
            raise InputError(
                self.folder, expected=f"a network {name!r}", got=f"{', '.join(self.description.networks) or 'none'}"
            )
        subject = self.folder / entry.file
        try:
            with torch.device("meta"):  # shapes without memory
                module = KINDS[entry.kind](**entry.arguments)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(subject, expected=f"arguments of a {entry.kind}", got=str(error)) from error
        wanted = module.state_dict()
        if sum(math.prod(t.shape) for t in wanted.values()) > MAX_PARAMETERS:
            raise InputError(subject, expected=f"at most {MAX_PARAMETERS} weights", got="more")
        stored = self.tensors(entry.file)
        wrong = {
            k
            for k in wanted.keys() | stored.keys()
            if k not in wanted or k not in stored or wanted[k].shape != stored[k].shape
        }
        if wrong:
            raise InputError(
                subject,
                expected=f"the weights of {entry.kind}",
                got=f"missing, unknown or misshapen: {sorted(wrong)[:3]}",
            )
        module.load_state_dict({key: value.to(wanted[key].dtype) for key, value in stored.items()}, assign=True)
        return module.train(trainable).requires_grad_(trainable)

    def tensors(self, file: str) -> dict[str, Tensor]:
        """Return the tensors of `file`; half precision comes back as float32.

        Raises
        ------
        InputError
            If the description does not name the file, or it changed since the bundle was opened.
        """
        entry = self.description.files.get(file)
        if entry is None:
            raise InputError(self.folder, expected=f"a file {file!r}", got=f"{', '.join(self.description.files)}")
        content = _read_verified(self.folder / file, entry)
        try:
            tensors = load(content)
        except SafetensorError as error:
            raise InputError(self.folder / file, expected="safetensors", got=str(error)) from error
        return {key: value.float() if value.dtype == torch.float16 else value for key, value in tensors.items()}


def save_bundle(
    folder: Path,
    description_fields: Mapping[str, Any],
    networks: Mapping[str, nn.Module],
    tensor_files: Mapping[str, Mapping[str, Tensor]],
    *,
    replace: bool = False,
) -> Bundle:
    """Write a bundle, whole or not at all, and open it.

    Parameters
    ----------
    folder
        Where it goes; its name is the bundle's name unless the fields say another.
    description_fields
        Fields of `BundleDescription` except `networks` and `files`, which are made here.
    networks
        By name; each has `arguments`. Weights are stored in half precision, batch statistics in full.
    tensor_files
        File name to tensors, stored as they are.
    replace
        Let an older bundle in `folder` give way.

    Raises
    ------
    InputError
        If `folder` exists and may not be replaced, or a field is wrong.
    SynthgenError
        If the file system refuses to write.
    """
    folder = Path(folder)
    if folder.exists() and not (replace and (folder / DESCRIPTION).is_file()):
        raise InputError(folder, expected="a new folder, or a bundle to replace", got="something that exists")
    entries, contents = {}, {file: save(_plain(tensors)) for file, tensors in tensor_files.items()}
    for name, module in networks.items():
        kind = next((k for k, cls in KINDS.items() if type(module) is cls), type(module).__name__)
        file = f"{name}.safetensors"
        if file in contents:
            raise InputError(name, expected="different names for networks and tensor files", got=f"{file} twice")
        entries[name] = {"kind": kind, "arguments": module.arguments, "file": file}
        contents[file] = save(_plain(_halved(module)))
    files = {file: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for file, data in contents.items()}
    fields = {"name": folder.name, **description_fields, "networks": entries, "files": files}
    description = _validated(fields, folder)
    staged = folder.parent / f".{folder.name}.partial-{os.getpid()}"
    shutil.rmtree(staged, ignore_errors=True)
    try:
        staged.mkdir(parents=True)
        for file, data in contents.items():
            (staged / file).write_bytes(data)
        text = json.dumps(description.model_dump(mode="json", by_alias=True), indent=1, sort_keys=True)
        (staged / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        _publish(staged, folder)
    except OSError as error:
        raise writing_failed(folder, error) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return load_bundle(folder)


def bundle_of(name_or_folder: str | Path, hashes: object) -> Bundle:
    """Open the bundle that made a dataset, known by the SHA-256 of each of its files.

    Raises
    ------
    InputError
        If there is none that can be opened, or another one.
    """
    expected, hint = "the bundle that made the dataset", "Name the folder of the right one by --bundle"
    try:
        found = load_bundle(name_or_folder)
    except InputError as error:
        raise InputError(f"bundle {name_or_folder}", expected=expected, got="none of that name", hint=hint) from error
    if {name: entry.sha256 for name, entry in found.description.files.items()} != hashes:
        raise InputError(f"bundle {name_or_folder}", expected=expected, got="another one of that name", hint=hint)
    return found


def shipped_bundles() -> list[str]:
    """Return the names of the bundles that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{DESCRIPTION}"))


def load_bundle(name_or_folder: str | Path) -> Bundle:
    """Open a bundle and check every file in it.

    Parameters
    ----------
    name_or_folder
        The name of a bundle that comes with the package (`"default"`), or a folder.

    Raises
    ------
    InputError
        If it does not exist, a folder here has the name of one that comes with the package, its description is not
        valid, or a file that it lists is missing or changed.
    """
    text = str(name_or_folder)
    plain = re.fullmatch(r"[A-Za-z0-9_-]+", text) is not None
    shipped = plain and (SHIPPED / text / DESCRIPTION).is_file()
    if shipped and (Path(text) / DESCRIPTION).is_file() and not Path(text).samefile(SHIPPED / text):
        hint = f"For the folder give its whole path, {Path(text).absolute()}; the other one is used from elsewhere"
        raise InputError(f"bundle {text}", expected="one bundle of this name", got="two", hint=hint)
    folder = SHIPPED / text if shipped else Path(name_or_folder)
    path = folder / DESCRIPTION
    if not path.is_file():
        known = ", ".join(shipped_bundles()) or "none"
        raise InputError(text, expected=f"a folder with {DESCRIPTION} or one of: {known}", got="neither")
    if path.is_symlink() or path.stat().st_size > MAX_DESCRIPTION_BYTES:
        raise InputError(
            path, expected=f"a file of at most {MAX_DESCRIPTION_BYTES} bytes", got="a link or a larger file"
        )
    try:
        fields = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(path, expected="JSON", got=str(error)) from error
    description = _validated(fields, path)
    for network in description.networks.values():
        if network.file not in description.files:
            raise InputError(path, expected=f"an entry for {network.file} under files", got="none")
    for file, entry in description.files.items():
        _read_verified(folder / file, entry)
    return Bundle(name=description.name, folder=folder, description=description)


def _validated(fields: object, subject: Path) -> BundleDescription:
    try:
        return BundleDescription.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the description"
        raise InputError(subject, expected=f"a valid {where}", got=first["msg"]) from error


def _read_verified(path: Path, entry: FileEntry) -> bytes:
    """Return the content of `path` if it is a plain file with the size and SHA-256 of `entry`."""
    if path.is_symlink() or not path.is_file():
        raise InputError(path, expected="a file of the bundle", got="none" if not path.exists() else "not a plain file")
    size = path.stat().st_size
    if size != entry.bytes:
        raise InputError(
            path, expected=f"{entry.bytes} bytes", got=f"{size}", hint="The bundle is damaged; fetch or fit it again"
        )
    content = path.read_bytes()
    got = hashlib.sha256(content).hexdigest()
    if got != entry.sha256:
        raise InputError(
            path, expected=f"SHA-256 {entry.sha256}", got=got, hint="The bundle is damaged; fetch or fit it again"
        )
    return content


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in tensors.items()}


def _halved(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights in half precision where it loses nothing that matters; running statistics stay as they are."""
    parameters = {name for name, _ in module.named_parameters()}
    state = module.state_dict()
    return {
        key: value.half() if key in parameters and value.abs().max() < 6e4 else value for key, value in state.items()
    }


def _publish(staged: Path, folder: Path) -> None:
    """Give the staged folder its name; an older bundle there is set aside first and removed after."""
    old = folder.parent / f".{folder.name}.old-{os.getpid()}"
    if folder.exists():
        folder.rename(old)
    try:
        staged.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
