"""CT of what is not a chest: a head, and an abdomen whose uppermost slices show the lung bases.

They prove that the program refuses a study which a busy hospital will send it sooner or later.
"""

from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import Diagnosis, Unit, Volume, volume_of
from deeppneumonia.phantoms.bones import CORTEX_HU, SPONGY_HU
from deeppneumonia.phantoms.chest import FAT_HU, MUSCLE_HU, SKIN_HU, body_depth
from deeppneumonia.phantoms.config import PhantomConfig
from deeppneumonia.phantoms.organs import BLOOD_HU, GAS_HU, LIVER_HU
from deeppneumonia.phantoms.patient import Patient
from deeppneumonia.phantoms.scanner import AIR_HU, Scanner, grid_mm, paint_table, reconstruct
from deeppneumonia.phantoms.shapes import Field, coverage, ellipse, ellipsoid, paint, tube
from deeppneumonia.phantoms.synthesis import make_phantom

BRAIN_HU, LIQUOR_HU, KIDNEY_HU = 34.0, 8.0, 36.0

LUNG_BASE_SHARE = 0.3
"""How much of an abdominal scan, from above, lies higher than the lowest edge of the lungs."""


class Region(StrEnum):
    """What was scanned."""

    HEAD = "head"
    ABDOMEN = "abdomen"


def make_other_body(region: Region, seed: int, shape: tuple[int, int, int]) -> Volume:
    """A CT of head or abdomen in HU, int16, feet first; the same arguments, the same volume.

    Args:
        region: what is scanned.
        seed: the person and the scanner.
        shape: (slices, rows, columns) over the field of every phantom, 300 x 360 x 360 mm; for
            a head, whose scans are shorter, the slices lie half as far apart.
    """
    config = PhantomConfig(label=Diagnosis.HEALTHY, seed=seed, shape=shape)
    between, down, along = config.spacing_mm
    if region is Region.HEAD:
        return volume_of(_head(config), Unit.HU, (between / 2, down, along))
    # The chest phantom's lung bases begin about 10 mm above its lowest slice.
    bases = make_phantom(config).volume.array[: _bases(config)]
    array = np.concatenate([_below_the_lungs(config), bases])
    return volume_of(array, Unit.HU, (between, down, along))


def make_belly(seed: int, shape: tuple[int, int, int]) -> Volume:
    """The abdomen of `make_other_body` without the uppermost slices, which show bases of lungs.

    Laid below a chest of the same shape, once or several times, it makes a scan longer than a
    chest, as from neck to pelvis.
    """
    config = PhantomConfig(label=Diagnosis.HEALTHY, seed=seed, shape=shape)
    return volume_of(_below_the_lungs(config), Unit.HU, config.spacing_mm)


def _bases(config: PhantomConfig) -> int:
    """Slices of an abdominal scan that show bases of the lungs."""
    return max(1, round(LUNG_BASE_SHARE * config.shape[0]))


def _head(config: PhantomConfig) -> NDArray[np.int16]:
    rng = np.random.default_rng([config.seed, 21])
    half = (rng.uniform(66, 76), rng.uniform(84, 94))
    heights = np.linspace(-20.0, 128.0, config.shape[0])
    return _scanned(config, lambda hu, x, y, z: _paint_head(hu, x, y, z, half), heights, rng)


def _paint_head(hu: Field, x: Field, y: Field, z: float, half: tuple[float, float]) -> Field:
    """Paint one slice of a head; z 0 is the base of the skull. Returns depth below the skin."""
    taper = np.sqrt(max(1 - (max(z, 0) / 140) ** 2, 0.02))
    skin = ellipse(x, y, half[0] * taper + 6, half[1] * taper + 6)
    paint(hu, coverage(skin, 1), SKIN_HU)
    paint(hu, coverage(skin - 2, 1), FAT_HU)
    paint(hu, coverage(skin - 6, 1), CORTEX_HU * 1.2)
    paint(hu, coverage(skin - 12, 1), BRAIN_HU if z > 0 else MUSCLE_HU)
    if z > 30:
        for side in (-1, 1):
            ventricle = ellipse(x - 12 * side, y + 5, 7, 24)
            paint(hu, coverage(ventricle, 1) * (z < 90), LIQUOR_HU)
    else:
        for side in (-1, 1):
            paint(hu, coverage(ellipse(x - 16 * side, y + 62, 9, 12), 1), GAS_HU)  # sinuses
            paint(hu, coverage(ellipse(x - 50 * side, y - 30, 9, 11), 1), -500.0)  # mastoid cells
        paint(hu, coverage(ellipse(x, y + 25, 11, 9), 1), GAS_HU)  # pharynx
    return skin


def _below_the_lungs(config: PhantomConfig) -> NDArray[np.int16]:
    rng = np.random.default_rng([config.seed, 22])
    person = Patient.of_seed(config.seed)
    heights = np.linspace(-240.0, 0.0, config.shape[0] - _bases(config))
    gas = [tuple(rng.uniform((-90, -75, -230), (90, -35, -40))) for _ in range(9)]
    return _scanned(
        config, lambda hu, x, y, z: _paint_abdomen(hu, person, gas, (x, y, z)), heights, rng
    )


def _paint_abdomen(
    hu: Field,
    person: Patient,
    gas: list[tuple[float, ...]],
    place: tuple[Field, Field, float],
) -> Field:
    """Paint one slice below the lungs. Returns depth below the skin."""
    x, y = person.to_anatomy(*place)
    z = place[2]
    skin = body_depth(person, x, y, 0.0)
    cover = person.fat_mm + 2
    for depth, value in ((0.0, SKIN_HU), (2.0, FAT_HU), (cover, MUSCLE_HU), (cover + 14, FAT_HU)):
        paint(hu, coverage(skin - depth, 1), value)
    liver = np.minimum(ellipsoid(x, y, z, (-58, -8, -20), (62, 70, 100)), skin - cover - 15)
    paint(hu, coverage(liver, 1), LIVER_HU)
    for side in (-1, 1):
        paint(hu, coverage(ellipsoid(x, y, z, (55 * side, 45, -90), (26, 22, 55)), 1), KIDNEY_HU)
    paint(hu, coverage(tube(x, y, z, (14, 36, -260), (6, 36, 20), 11), 1), BLOOD_HU)
    for px, py, pz in gas:  # loops of bowel: a wall, and gas inside
        loop = ellipsoid(x, y, z, (px, py, pz), (24, 18, 26))
        paint(hu, coverage(loop, 1), MUSCLE_HU)
        paint(hu, coverage(loop - 3, 1), GAS_HU)
    spine = ellipse(x, y - 62, 22, 18, 0.3)
    paint(hu, coverage(spine, 1), CORTEX_HU * person.bone)
    paint(hu, coverage(spine - 2, 1), SPONGY_HU * person.bone)
    return skin


def _scanned(
    config: PhantomConfig,
    painter: Callable[[Field, Field, Field, float], Field],
    heights: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.int16]:
    """One picture a height: table and air, what the painter paints, kernel and noise."""
    _, x, y = grid_mm(config.shape)
    scanner = Scanner.of(config)
    pixel_mm = config.spacing_mm[1]
    pictures = []
    for z in heights.tolist():
        hu = np.full(config.shape[1:], AIR_HU, np.float32)
        paint_table(hu, x, y, 110 + scanner.table_mm, pixel_mm)
        depth = painter(hu, x + 0 * y, y + 0 * x, z)
        pictures.append(reconstruct(hu, depth, scanner, pixel_mm, rng))
    return np.stack(pictures)
