"""Folders of pictures: the natural order of names, grey levels as they are, faults by name."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from deeppneumonia.domain import Unit
from deeppneumonia.errors import StudyError
from deeppneumonia.readers import read_volume

ROWS, COLUMNS, COUNT = 40, 48, 12


def picture(number: int) -> NDArray[np.uint8]:
    """A ramp in both directions that also tells the number of the slice."""
    row, column = np.indices((ROWS, COLUMNS))
    return (10 * number + row + 2 * column).astype(np.uint8)


def save(folder: Path, names: list[str], change: Callable[[Image.Image], Image.Image]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        change(Image.fromarray(picture(number))).save(folder / name)


def _tagged(image: Image.Image) -> Image.Image:
    """A camera's tag that asks viewers to turn the picture; it is no slice's direction."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info["exif"] = exif.tobytes()
    return image


NUMBERS = [f"{number}.png" for number in range(COUNT)]
NAMES = {
    "2 before 10": NUMBERS,
    "with zeros": [f"IM{number:04d}.png" for number in range(COUNT)],
    "words around": [f"Slice {number} of 12.PNG" for number in range(COUNT)],
    "two numbers": [f"CT_{2 + number // 6}_{number % 6 + 7}.png" for number in range(COUNT)],
    "beyond any integer": [f"{10**30 + 10**number}.png" for number in range(COUNT)],
    "other digits": [f"schicht-{number}-ü-山.png" for number in range(COUNT)],
}
GREYS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "grey": lambda image: image,
    "grey in three channels": lambda image: image.convert("RGB"),
    "grey, opaque": lambda image: image.convert("RGBA"),
    "a palette of greys": lambda image: image.convert("P", palette=Image.Palette.ADAPTIVE),
    "with a turned orientation tag": _tagged,
}


@pytest.mark.parametrize("order", NAMES)
def test_pictures_come_in_the_natural_order_of_their_names(order: str, tmp_path: Path) -> None:
    names = NAMES[order]
    save(tmp_path, names, lambda image: image)
    for name in names[::2]:  # neither time nor the order of the folder decides
        (tmp_path / name).touch()
    volume = read_volume(tmp_path)
    assert volume.unit is Unit.GREY and not volume.has_geometry
    np.testing.assert_array_equal(volume.array, np.stack([picture(n) for n in range(COUNT)]))


@pytest.mark.parametrize("form", GREYS)
def test_every_form_of_grey_gives_the_same_levels(form: str, tmp_path: Path) -> None:
    save(tmp_path, NUMBERS, GREYS[form])
    np.testing.assert_array_equal(
        read_volume(tmp_path).array, np.stack([picture(n) for n in range(COUNT)])
    )


def test_jpeg_is_read_within_its_loss(tmp_path: Path) -> None:
    for number in range(COUNT):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.jpeg", quality=95)
    found = read_volume(tmp_path).array.astype(int)
    assert abs(found - np.stack([picture(n) for n in range(COUNT)])).max() <= 6


def _coloured(folder: Path) -> None:
    grey = np.repeat(picture(4)[..., None], 3, axis=2)
    grey[5:15, 5:15] = (255, 40, 0)
    Image.fromarray(grey).save(folder / "4.png")


def _transparent(folder: Path) -> None:
    cut = Image.fromarray(picture(4)).convert("RGBA")
    cut.putalpha(90)
    cut.save(folder / "4.png")


def _animated(folder: Path) -> None:
    frames = [Image.fromarray(picture(n)) for n in range(3)]
    frames[0].save(folder / "4.png", save_all=True, append_images=frames[1:], duration=50)


def _sixteen_bits(folder: Path) -> None:
    cv2.imwrite(str(folder / "4.png"), picture(4).astype(np.uint16) * 100)


def _of_other_size(folder: Path) -> None:
    Image.fromarray(picture(4)[:-1]).save(folder / "4.png")


def _cut_short(folder: Path) -> None:
    file = folder / "4.png"
    file.write_bytes(file.read_bytes()[:-40])


def _cut_short_jpeg(folder: Path) -> None:
    (folder / "4.png").unlink()
    Image.fromarray(picture(4)).save(folder / "4.jpg")
    content = (folder / "4.jpg").read_bytes()
    (folder / "4.jpg").write_bytes(content[: len(content) // 2])


def _empty(folder: Path) -> None:
    (folder / "4.png").write_bytes(b"\x89PNG\r\n\x1a\n")


def _in_two_folders(folder: Path) -> None:
    (folder / "other").mkdir()
    shutil.move(folder / "4.png", folder / "other" / "4.png")


def _other_kinds(folder: Path) -> None:
    Image.fromarray(picture(4)).save(folder / "4.gif")
    (folder / "4.png").unlink()


FAULTS: dict[Callable[[Path], None], str] = {
    _coloured: r"Picture 5 .* is a colour picture",
    _transparent: r"Picture 5 .* is partly transparent",
    _animated: r"Picture 5 .* is animated",
    _sixteen_bits: r"Picture 5 .* has 16 bits",
    _of_other_size: r"2 different sizes \(39 x 48, 40 x 48\)",
    _cut_short: r"Picture 5 .* truncated",
    _cut_short_jpeg: r"Picture 5 .* truncated",
    _empty: r"Picture 5 .* truncated",
    _in_two_folders: r"2 folders",
    _other_kinds: r"1 .*GIF, BMP, TIFF or WebP",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_picture_that_is_no_grey_slice_is_refused(
    fault: Callable[[Path], None], tmp_path: Path
) -> None:
    save(tmp_path, NUMBERS, lambda image: image)
    fault(tmp_path)
    with pytest.raises(StudyError, match=FAULTS[fault]):
        _ = read_volume(tmp_path).array
