"""Mixed hearts: arithmetic, J and what the engine does with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_bundle import CHANNELS, anatomy, phantom, shared_bundle

from synthgen.engine.anatomies import ANATOMIES_FILE, AnatomyBank
from synthgen.engine.gate import Verdict
from synthgen.engine.generate import Generator
from synthgen.engine.mixture import Mixer
from synthgen.engine.plan import SubjectSpec, plan
from synthgen.engine.recipe import Condition, Recipe
from synthgen.errors import InputError
from synthgen.factors.codes import NOBODY, HeartCodes
from synthgen.labels import HEART, Pathology, Phase, Tissue
from synthgen.networks.bundle import load_bundle
from synthgen.networks.initialise import initialise
from synthgen.networks.noise_injection import NoiseInjector
from synthgen.seeding import torch_stream

CODES = HeartCodes.of_channels(CHANNELS)
BANK = AnatomyBank.of([anatomy(p, i) for p in (Pathology.NOR, Pathology.ARV, Pathology.HCM) for i in range(4)])


def injector() -> NoiseInjector:
    """A J that has learnt nothing."""
    return initialise(NoiseInjector(factors=len(CHANNELS), widths=(8, 8, 8)), torch_stream(4)).eval()


def specs(renderer: str = "spade", count: int = 2) -> tuple[SubjectSpec, ...]:
    """Planned mixtures of the tiny bundle."""
    conditions = (Condition(pathology=Pathology.ARV, count=count, method="mix"),)
    return plan(Recipe(conditions=conditions, renderer=renderer), load_bundle(str(shared_bundle())))


@pytest.fixture(scope="module")
def generator() -> Generator:
    """Return a generator of the tiny bundle."""
    return Generator(load_bundle(str(shared_bundle())))


def test_anatomies_survive_their_tensors() -> None:
    """What is unpacked is what was packed; a class has its members in order; a lost stack is named."""
    tensors = BANK.to_tensors()
    again = AnatomyBank.from_tensors(tensors)
    assert again.of_class(Pathology.HCM) == ("HCM0", "HCM1", "HCM2", "HCM3")
    for name in BANK.ids:
        assert np.array_equal(again[name].codes, BANK[name].codes)
        assert again[name].spacing_mm == BANK[name].spacing_mm
    assert (BANK["ARV0"].codes == NOBODY).any()
    assert not (BANK["NOR0"].codes == NOBODY).any()
    del tensors["stack.ARV2"]
    with pytest.raises(InputError, match=r"stack\.ARV2"):
        AnatomyBank.from_tensors(tensors)


@pytest.mark.parametrize("pathology", [Pathology.ARV, Pathology.HCM])
def test_a_mixture_is_the_donors_where_its_structures_are_and_the_recipients_elsewhere(pathology: Pathology) -> None:
    """Without J, each travelling structure has the donor's size, each that stays the recipient's, within a tenth."""
    mixer = Mixer(BANK, CODES, None)
    recipient, donor = BANK["NOR1"], BANK[f"{pathology}2"]
    heart = mixer.mix(recipient, donor)
    assert heart.donor == donor.subject_id
    for structure in HEART:
        source = donor if structure.name in heart.structures else recipient
        share = (heart.labels == structure).sum(axis=(1, 2, 3)) / heart.labels.shape[1]
        own = source.codes == structure
        expected = own.sum(axis=(1, 2, 3)) / own.any(axis=(0, 2, 3)).sum()
        np.testing.assert_allclose(share, expected, rtol=0.15)


def test_mixtures_carry_the_name_of_their_recipient(generator: Generator) -> None:
    """They keep its body and its other ventricle, so a split must not divide them."""
    made = [generator.generate(spec) for spec in specs(count=8)]
    recipients = [subject.record["anatomy"]["recipient"] for subject in made]
    assert [subject.anatomy for subject in made] == [generator.donors[name].anatomy for name in recipients]
    assert len({subject.anatomy for subject in made}) == len(set(recipients))


def test_an_untrained_j_without_noise_returns_its_input() -> None:
    """J changes what it is given: its first logits keep every pixel's channel."""
    mixer = Mixer(BANK, CODES, injector())
    still = Mixer(BANK, CODES, None)
    mixture = still.mix(BANK["NOR0"], BANK["ARV0"]).mixture
    silent = torch.zeros(mixture.codes.shape[1:], dtype=torch.float32)
    weight = torch.from_numpy(mixture.touched[0].astype(np.float32))
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(mixture.codes[0].astype(np.int64)), len(CHANNELS))
    one_hot = one_hot.permute(0, 3, 1, 2)
    made = mixer.injector.refine(one_hot, weight, silent)
    assert torch.equal(made, one_hot.to(torch.uint8))


