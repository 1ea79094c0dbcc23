"""Windows, slices, backgrounds and frames: what a network sees, value by value."""

import cv2
import numpy as np
import pytest

from deeppneumonia.domain import Box, Unit, volume_of
from deeppneumonia.errors import ConfigError
from deeppneumonia.preprocessing import (
    Fill,
    Intensity,
    NotHounsfieldError,
    PreprocessConfig,
    apply_window,
    equal_slices,
    window_slice,
)
from deeppneumonia.preprocessing.background import fill_background
from deeppneumonia.preprocessing.picture import make_picture
from deeppneumonia.preprocessing.windowing import stretch_lung

EXPECTED_BACKGROUND = [
    [113, 109, 104, 100, 104, 105, 110, 111],
    [114, 110, 105, 101, 108, 109, 114, 115],
    [111, 107, 100, 101, 102, 103, 107, 107],
    [115, 107, 104, 105, 106, 107, 107, 114],
    [107, 107, 108, 109, 110, 111, 107, 115],
    [107, 107, 112, 113, 114, 115, 107, 107],
    [107, 107, 107, 107, 107, 107, 100, 101],
    [104, 100, 107, 107, 107, 107, 100, 105],
]
"""Of two copies, as first drawn; a change here changes every checkpoint's input."""

BLACK = PreprocessConfig(fill=Fill.BLACK)


@pytest.mark.parametrize(
    ("hu", "grey"), [(-1000, 60), (-600, 128), (40, 236)], ids=["air", "centre", "soft tissue"]
)
def test_lung_window_gives_known_tissues_their_grey(hu: int, grey: int) -> None:
    assert apply_window(np.array([hu], np.int16), center_hu=-600, width_hu=1500)[0] == grey


@pytest.mark.parametrize(("center", "width"), [(-600, 1500), (-400, 1400), (0.5, 1.5)])
def test_every_int16_gets_the_grey_of_the_same_value_in_another_type(center, width) -> None:
    every = np.arange(-32768, 32768).reshape(256, 256)[:, ::-1]
    looked_up = apply_window(every.astype(np.int16), center_hu=center, width_hu=width)
    assert (looked_up == apply_window(every, center_hu=center, width_hu=width)).all()


def test_a_window_without_width_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="width_hu must be more than 1, not 1"):
        apply_window(np.zeros((4, 4), np.int16), center_hu=40, width_hu=1)


def test_grey_pictures_cannot_be_windowed() -> None:
    volume = volume_of(np.zeros((2, 80, 80), np.uint8), Unit.GREY)
    with pytest.raises(NotHounsfieldError, match="not Hounsfield units"):
        window_slice(volume, 0, center_hu=-600, width_hu=1500)


def test_a_slice_in_hounsfield_units_is_windowed() -> None:
    volume = volume_of(np.full((2, 80, 80), -600, np.int16), Unit.HU)
    assert (window_slice(volume, 1, center_hu=-600, width_hu=1500) == 128).all()


def test_lung_intensity_is_the_same_through_two_windows(chest) -> None:
    drawn = chest()
    wide = apply_window(drawn.hu, center_hu=-600, width_hu=1500)
    narrow = apply_window(drawn.hu, center_hu=-500, width_hu=1200)
    first, second = (stretch_lung(grey, drawn.lungs) for grey in (wide, narrow))
    # Two windows quantise differently: one level of 1200/255 HU is 1.3 levels after stretching.
    difference = first[drawn.lungs].astype(int) - second[drawn.lungs].astype(int)
    assert np.percentile(abs(difference), 99) <= 3
    assert np.percentile(first[drawn.lungs], 10) == pytest.approx(64, abs=1)
    assert np.percentile(first[drawn.lungs], 99) == pytest.approx(224, abs=2)


def test_a_uniform_lung_is_not_stretched_to_noise() -> None:
    grey = np.full((50, 50), 90, np.uint8)
    grey[::2] = 91
    assert np.unique(stretch_lung(grey, np.ones((50, 50), bool))).tolist() == [64, 74]


@pytest.mark.parametrize(
    ("total", "chosen"),
    [
        (300, list(range(10, 300, 20))),
        (16, [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15]),
        (15, list(range(15))),
        (7, list(range(7))),
    ],
)
def test_a_scan_is_divided_into_fifteen_equal_parts(total: int, chosen: list[int]) -> None:
    assert list(equal_slices(total, 15)) == chosen


@pytest.mark.parametrize("total", [16, 45, 60, 300, 301, 310])
def test_turned_over_a_scan_gives_the_same_slices_or_the_next_ones(total: int) -> None:
    chosen = equal_slices(total, 15)
    turned = [total - 1 - index for index in reversed(chosen)]
    moved = [(2 * k + 1) * total % 30 == 0 for k in range(15)]  # (k + 1/2) * total / 15 is whole
    assert [index - other for index, other in zip(chosen, turned, strict=True)] == moved
    assert not any(moved) or total % 2 == 0


