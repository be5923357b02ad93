"""Bundles: what goes in comes out, and nothing else does."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from network_cases import blobs, generator, noise

from synthgen.errors import InputError, SynthgenError
from synthgen.networks.bundle import DESCRIPTION, BundleDescription, load_bundle, save_bundle
from synthgen.networks.label_vae import LabelVAE
from synthgen.networks.style_encoder import StyleEncoder

FIELDS = {
    "preset": "tiny",
    "label_scheme": "tissue",
    "image_size": 32,
    "spacing_mm": 1.5,
    "source": {"cohort": "virtual hearts", "licence": "none", "citation": "-", "subjects": 3, "classes": {"NOR": 3}},
    "gates": {"dice": {"min": 0.5}},
    "styles": {"A": {"mean": [0.0]}},
    "provenance": {"seed": 0},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small bundle on disk."""
    networks = {
        "spade": generator("classic"),
        "label_vae": LabelVAE(image_size=32, encoder_widths=[4, 4], decoder_widths=[4, 4, 4], hidden=8),
        "style_encoder": StyleEncoder(style_dim=4, widths=[4, 4]),
    }
    save_bundle(tmp_path / "small", FIELDS, networks, {"latents.safetensors": {"mean": noise(3, 4).double()}})
    return tmp_path / "small"


def edited(folder: Path, change) -> Path:
    """Apply `change` to the description on disk."""
    path = folder / DESCRIPTION
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))
    return folder


def relisted(folder: Path, file: str, content: bytes) -> Path:
    """Replace a file and make the description agree with it: damage that no hash tells."""
    (folder / file).write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return edited(folder, lambda fields: fields["files"].update({file: entry}))


def test_networks_come_back(folder: Path) -> None:
    """A generator from the bundle renders what the saved one did, to half precision, in evaluation mode and float32."""
    bundle, net = load_bundle(folder), generator("classic")
    loaded = bundle.network("spade")
    inputs = (blobs(2, 32), noise(2, 4), noise(2, 1, 32, 32))
    torch.testing.assert_close(loaded(*inputs), net(*inputs), atol=5e-3, rtol=0)
    assert not loaded.training
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert bundle.name == "small"
    assert all(bundle.network(name).arguments for name in ("label_vae", "style_encoder"))


def test_a_network_can_be_trained_further(folder: Path) -> None:
    """As it comes its weights are fixed; asked for as trainable, each of them takes a gradient."""
    bundle, name = load_bundle(folder), "spade"
    fixed, free = bundle.network(name), bundle.network(name, trainable=True)
    assert not fixed.training
    assert not any(weight.requires_grad for weight in fixed.parameters())
    assert free.training
    assert all(weight.requires_grad for weight in free.parameters())


def test_a_folder_named_as_what_is_shipped_must_be_told_apart(folder: Path, tmp_path: Path, monkeypatch) -> None:
    """Nobody gets the default bundle in place of their own of that name, or the other way round, without being told."""
    shutil.copytree(folder, tmp_path / "default")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="two"):
        load_bundle("default")
    assert load_bundle(tmp_path / "default").folder == tmp_path / "default"


def test_tensors_and_fields_come_back(folder: Path) -> None:
    """Tensor files keep their type and bits, fields their values."""
    bundle = load_bundle(str(folder))
    assert torch.equal(bundle.tensors("latents.safetensors")["mean"], noise(3, 4).double())
    assert bundle.description.gates == FIELDS["gates"]
    assert bundle.description.source.subjects == 3
    assert bundle.description.tissues["VESSEL"] == 8


def test_weights_are_stored_in_half_precision(folder: Path) -> None:
    """The file takes about two bytes per weight."""
    weights = sum(p.numel() for p in generator("classic").parameters())
    assert (folder / "spade.safetensors").stat().st_size < 2 * weights + 20_000


@pytest.mark.parametrize("file", ["spade.safetensors", "latents.safetensors"])
def test_a_changed_byte_is_found(folder: Path, file: str) -> None:
    """One flipped bit in any file is an input error that names the file."""
    content = bytearray((folder / file).read_bytes())
    content[-1] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(InputError, match=file):
        load_bundle(folder)


def test_a_change_after_opening_is_found(folder: Path) -> None:
    """A file that changes between opening and reading is not used."""
    bundle = load_bundle(folder)
    path = folder / "spade.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(InputError, match="SHA-256"):
        bundle.network("spade")


