"""A bundle of 32-pixel phantoms that is made in seconds: networks far too small, everything else as in a real one."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from synthgen.engine.anatomies import Anatomy, AnatomyBank, heart_only
from synthgen.engine.donors import Donor, DonorBank
from synthgen.engine.gate import calibrate, examine
from synthgen.engine.styles import fit_styles
from synthgen.factors.latents import LatentBank, encode_subject
from synthgen.labels import HEART, Pathology, Phase, Sex, Tissue, Vendor
from synthgen.networks.bundle import save_bundle
from synthgen.networks.classifier import PathologyClassifier
from synthgen.networks.initialise import initialise
from synthgen.networks.label_vae import LabelVAE, heart_one_hot
from synthgen.networks.noise_injection import NoiseInjector
from synthgen.networks.sdnet import SDNet
from synthgen.networks.segmentor import Segmentor
from synthgen.networks.spade import SpadeGenerator
from synthgen.seeding import Stage, numpy_stream, torch_stream
from synthgen.subjects import Body
from synthgen.volumes import Volume, stack_affine

SIZE = 32
SPACING = (10.0, 6.0, 6.0)
SUBJECTS_PER_CLASS = 12
CHANNELS = tuple(tissue.name.lower() for tissue in Tissue)
RADII = {  # of LV cavity, wall and RV in pixels, at ED and ES
    Pathology.NOR: ((4.4, 3.2), (1.9, 2.6), (5.2, 3.4)),
    Pathology.MINF: ((5.4, 4.7), (1.7, 2.0), (4.8, 3.0)),
    Pathology.DCM: ((6.4, 5.8), (1.6, 1.9), (5.4, 4.2)),
    Pathology.HCM: ((4.0, 2.6), (3.2, 4.0), (4.8, 3.0)),
    Pathology.ARV: ((4.0, 2.9), (1.7, 2.4), (7.0, 6.2)),
}


def phantom(pathology: Pathology, number: int) -> dict[Phase, np.ndarray]:
    """Nine-tissue labels `(z, 32, 32)` of one subject: rings that taper to an apex, inside a chest."""
    stream = numpy_stream(7, 1000 * list(Pathology).index(pathology) + number, 0, Stage.POPULATION)
    scale, count = 1 + 0.07 * stream.standard_normal(), int(stream.integers(7, 10))
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    out = {}
    for at, phase in enumerate(Phase):
        lv, wall, rv = (scale * radii[at] * (1 + 0.03 * stream.standard_normal()) for radii in RADII[pathology])
        stack = np.full((count + 2, SIZE, SIZE), Tissue.LUNG, dtype=np.uint8)
        stack[:, np.hypot(y, x) > 14] = Tissue.MUSCLE
        stack[:, np.hypot(y, x) > 16] = Tissue.BACKGROUND
        for z in range(at, count):  # the base descends in systole
            taper = np.sqrt(1 - (z / (count + 1)) ** 2)
            outer = lv * taper + wall
            # Whole and centred: the crop is centred on the heart, as a prepared cohort is.
            stack[1 + z][np.hypot(y, x + outer - 2) <= rv * taper + 1] = Tissue.FAT
            stack[1 + z][np.hypot(y, x + outer - 2) <= rv * taper] = Tissue.RV
            stack[1 + z][np.hypot(y, x - 2) <= outer] = Tissue.MYO
            stack[1 + z][np.hypot(y, x - 2) <= lv * taper] = Tissue.LV
        out[phase] = stack
    return out


def body_of(number: int) -> Body:
    """Height, weight and sex of a phantom."""
    return Body(height_cm=165.0 + number, weight_kg=60.0 + number, sex=(Sex.F, Sex.M)[number % 2])


@functools.cache
def shared_bundle() -> Path:
    """Return the folder of one tiny bundle for the whole test run; it goes when the run ends."""
    folder = Path(tempfile.mkdtemp(prefix="synthgen-tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_bundle(folder / "tiny")


def make_bundle(folder: Path, *, scheme: str = "tissue", **fields: object) -> Path:
    """Fit and save the tiny bundle; a few seconds of one core. `fields` replace fields of its description."""
    cohort = {(p, i): phantom(p, i) for p in Pathology for i in range(SUBJECTS_PER_CLASS)}
    vae = _fit(np.concatenate([stack for labels in cohort.values() for stack in labels.values()]))
    latents = [
        encode_subject(f"{p}{i}", p, labels, SPACING[0], lambda s: vae.encode_labels(torch.from_numpy(s)).numpy())
        for (p, i), labels in cohort.items()
    ]
    affine = stack_affine(SPACING, (1, SIZE, SIZE))
    measured = [
        examine(p, {phase: Volume(stack, SPACING, affine) for phase, stack in labels.items()}, body_of(i))
        for (p, i), labels in cohort.items()
    ]
    donors = [
        Donor(
            subject_id=f"NOR{i}",
            vendor=list(Vendor)[i % 4],
            labels=cohort[Pathology.NOR, i],
            spacing_mm=SPACING,
            rotation=np.eye(3),
            body=body_of(i),
            drawn_from=f"NOR{i}",
        )
        for i in range(SUBJECTS_PER_CLASS)
    ]
    codes = {v: k + numpy_stream(5, k).standard_normal((20, 4)) for k, v in enumerate((Vendor.A, Vendor.B, Vendor.D))}
    description = {
        "preset": "tiny",
        "label_scheme": scheme,
        "image_size": SIZE,
        "spacing_mm": SPACING[1],
        "source": {"cohort": "phantoms", "licence": "Apache-2.0", "citation": "", "subjects": len(cohort)},
        # Phantoms of a class are nearly one heart: mean +- 2.5 SD of them is a point, not the range of a class.
        "gates": {**calibrate(measured), "class_range": {}},
        "styles": fit_styles(codes),
        "modalities": fit_styles(codes),
        **fields,
    }
    classes = len(Tissue) if scheme == "tissue" else 4
    spade = SpadeGenerator(image_size=SIZE, classes=classes, style_dim=4, widths=(16, 16, 16), hidden=8)
    weights = torch_stream(2, stage=Stage.WEIGHTS)
    with torch.no_grad():
        for parameter in spade.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=weights))
    files = {
        "latents.safetensors": LatentBank.of(latents).to_tensors(),
        "donors.safetensors": DonorBank.of(donors).to_tensors(),
        "anatomies.safetensors": AnatomyBank.of([anatomy(p, i) for p, i in cohort]).to_tensors(),
    }
    return save_bundle(folder, description, {"label_vae": vae, "spade": spade, **_factor_networks()}, files).folder


def anatomy(pathology: Pathology, number: int) -> Anatomy:
    """A phantom as factors: every tissue has the channel of its code, as `CHANNELS` names them."""
    codes = np.stack(list(phantom(pathology, number).values()))
    if pathology is not Pathology.NOR:
        codes = heart_only(codes, np.isin(codes, HEART))
    return Anatomy(subject_id=f"{pathology}{number}", pathology=pathology, codes=codes, spacing_mm=SPACING)


def _factor_networks() -> dict[str, torch.nn.Module]:
    """SDNet, J, F and a segmentor that have learnt nothing."""
    networks = {
        "sdnet": SDNet(factors=len(CHANNELS), n_z=4, names=CHANNELS, widths=(8, 8), imaging_widths=(8, 8)),
        "injector": NoiseInjector(factors=len(CHANNELS), widths=(8, 8, 8)),
        "classifier": PathologyClassifier(widths=[8] * 7, hidden=16),
        "segmentor": Segmentor(widths=[8, 8, 8]),
    }
    return {
        name: initialise(net, torch_stream(3, number)).eval() for number, (name, net) in enumerate(networks.items())
    }


def _fit(slices: np.ndarray, steps: int = 150) -> LabelVAE:
    vae = LabelVAE(image_size=SIZE, encoder_widths=(8, 16), decoder_widths=(16, 16), hidden=32, depth=1).train()
    stream = torch_stream(1, stage=Stage.TRAINING_NOISE)
    with torch.no_grad():  # larger weights than `initialise` draws: 150 steps are few
        for layer in vae.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                fan = layer.weight[0].numel()
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=stream) * (2 / fan) ** 0.5)
                if layer.bias is not None:
                    layer.bias.zero_()
    labels = torch.from_numpy(np.where(slices <= Tissue.RV, slices, 0).astype(np.uint8))
    optimiser = torch.optim.Adam(vae.parameters(), lr=6e-3)
    for _ in range(steps):
        batch = labels[torch.randint(len(labels), (24,), generator=stream)]
        logits, mean, log_variance = vae(heart_one_hot(batch), torch.randn((24, vae.latent_dim), generator=stream))
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()
        loss = functional.cross_entropy(logits, batch.long(), reduction="sum") + 1.0 * divergence
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return vae.eval()