def test_a_picture_keeps_the_shape_and_can_be_mapped_back(chest) -> None:
    drawn = chest()
    picture, frame = make_picture(drawn.grey, drawn.lungs, BLACK)
    rows, columns = np.nonzero(drawn.lungs)
    ys, xs = np.nonzero(picture)
    width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
    assert picture.shape == (448, 448)
    assert (np.ptp(xs) + 1) / (np.ptp(ys) + 1) == pytest.approx(width / height, rel=0.02)
    back = frame.to_source(Box(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
    truth = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    # The rim that is trimmed off the lung is 3 picture pixels wide.
    assert (back.x0, back.y0, back.x1, back.y1) == pytest.approx(truth, abs=3.5)


def test_a_landmark_is_found_again_where_it_was() -> None:
    grey, lungs = np.full((300, 400), 60, np.uint8), np.zeros((300, 400), bool)
    lungs[20:120, 180:399] = True
    grey[70:74, 300:304] = 255
    picture, frame = make_picture(grey, lungs, BLACK)
    ys, xs = np.nonzero(picture > 200)
    seen = frame.to_source(Box(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
    assert (seen.x0, seen.y0, seen.x1, seen.y1) == pytest.approx((300, 70, 304, 74), abs=1)


def test_a_black_background_is_black_and_lung_never_is(chest) -> None:
    drawn = chest()
    grey = np.where(drawn.lungs & (drawn.grey < 100), 0, drawn.grey)
    picture, frame = make_picture(grey, drawn.lungs, BLACK)
    core = cv2.erode(drawn.lungs.astype(np.uint8), np.ones((5, 5), np.uint8))
    assert core.sum() < (picture > 0).sum() * frame.x_scale**2 < drawn.lungs.sum()


def test_chest_wall_does_not_draw_the_outline_of_the_lung(chest) -> None:
    drawn = chest()
    picture, _ = make_picture(drawn.grey, drawn.lungs, BLACK)
    lung = (picture > 0).astype(np.uint8)
    edge = (lung - cv2.erode(lung, np.ones((3, 3), np.uint8))) > 0
    assert picture[edge].mean() == pytest.approx(picture[lung > 0].mean(), rel=0.1)


def test_fill_leaves_the_lung_alone_and_nothing_black(chest) -> None:
    drawn = chest()
    black, _ = make_picture(drawn.grey, drawn.lungs, BLACK)
    filled, _ = make_picture(drawn.grey, drawn.lungs, PreprocessConfig())
    lung = black > 0
    assert (filled[lung] == black[lung]).all()
    assert (filled > 0).all()
    # Ten copies of a lung that fills half of the picture leave 0.5 ** 10 of it uncovered.
    median = np.median(black[lung])
    assert (filled[~lung] == median).mean() < 0.3


def test_the_same_slice_always_gives_the_same_background(chest) -> None:
    pictures = [make_picture(d.grey, d.lungs, BLACK)[0] for d in (chest(), chest(), chest(seed=5))]
    first, again, other = (fill_background(picture) for picture in pictures)
    assert (first == again).all()
    outside = (pictures[0] == 0) & (pictures[2] == 0)
    assert (first != other)[outside].mean() > 0.5


def test_a_background_is_the_same_on_every_machine() -> None:
    picture = np.zeros((8, 8), np.uint8)
    picture[2:6, 2:6] = np.arange(100, 116).reshape(4, 4)
    filled = fill_background(picture, copies=2)
    assert filled.tolist() == EXPECTED_BACKGROUND


def test_a_picture_without_lung_stays_black() -> None:
    assert not fill_background(np.zeros((8, 8), np.uint8)).any()


def test_a_config_survives_json() -> None:
    config = PreprocessConfig(
        slices=9, fill=Fill.BLACK, intensity=Intensity.LUNG, min_lung_fraction=0.11
    )
    assert PreprocessConfig.from_dict(config.to_dict()) == config
    assert config.to_dict()["fill"] == "black"
    assert PreprocessConfig.from_dict({}) == PreprocessConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"slice": 15}, "Unknown preprocessing setting slice; known settings are slices, "),
        ({"slices": 0}, "slices must be 1 or more, not 0"),
        ({"slices": "15"}, "'15' is not"),
        ({"fill": "grey"}, "'grey' is not a valid Fill"),
        ({"picture_px": 8}, "picture_px must be 32 or more"),
        ({"window_width_hu": 1}, "window_width_hu must be more than 1"),
        ({"fill_copies": 0}, "fill_copies must be 1 or more"),
        ({"min_lung_fraction": 2.0}, "min_lung_fraction must be 0 to 1"),
    ],
)
def test_an_impossible_config_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PreprocessConfig.from_dict(values)