def test_a_missing_file_is_found(folder: Path) -> None:
    """A bundle that lost a file is refused as a whole."""
    (folder / "label_vae.safetensors").unlink()
    with pytest.raises(InputError, match="label_vae"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.update(colour="red"),
        lambda f: f.update(schema="synthgen/bundle@2"),
        lambda f: f.pop("source"),
        lambda f: f["networks"]["spade"].update(kind="os.system"),
        lambda f: f["networks"]["spade"].update(file="../spade.safetensors"),
        lambda f: f["networks"]["spade"].update(file="/etc/passwd"),
        lambda f: f["networks"]["spade"].update(file="other.safetensors"),
        lambda f: f["networks"]["spade"]["arguments"].update(widths=[10**9]),
        lambda f: f["networks"]["spade"]["arguments"].update(widths=[8] * 1000),
        lambda f: f["files"].update({"../x": {"sha256": "0" * 64, "bytes": 1}}),
        lambda f: f["files"]["spade.safetensors"].update(bytes=-1),
        lambda f: f["files"]["spade.safetensors"].update(bytes=10**18),
    ],
)
def test_a_description_that_says_more_or_less_is_refused(folder: Path, change) -> None:
    """Unknown keys and kinds, paths out of the folder, absurd sizes: input errors, before anything is built."""
    with pytest.raises(InputError):
        load_bundle(edited(folder, change))


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"bundle"', "[" * 100_000])
def test_a_description_that_is_no_record_is_refused(folder: Path, text: str) -> None:
    """Whatever stands in the file, the error is an input error."""
    (folder / DESCRIPTION).write_text(text)
    with pytest.raises(InputError):
        load_bundle(folder)


@pytest.mark.parametrize("change", [{"widths": [8, 8]}, {"colour": 3}, {"widths": []}, {"image_size": "big"}])
def test_arguments_that_do_not_fit_the_weights_are_refused(folder: Path, change: dict) -> None:
    """A network is built only if its arguments and its file agree tensor for tensor."""
    bundle = load_bundle(edited(folder, lambda f: f["networks"]["spade"]["arguments"].update(change)))
    with pytest.raises(InputError):
        bundle.network("spade")


@pytest.mark.parametrize("content", [b"", b"\x80\x04." + bytes(64), b"\xff" * 64], ids=["empty", "pickle", "garbage"])
def test_weights_that_are_not_safetensors_are_refused(folder: Path, content: bytes) -> None:
    """A pickle or garbage with a right hash is still an input error."""
    bundle = load_bundle(relisted(folder, "spade.safetensors", content))
    with pytest.raises(InputError):
        bundle.network("spade")


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    """A file that is a link out of the bundle is refused, although its content fits."""
    outside = tmp_path / "outside.safetensors"
    (folder / "spade.safetensors").rename(outside)
    (folder / "spade.safetensors").symlink_to(outside)
    with pytest.raises(InputError, match="plain file"):
        load_bundle(folder)


def test_unknown_names_are_refused(folder: Path, tmp_path: Path) -> None:
    """No bundle, no network and no file of that name: each says what there is."""
    with pytest.raises(InputError, match="neither"):
        load_bundle(tmp_path / "nothing")
    bundle = load_bundle(folder)
    with pytest.raises(InputError, match="label_vae"):
        bundle.network("sdnet")
    with pytest.raises(InputError, match="latents"):
        bundle.tensors("bundle.json")


def test_saving_is_all_or_nothing(folder: Path, tmp_path: Path) -> None:
    """A refused description leaves no folder behind; an existing bundle gives way only when told to."""
    with pytest.raises(InputError):
        save_bundle(tmp_path / "wrong", {**FIELDS, "colour": "red"}, {}, {})
    with pytest.raises(InputError):
        save_bundle(folder, FIELDS, {}, {})
    assert load_bundle(folder).description.networks
    save_bundle(folder, FIELDS, {}, {}, replace=True)
    assert not load_bundle(folder).description.networks
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_a_disk_without_room_is_told_and_the_old_bundle_stays(folder: Path, tmp_path: Path, monkeypatch) -> None:
    """The message names the bundle; neither it nor a part of it is there."""

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(SynthgenError, match=r"other: cannot be written \(No space"):
        save_bundle(tmp_path / "other", FIELDS, {}, {})
    with pytest.raises(SynthgenError, match=r"small: cannot be written"):
        save_bundle(folder, FIELDS, {}, {}, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["small"]
    assert load_bundle(folder).description.networks


def test_saving_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """A bundle is a pure function of its content."""
    bundle = load_bundle(folder)
    networks = {name: bundle.network(name) for name in bundle.description.networks}
    files = {"latents.safetensors": bundle.tensors("latents.safetensors")}
    for name in ("a", "b"):
        save_bundle(tmp_path / name, {**FIELDS, "name": "small"}, networks, files)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_the_schema_can_be_exported() -> None:
    """The JSON Schema forbids unknown keys and names the schema's version."""
    schema = BundleDescription.model_json_schema(by_alias=True)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["schema"]["const"] == "synthgen/bundle@1"