def test_a_subject_mixed_with_itself_is_itself() -> None:
    """An equal donor changes nothing, J included where nothing was touched but what is equal."""
    recipient = BANK["NOR2"]
    heart = Mixer(BANK, CODES, None).mix(recipient, recipient)
    own = np.where(np.isin(recipient.codes, HEART), recipient.codes, 0)
    kept = own[:, np.flatnonzero(own.any(axis=(0, 2, 3)))]
    assert np.array_equal(heart.labels, kept)
    assert (heart.mixture.contested, heart.mixture.filled, heart.mixture.lost) == (0, 0, 0)


def test_donors_take_turns_and_the_noise_changes() -> None:
    """As many attempts as donors see every donor once; then they come again with other noise, and J acts on noise."""
    mixer = Mixer(BANK, CODES, injector())
    with torch.no_grad():
        for strength in mixer.injector.strengths:
            strength.mul_(60.0)
    spec = specs()[0]
    hearts = [mixer.refined(mixer.draw(spec, attempt, "NOR0"), spec, attempt) for attempt in range(8)]
    donors = [heart.donor for heart in hearts]
    assert sorted(donors[:4]) == ["ARV0", "ARV1", "ARV2", "ARV3"]
    assert donors[4:] == donors[:4]
    assert hearts[0].refined_pixels > 0
    assert any(not np.array_equal(hearts[i].labels, hearts[i + 4].labels) for i in range(4))
    again = mixer.refined(mixer.draw(spec, 5, "NOR0"), spec, 5)
    assert np.array_equal(again.labels, hearts[5].labels)


def test_a_mixed_heart_lies_where_the_recipients_lay() -> None:
    """A large right ventricle moves the heart's centre; the finished heart is moved back whole, to half a pixel."""
    mixer, spec = Mixer(BANK, CODES, None), specs()[0]
    donor = BANK["ARV0"]
    wide = donor.codes.copy()
    wide[(wide != Tissue.LV) & (wide != Tissue.MYO) & (np.roll(wide, -5, axis=-1) == Tissue.RV)] = Tissue.RV
    mixed = mixer.mix(BANK["NOR0"], replace(donor, codes=wide))
    heart = mixer.refined(mixed, spec, 0)
    where = [np.argwhere(stack > 0).mean(axis=0)[2:] for stack in (mixed.labels, heart.labels)]
    before, after = where - np.argwhere(np.isin(BANK["NOR0"].codes, HEART)).mean(axis=0)[2:]
    assert np.abs(before).max() > 1.0
    assert np.abs(after).max() <= 0.51
    assert heart.as_dict()["moved_pixels"] == list(heart.moved) != [0, 0]
    sizes = [np.bincount(stack.ravel(), minlength=4)[1:] for stack in (mixed.labels, heart.labels)]
    assert np.abs(sizes[0] - sizes[1]).sum() <= heart.tidied_pixels


def test_nobody_to_mix_with_is_an_input_error() -> None:
    """A class of which the bundle keeps nobody cannot be mixed."""
    with pytest.raises(InputError, match="DCM"):
        Mixer(BANK, CODES, None).draw(replace(specs()[0], pathology=Pathology.DCM), 0, "NOR0")


@pytest.mark.parametrize("renderer", ["spade", "sdnet"])
def test_a_mixed_subject_is_whole_and_repeatable(generator: Generator, renderer: str) -> None:
    """Every pixel has one tissue, both phases share grid and donor, images are finite, and a second run is equal."""
    spec = specs(renderer)[1]
    subject = generator.generate(spec)
    again = Generator(load_bundle(str(shared_bundle()))).generate(spec)
    assert subject.record == again.record
    assert subject.record["anatomy"]["method"] == "mix"
    assert subject.record["anatomy"]["donor"].startswith("ARV")
    assert subject.record["request"]["recipient"].startswith("NOR")
    assert subject.record["verdicts"][-1]["name"] == "classifier: confidence in ARV"
    for phase in Phase:
        image, label = subject.images[phase].voxels, subject.labels[phase].voxels
        assert np.array_equal(image, again.images[phase].voxels)
        assert image.shape == label.shape
        assert np.isfinite(image).all()
        assert np.abs(image).max() <= 1
        assert set(HEART) <= set(np.unique(label))
        assert {int(Tissue.LUNG), int(Tissue.MUSCLE)} <= set(np.unique(label))


def test_the_renderer_changes_images_and_not_labels(generator: Generator) -> None:
    """SPADE and SDNet draw the same anatomy."""
    one, other = (generator.generate(specs(renderer)[0]) for renderer in ("spade", "sdnet"))
    for phase in Phase:
        assert np.array_equal(one.labels[phase].voxels, other.labels[phase].voxels)
        assert not np.array_equal(one.images[phase].voxels, other.images[phase].voxels)


