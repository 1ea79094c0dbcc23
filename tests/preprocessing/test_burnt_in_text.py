"""Text in the pictures is seen, and a chest is not taken for text."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deeppneumonia.domain import Diagnosis, QualityFlag, Unit, volume_of
from deeppneumonia.phantoms import PhantomConfig, make_phantom
from deeppneumonia.preprocessing import examine, text_flags

MM = (5.0, 1.0, 1.0)


def chest() -> NDArray[np.int16]:
    phantom = make_phantom(PhantomConfig(label=Diagnosis.COVID, seed=3, shape=(9, 256, 256)))
    return np.array(phantom.volume.array, np.int16)


def flags_of(array: NDArray[np.generic], unit: Unit) -> tuple[QualityFlag, ...]:
    return text_flags(unit, examine(volume_of(array, unit, MM)))


def written(array: NDArray[np.int16], index: int, value: int, scale: float) -> NDArray[np.int16]:
    line = np.zeros(array.shape[1:], np.uint8)
    cv2.putText(line, "MUSTERMANN, MAX", (4, 20), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 1)
    marked = array.copy()
    marked[index][line > 0] = value
    return marked


@pytest.mark.parametrize("index", [0, 4, 8], ids=["feet", "middle", "head"])
@pytest.mark.parametrize(("value", "scale"), [(3071, 0.4), (1000, 0.6)])
def test_a_name_in_the_corner_is_seen(index: int, value: int, scale: float) -> None:
    flags = flags_of(written(chest(), index, value, scale), Unit.HU)
    assert [flag.code for flag in flags] == ["burnt_in_text"]
    assert f"on slice {index}:" in flags[0].message
    assert not flags[0].blocks and not flags[0].leaves_open


def test_a_chest_alone_is_no_text() -> None:
    assert flags_of(chest(), Unit.HU) == ()


def test_pictures_are_looked_at_in_their_own_unit() -> None:
    grey = np.clip((chest().astype(np.float32) + 1350) / 1500 * 255, 0, 255)
    marked = written(grey.astype(np.int16), 4, 255, 0.4)
    assert flags_of(grey.astype(np.uint8), Unit.GREY) == ()
    assert flags_of(marked.astype(np.uint8), Unit.GREY)


def test_dots_of_metal_are_no_text() -> None:
    array = chest()
    for number in range(12):  # clips of an ECG, wherever they happen to lie
        row, column = 3 + 19 * number, 4 + 5 * (number % 3)
        array[4, row : row + 6, column : column + 6] = 3071
    assert flags_of(array, Unit.HU) == ()
