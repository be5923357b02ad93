import numpy as np
import pytest

from synthgen.engine.donors import Donor, DonorBank, rotation_of
from synthgen.errors import InputError
from synthgen.factors.latents import encode_json
from synthgen.labels import Phase, Sex, Vendor
from synthgen.subjects import Body


def make(name, body=None):
    """Return a donor of random labels."""
    stream = np.random.default_rng(len(name))
    labels = {phase: stream.integers(0, 9, (5, 16, 16)).astype(np.uint8) for phase in Phase}
    return Donor(
        subject_id=name,
        vendor=Vendor.C,
        labels=labels,
        spacing_mm=(8.0, 1.5, 1.5),
        rotation=np.eye(3)[:, ::-1],
        body=body,
        drawn_from=f"another than {name}",
    )


def test_donors_survive_their_tensors():
    """What is unpacked is what was packed: labels to the bit, geometry, body."""
    donors = [make("a", Body(height_cm=170, weight_kg=70, sex=Sex.F)), make("bb")]
    bank = DonorBank.from_tensors(DonorBank.of(donors).to_tensors())
    assert bank.ids == ("a", "bb")
    assert len(bank) == 2
    for donor in donors:
        again = bank[donor.subject_id]
        for phase in Phase:
            np.testing.assert_array_equal(again.labels[phase], donor.labels[phase])
        assert (again.vendor, again.spacing_mm, again.body) == (donor.vendor, donor.spacing_mm, donor.body)
        assert again.drawn_from == donor.drawn_from
        np.testing.assert_array_equal(again.rotation, donor.rotation)


def test_a_stack_of_another_size_is_refused():
    """Deflated bytes that unpack to more or less than announced are not trusted."""
    tensors = DonorBank.of([make("a"), make("bb")]).to_tensors()
    longer = DonorBank.of([make("a")]).to_tensors()["stack.a"]
    bank = DonorBank.from_tensors({**tensors, "stack.a": longer[: len(longer) // 2]})
    with pytest.raises(InputError, match="another size"):
        bank["a"]


@pytest.mark.parametrize(
    "headers",
    [
        None,
        3,
        [None],
        [["a"]],
        [["a", {}, 1]],
        [[{}, {}]],
        [["a", {}]],
        [["a", {"shape": "x"}]],
        [["a", {"shape": [1, 2]}]],
    ],
)
def test_forged_headers_are_refused(headers):
    """Whatever stands in the place of the headers, an InputError says so, when the bank is read or the donor is."""
    tensors = DonorBank.of([make("a")]).to_tensors() | {"donors": encode_json(headers)}
    with pytest.raises(InputError):
        DonorBank.from_tensors(tensors)["a"]


def test_unknown_and_missing_donors_are_refused_by_name():
    """The message names the donor."""
    tensors = DonorBank.of([make("a")]).to_tensors()
    with pytest.raises(InputError, match="zoe"):
        DonorBank.from_tensors(tensors)["zoe"]
    del tensors["stack.a"]
    with pytest.raises(InputError, match=r"stack\.a"):
        DonorBank.from_tensors(tensors)


def test_labels_that_are_no_tissue_are_refused():
    """A bundle does not carry codes that nothing can render."""
    bad = make("a")
    bad.labels[Phase.ED][0, 0, 0] = 9
    with pytest.raises(InputError, match="labels 0 to 8"):
        DonorBank.of([bad])


def test_a_rotation_is_found_under_spacing():
    """Directions of an affine come back orthonormal whatever the spacing."""
    angle = 0.4
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation * [1.5, 1.5, 9.0]
    np.testing.assert_allclose(rotation_of(affine), rotation, atol=1e-12)
