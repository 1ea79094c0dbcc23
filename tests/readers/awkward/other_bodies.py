"""CT of what is no chest, drawn apart from the product's own phantoms, as DICOM that says CHEST."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from ramp_ct import ct_slice, save

AIR, FAT, TISSUE, LIVER, BONE = -1000.0, -100.0, 40.0, 60.0, 900.0
SIDE = 256
Canvas = NDArray[np.float32]


class Body:
    """A slice in millimetres: x to the patient's left, y to the back, the middle at 0, 0."""

    def __init__(self, field_mm: float, rng: np.random.Generator) -> None:
        self.mm = field_mm / SIDE
        self.rng = rng
        self.hu: Canvas = np.full((SIDE, SIDE), AIR, np.float32)

    def ellipse(self, x: float, y: float, wide: float, deep: float, hu: float) -> None:
        """Half axes in mm."""
        center = (round(SIDE / 2 + x / self.mm), round(SIDE / 2 + y / self.mm))
        axes = (max(1, round(wide / self.mm)), max(1, round(deep / self.mm)))
        cv2.ellipse(self.hu, center, axes, 0, 0, 360, hu, cv2.FILLED)

    def crumbs(self, x: float, y: float, radius: float, hu: float, count: int) -> None:
        """Bubbles or cells of 2 to 4 mm."""
        for _ in range(count):
            dx, dy = self.rng.normal(0, radius / 2, 2)
            self.ellipse(x + dx, y + dy, *self.rng.uniform(1.5, 3.5, 2), hu)

    def scanned(self) -> NDArray[np.int16]:
        noisy = cv2.GaussianBlur(self.hu, (0, 0), 0.8) + self.rng.normal(0, 12, self.hu.shape)
        return noisy.round().clip(-1024, 3000).astype(np.int16)


def head(height: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """From the jaw (0) to the crown (1): air in mouth, nose, sinuses and behind the ears."""
    body = Body(240, rng)
    swell = np.sqrt(max(0.05, 1 - max(0.0, height - 0.4) ** 2 / 0.36))
    body.ellipse(0, 0, 78 * swell, 97 * swell, TISSUE)
    if height > 0.15:
        body.ellipse(0, 5, 72 * swell, 90 * swell, BONE)
        body.ellipse(0, 5, 65 * swell, 83 * swell, 35)
    if height < 0.3:
        body.ellipse(0, -30, 14, 22, AIR)  # mouth and throat
    if 0.2 < height < 0.5:
        for side in (-1, 1):
            body.ellipse(32 * side, -52, 19, 21, AIR)  # maxillary sinus
            body.ellipse(55 * side, 30, 12, 16, 300)
            body.crumbs(55 * side, 30, 14, -700, 25)  # mastoid cells
        body.ellipse(0, -55, 6, 25, -900)  # nose
    body.ellipse(0, 112, 95, 4, -300)  # head rest
    return body.scanned()


def abdomen(height: float, rng: np.random.Generator, *, gas_mm: float = 16) -> NDArray[np.int16]:
    """From the pelvis (0) to the dome of the liver (1), where the lungs' lower edges show."""
    body = Body(400, rng)
    body.ellipse(0, 0, 165, 115, FAT)
    body.ellipse(0, 0, 150, 100, TISSUE)
    body.ellipse(0, 70, 20, 22, 300)
    if height > 0.4:
        body.ellipse(-70, -10, 70, 70, LIVER)
    if height > 0.85:
        for side in (-1, 1):
            body.ellipse(95 * side, 55, 35, 25, -860)
    for x, y in ((-115, 10), (115, 10), (0, -70), (55, -60)):
        body.ellipse(x, y, gas_mm + 6, gas_mm + 6, TISSUE)
        body.ellipse(x, y - 3, gas_mm, 0.8 * gas_mm, AIR)
        body.crumbs(x, y + gas_mm, 8, -300, 12)  # stool
    body.ellipse(0, 128, 200, 4, -200)  # table
    return body.scanned()


def colonography(height: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """An abdomen whose colon was blown up with gas: wide, symmetrical, on both flanks."""
    return abdomen(height, rng, gas_mm=32)


def upside_down(draw: Callable[..., NDArray[np.int16]]) -> Callable[..., NDArray[np.int16]]:
    """The same body the wrong way up, as after a wrong export: gas lies at the back."""
    return lambda height, rng: draw(height, rng)[::-1]


def pelvis(height: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Gas in the rectum, bone on both sides."""
    body = Body(420, rng)
    body.ellipse(0, 0, 180, 120, FAT)
    body.ellipse(0, 0, 160, 100, TISSUE)
    for side in (-1, 1):
        body.ellipse(95 * side, 10, 30, 40 + 20 * height, 500)
        body.ellipse(95 * side, 10, 22, 32 + 20 * height, 150)
    body.ellipse(0, 45, 25, 20, AIR)
    return body.scanned()


def legs(_: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Two thighs, with air between them."""
    body = Body(400, rng)
    for side in (-1, 1):
        body.ellipse(85 * side, 0, 78, 80, FAT)
        body.ellipse(85 * side, 0, 65, 68, TISSUE)
        body.ellipse(85 * side, 0, 14, 14, BONE)
    return body.scanned()


BODIES: dict[str, tuple[Callable[..., NDArray[np.int16]], float]] = {
    "head": (head, 240),
    "abdomen": (abdomen, 400),
    "abdomen, upside down": (upside_down(abdomen), 400),
    "CT colonography": (colonography, 400),
    "CT colonography, upside down": (upside_down(colonography), 400),
    "pelvis": (pelvis, 420),
    "legs": (legs, 400),
}
"""How each is drawn, and its field of view in mm."""


def write(name: str, folder: Path, *, slices: int = 20, seed: int = 0) -> Path:
    """A DICOM series of the body, 5 mm apart, whose every header says CHEST."""
    draw, field_mm = BODIES[name]
    rng = np.random.default_rng(seed)
    return save(
        [as_dicom(draw((i + 0.5) / slices, rng), 5.0 * i, field_mm) for i in range(slices)], folder
    )


def as_dicom(hu: NDArray[np.int16], height_mm: float, field_mm: float) -> Dataset:
    """One slice of (SIDE, SIDE) HU over a square field."""
    dataset = ct_slice((0, 0, height_mm))
    dataset.BodyPartExamined = "CHEST"
    dataset.Rows, dataset.Columns = hu.shape
    dataset.PixelSpacing, dataset.SliceThickness = [field_mm / SIDE] * 2, 5
    dataset.PixelData = (hu.astype(int) + 1024).astype("<u2").tobytes()
    return dataset
