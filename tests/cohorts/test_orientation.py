"""Every stack lies base first with the right ventricle on the left, wherever it came from."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from synthgen.cohorts.orientation import Move, find_move, pose_by_affine
from synthgen.errors import InputError
from synthgen.labels import Phase, Tissue
from synthgen.volumes import Volume

MOVES = [Move(*flags) for flags in product((False, True), repeat=4)]
DEFAULT = np.diag([-1.0, -1.0, 1.0])  # what ACDC's files say, whatever the patient
DEFAULTS = [DEFAULT, np.eye(3), np.diag([-1.0, 1.0, 1.0])]  # of other writers: no affine, and another library's


def places(volume):
    """Every labelled voxel's place in space, sorted."""
    z, y, x = np.nonzero(volume.voxels)
    points = volume.affine @ np.stack([x, y, z, np.ones_like(x)])
    rows = np.column_stack([volume.voxels[z, y, x], points[:3].T.round(3)])
    return rows[np.lexsort(rows.T)]


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_a_move_leaves_every_voxel_where_it_is_in_space(subject, move):
    """Flips and exchanges change the order of the voxels and not their place in the patient."""
    volume = subject(size=64, slices=5, spacing=(9.0, 1.4, 1.9)).labels[Phase.ED]
    np.testing.assert_allclose(places(move.apply(volume)), places(volume), atol=2e-3)


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_a_move_can_be_undone(subject, move):
    """Voxels of a moved volume come back in the order that they had, whatever the move."""
    volume = subject(size=64, slices=5, spacing=(9.0, 1.4, 1.9)).labels[Phase.ED]
    oblong = Volume(volume.voxels[:, :, :48], volume.spacing_mm, volume.affine)
    np.testing.assert_array_equal(move.undo(move.apply(oblong).voxels), oblong.voxels)


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_a_true_affine_tells_how_an_unlabelled_image_lies(subject, move):
    """However it was flipped and turned, in plane it comes back as it was; slices stay in their order."""
    straight = subject(size=64).images[Phase.ED]
    turned = move.apply(straight)
    back = pose_by_affine(turned).apply(turned)
    wanted = Move(flip_z=move.flip_z).apply(straight)
    np.testing.assert_array_equal(back.voxels, wanted.voxels)


def test_without_a_true_affine_an_unlabelled_image_stays(subject):
    """A default affine says nothing."""
    assert pose_by_affine(subject(size=64, rotation=DEFAULT).images[Phase.ED]) == Move()


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_any_lie_with_a_true_affine_is_undone(subject, turn, move):
    """However a stack with a true affine was flipped and turned, it comes back as it was."""
    straight = subject(size=64)
    turned = turn(straight, move)
    back = turn(turned, find_move("s", turned.labels[Phase.ED], turned.labels[Phase.ES]))
    for phase in Phase:
        np.testing.assert_array_equal(back.images[phase].voxels, straight.images[phase].voxels)
        np.testing.assert_allclose(back.labels[phase].affine, straight.labels[phase].affine, atol=1e-9)


def test_a_stack_in_standard_lie_stays(subject):
    """Nothing is turned when the stack lies right, with a true affine or with ACDC's default one."""
    for rotation in (None, DEFAULT):
        options = {} if rotation is None else {"rotation": rotation}
        labels = subject(**options).labels
        assert find_move("s", labels[Phase.ED], labels[Phase.ES]) == Move()


@pytest.mark.parametrize("follows", [True, False], ids=["true move", "voxels alone"])
@pytest.mark.parametrize("default", DEFAULTS, ids=lambda d: str(np.diag(d).tolist()))
@pytest.mark.parametrize("move", MOVES, ids=str)
def test_without_a_true_affine_the_right_ventricle_still_ends_up_left(subject, turn, move, default, follows):
    """Under a default affine the base comes first and the RV lies left, whatever the file's lie.

    Apex first under a default affine, the direction to the apex seems to be straight to the feet.
    """
    turned = turn(subject(rotation=default, size=64), move)
    if not follows:
        affine = subject(rotation=default, size=64).labels[Phase.ED].affine
        labels = {p: Volume(v.voxels, v.spacing_mm, affine) for p, v in turned.labels.items()}
        turned = replace(turned, labels=labels)
    volume = find_move("s", turned.labels[Phase.ED], turned.labels[Phase.ES]).apply(turned.labels[Phase.ED])
    x = {t: np.argwhere(volume.voxels == t)[:, 2].mean() for t in (Tissue.LV, Tissue.RV)}
    assert x[Tissue.RV] < x[Tissue.LV]
    areas = (volume.voxels > 0).sum(axis=(1, 2))
    assert areas[:3].sum() > areas[-3:].sum()


def test_a_mirrored_stack_with_a_true_affine_is_refused(subject):
    """Voxels mirrored left to right under an affine that was not are refused by name."""
    labels = {p: v.with_voxels(v.voxels[:, :, ::-1].copy()) for p, v in subject().labels.items()}
    with pytest.raises(InputError, match=r"scan.*mirrored"):
        find_move("scan", labels[Phase.ED], labels[Phase.ES])