def test_sdnet_draws_latent_hearts_too(generator: Generator) -> None:
    """The renderer does not care where a heart comes from."""
    bundle = load_bundle(str(shared_bundle()))
    conditions = (Condition(pathology=Pathology.HCM, count=1),)
    subject = generator.generate(plan(Recipe(conditions=conditions, renderer="sdnet"), bundle)[0])
    assert subject.images[Phase.ED].shape == subject.labels[Phase.ED].shape
    assert subject.record["anatomy"]["method"] == "latent"


def test_what_f_does_not_see_is_drawn_again(tmp_path, generator: Generator) -> None:
    """A threshold that no confidence reaches puts the class out of reach, and the reason says why."""
    generator.description.gates["confidence"] = {"threshold": {"ARV": 1.1}}
    try:
        with pytest.raises(Exception, match=r"classifier: confidence in ARV of a sketch \(\d+\)"):
            generator.generate(replace(specs()[0], max_attempts=20))
    finally:
        del generator.description.gates["confidence"]


def test_what_only_the_sketch_shows_is_drawn_again_too(generator: Generator, monkeypatch) -> None:
    """The image that is delivered has the last word."""
    monkeypatch.setattr(generator, "_sketched", lambda *_: [])
    monkeypatch.setitem(generator.description.gates, "confidence", {"threshold": {"ARV": 1.1}})
    with pytest.raises(Exception, match=r"classifier: confidence in ARV \(\d+\)"):
        generator.generate(replace(specs()[0], max_attempts=5))


def test_the_sketch_is_judged_before_rendering(generator: Generator, monkeypatch) -> None:
    """A mixture that F does not see in SDNet's drawing is never rendered."""
    monkeypatch.setitem(generator.description.gates, "confidence", {"threshold": {"ARV": 2.5}})
    rendered = []
    monkeypatch.setattr(generator, "_render", lambda *made: rendered.append(made))
    with pytest.raises(Exception, match="of a sketch"):
        generator.generate(replace(specs()[0], max_attempts=3))
    assert rendered == []


def test_donors_that_stand_out_come_first() -> None:
    """A right ventricle small beside the recipient's left one is tried last, one like its class's first."""
    small = replace(anatomy(Pathology.ARV, 9), subject_id="small")
    codes = small.codes.copy()
    right = codes == CHANNELS.index("rv")
    right[..., ::2, :] = False  # half of its pixels
    codes[right] = NOBODY
    field = np.stack(list(phantom(Pathology.ARV, 2).values()))
    twin = replace(BANK["NOR0"], subject_id="twin", codes=field)  # a normal subject as large as the class's
    bank = AnatomyBank.of([twin, *(BANK[name] for name in BANK.ids), replace(small, codes=codes)])
    mixer = Mixer(bank, CODES, None)
    assert "small" in bank.of_class(Pathology.ARV)
    suited = mixer.suited("twin", Pathology.ARV)
    assert suited
    assert "small" not in suited
    spec = specs()[0]
    drawn = [mixer.draw(spec, attempt, "twin").donor for attempt in range(5)]
    assert set(drawn[: len(suited)]) == suited
    assert set(drawn) == set(bank.of_class(Pathology.ARV))


def test_after_two_mixtures_another_heart_receives(generator: Generator, monkeypatch) -> None:
    """What fails in one recipient is tried in others; body and record are those of the one that it succeeded in."""
    spec, seen = specs()[0], []
    honest = generator.draw

    def watched(spec, attempt, donor):
        seen.append(donor.subject_id)
        return honest(spec, attempt, donor)

    def refuse(measurement, gates):
        return [Verdict("luck", len(seen) > 5, 0.0, "the sixth draw")]

    monkeypatch.setattr(generator, "draw", watched)
    monkeypatch.setattr("synthgen.engine.generate.check", refuse)
    subject = generator.generate(spec)
    assert seen[:2] == [spec.recipient] * 2
    assert seen[2] == seen[3] != spec.recipient
    assert seen[4] == seen[5] not in seen[:4]
    assert subject.record["anatomy"]["recipient"] == seen[5]
    mixer = generator._factors.mixer
    assert subject.record["anatomy"]["donor"] == mixer.draw(spec, 1, seen[5]).donor  # its second turn, not the sixth
    assert subject.body == generator.donors[seen[5]].body


def test_a_bundle_without_anatomies_cannot_mix() -> None:
    """The message says how to fit one that can."""
    bundle = load_bundle(str(shared_bundle()))
    del bundle.description.files[ANATOMIES_FILE]
    conditions = (Condition(pathology=Pathology.ARV, count=1, method="mix"),)
    with pytest.raises(InputError, match="--keep-anatomy"):
        plan(Recipe(conditions=conditions), bundle)


def test_a_mixture_has_no_severity() -> None:
    """Severity is the weight of an interpolation, and there is none."""
    with pytest.raises(InputError, match="severity"):
        Recipe.parse({"conditions": [{"pathology": "ARV", "count": 1, "method": "mix", "severity": [0.5, 1.0]}]})
