"""How lungs stand is read from their outline, and a mirror image is its exact opposite."""

import cv2
import numpy as np
import pytest

from deeppneumonia.preprocessing.stance import CELLS, outline, stance


def two_lungs() -> np.ndarray:
    """Lungs as they lie in an upper slice: the left one, at the right, gives way to the heart."""
    canvas = np.zeros((200, 200), np.uint8)
    cv2.ellipse(canvas, (60, 100), (38, 70), 0, 0, 360, 1, -1)
    cv2.ellipse(canvas, (140, 100), (38, 70), 0, 0, 360, 1, -1)
    cv2.ellipse(canvas, (112, 75), (34, 34), 0, 0, 360, 0, -1)  # heart
    cv2.ellipse(canvas, (100, 160), (24, 24), 0, 0, 360, 0, -1)  # spine
    return canvas > 0


def test_lungs_with_the_heart_at_the_pictures_right_and_the_spine_below_stand_as_they_should() -> (
    None
):
    seen = stance(two_lungs())
    assert seen.sides > 0 and seen.upright > 0


def test_a_mirror_image_is_as_much_evidence_for_the_contrary() -> None:
    lungs = two_lungs()
    seen, mirrored, turned = stance(lungs), stance(lungs[:, ::-1]), stance(lungs[::-1])
    assert mirrored.sides == pytest.approx(-seen.sides, rel=1e-4)  # resized in float32
    assert turned.upright == pytest.approx(-seen.upright, rel=1e-4)


def test_neither_place_nor_size_counts() -> None:
    lungs = two_lungs()
    moved = np.pad(lungs, ((50, 0), (0, 90)))
    larger = np.repeat(np.repeat(lungs, 3, axis=0), 3, axis=1)
    for other in (moved, larger):
        assert stance(other).sides == pytest.approx(stance(lungs).sides, abs=0.05)  # resampling


def test_an_outline_is_the_share_of_lung_in_each_cell() -> None:
    lung = np.zeros((60, 80), bool)
    lung[12:36, 16:48] = True
    assert outline(lung).shape == CELLS
    assert outline(lung).min() == 1


def test_no_lungs_stand_in_no_way() -> None:
    with pytest.raises(ValueError, match="not there"):
        stance(np.zeros((40, 40), bool))
