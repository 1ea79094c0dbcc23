"""Order, spacing and display follow from positions and cosines alone."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeppneumonia.errors import StudyError
from deeppneumonia.readers.display import to_display
from deeppneumonia.readers.geometry import (
    GantryTiltError,
    MissingSlicesError,
    VariableSpacingError,
    angle_deg,
    check_spacing,
    main_axis,
    normal_of,
    stack_slices,
)

AXIAL = (1, 0, 0, 0, 1, 0)


def test_the_normal_points_to_the_head():
    assert normal_of(AXIAL).tolist() == [0, 0, 1]
    assert normal_of((0, 1, 0, 1, 0, 0)).tolist() == [0, 0, 1]
    assert main_axis(normal_of(AXIAL)) == 2
    assert normal_of((0, 1, 0, 0, 0, -1)).tolist() == [1, 0, 0]


def test_the_angle_between_lines_ignores_their_sense():
    x = np.array([1.0, 0, 0])
    assert angle_deg(x, np.array([-2.0, 0, 0])) == 0
    assert angle_deg(x, np.array([0, 3.0, 0])) == pytest.approx(90)
    assert angle_deg(x, np.array([1.0, 1.0, 0])) == pytest.approx(45)


def test_positions_are_ordered_from_feet_to_head():
    stack = stack_slices([(5, 6, 30), (5, 6, 10), (5, 6, 20)], AXIAL, (0.8, 0.7))
    assert stack.order == (1, 2, 0)
    expected = [[0, 0, 0.7, 5], [0, 0.8, 0, 6], [10, 0, 0, 10], [0, 0, 0, 1]]
    np.testing.assert_allclose(stack.affine, expected)


def test_positions_rounded_to_a_tenth_are_evenly_spaced():
    heights = np.round(np.arange(200) * 0.625, 1)
    check_spacing(heights)
    stack = stack_slices([(0, 0, z) for z in heights], AXIAL, (1, 1))
    assert stack.affine[2, 0] == pytest.approx(0.625, abs=1e-3)


@pytest.mark.parametrize("missing", [1, 5, 8])
def test_each_missing_slice_is_found(missing):
    heights = np.delete(np.arange(10) * 1.25, missing)
    with pytest.raises(MissingSlicesError) as caught:
        check_spacing(heights)
    assert (caught.value.after_slice, caught.value.gap_mm) == (missing - 1, 2.5)


def test_several_gaps_are_counted():
    heights = np.delete(np.arange(20.0), [4, 11, 12])
    with pytest.raises(MissingSlicesError, match=r"2 gaps, the first of 2\.0 mm after slice 3"):
        check_spacing(heights)


def test_half_thin_and_half_thick_is_not_a_gap_but_uneven():
    heights = np.concatenate([np.arange(10.0), 9 + 5 * np.arange(1, 20)])
    with pytest.raises(VariableSpacingError, match=r"from 1\.00 to 5\.00 mm"):
        check_spacing(heights)


@pytest.mark.parametrize("tilt_deg", [2.0, 7.5, 30.0])
def test_a_leaning_stack_is_refused_with_its_angle(tilt_deg):
    shift = np.tan(np.radians(tilt_deg))
    with pytest.raises(GantryTiltError) as caught:
        stack_slices([(0, shift * z, z) for z in range(10)], AXIAL, (1, 1))
    assert caught.value.tilt_deg == pytest.approx(tilt_deg)


def test_a_slice_beside_the_line_is_refused():
    places = [(4.0 if z == 3 else 0.0, 0, z) for z in range(10)]
    with pytest.raises(StudyError, match=r"Slice 3 .* lies 4\.0 mm beside the line"):
        stack_slices(places, AXIAL, (1, 1))


@pytest.mark.parametrize("bad", [(np.nan, 0, 0), (0, 0, np.inf)])
def test_positions_that_are_no_numbers_are_refused(bad):
    with pytest.raises(StudyError, match="no length"):
        stack_slices([(0, 0, 0), bad], AXIAL, (1, 1))


@settings(deadline=None, max_examples=50)
@given(
    axes=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    spacing=st.tuples(*[st.floats(0.3, 10)] * 3),
    turn_deg=st.floats(-3, 3),
)
def test_every_voxel_keeps_its_place_on_the_way_to_the_display(axes, signs, spacing, turn_deg):
    shape = (3, 4, 5)
    cosine, sine = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ (np.eye(3)[:, axes] * signs * spacing)
    affine[:3, 3] = (7, -8, 9)
    index = np.stack(np.indices(shape), axis=-1)
    places = index @ affine[:3, :3].T + affine[:3, 3]

    reorientation = to_display(affine, shape)

    shown = np.stack([reorientation.apply(places[..., k]) for k in range(3)], axis=-1)
    slice_step, row_step, column_step = reorientation.affine[:3, :3].T
    assert slice_step[2] > 0 and row_step[1] > 0 and column_step[0] > 0
    for at in itertools.product(*[(0, n - 1) for n in shown.shape[:3]]):
        np.testing.assert_allclose(reorientation.affine[:3] @ [*at, 1], shown[at], atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(
    order=st.permutations(range(9)),
    spacing_mm=st.floats(0.5, 10),
    start=st.tuples(*[st.floats(-500, 500)] * 3),
)
def test_a_shuffled_stack_is_put_in_order(order, spacing_mm, start):
    places = np.array(start) + np.outer(np.array(order) * spacing_mm, [0, 0, 1])
    stack = stack_slices(places.tolist(), AXIAL, (1, 1))
    assert [order[i] for i in stack.order] == list(range(9))
    assert np.linalg.norm(stack.affine[:3, 0]) == pytest.approx(spacing_mm)


def test_singular_oblique_and_sheared_affines_are_refused():
    flat = np.diag([1.0, 1, 0, 1])
    with pytest.raises(StudyError, match="singular"):
        to_display(flat, (3, 3, 3))
    twice = np.eye(4)
    twice[:3, 1] = twice[:3, 0]
    with pytest.raises(StudyError, match="singular"):
        to_display(twice, (3, 3, 3))
    turned = np.eye(4)
    turned[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    (flag,) = to_display(turned, (3, 3, 3)).flags
    assert flag.code == "oblique" and flag.blocks and "turned 37 degrees" in flag.message
    between = np.eye(4)
    between[:3, :3] = [[0.7, 0.7, 0.1], [-0.1, 0.2, -1.0], [0.7, -0.7, -0.2]]
    between[:3, :3] = np.linalg.qr(between[:3, :3])[0]
    assert to_display(between, (3, 3, 3)).flags[0].code == "oblique"
    leaning = np.eye(4)
    leaning[1, 2] = np.tan(np.radians(10))
    with pytest.raises(GantryTiltError, match=r"10\.0 degrees"):
        to_display(leaning, (3, 3, 3))
