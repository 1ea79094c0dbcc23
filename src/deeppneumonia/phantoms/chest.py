"""The chest wall: outline, skin, fat and muscle round the cavity that holds the lungs."""

import numpy as np

from deeppneumonia.phantoms.patient import Patient
from deeppneumonia.phantoms.plane import Plane
from deeppneumonia.phantoms.shapes import Field, Height, along, coverage, ellipse, paint

SKIN_HU, FAT_HU, MUSCLE_HU = 20.0, -105.0, 52.0

# Half width, half depth and middle (front to back) of the standard chest by height; z in mm.
BODY_WIDTH = ((0, 138), (60, 141), (120, 146), (180, 150), (215, 158), (245, 172), (300, 176))
BODY_DEPTH = ((0, 92), (60, 97), (120, 98), (180, 93), (225, 84), (260, 74), (300, 62))
BODY_BACK = ((0, 96), (120, 98), (220, 100), (260, 96), (300, 84))
CAVITY_WIDTH = ((0, 116), (50, 124), (100, 128), (150, 127), (195, 115), (225, 97), (250, 73),
                (265, 55), (275, 38), (281, 4))  # fmt: skip
CAVITY_DEPTH = ((0, 72), (60, 78), (120, 80), (170, 75), (205, 64), (235, 51), (262, 35),
                (275, 23), (281, 4))  # fmt: skip
CAVITY_MIDDLE = ((0, -6), (120, -5), (180, 0), (220, 10), (262, 24), (281, 30))


def body_depth(patient: Patient, x: Field, y: Field, z: Height) -> Field:
    """How far inside the skin a point lies."""
    fat = patient.fat_mm
    half_y = along(z, BODY_DEPTH) + 0.8 * fat
    middle = along(z, BODY_BACK) + 0.4 * fat - half_y
    trunk = ellipse(x, y - middle, along(z, BODY_WIDTH) + fat, half_y, 0.35)
    groove = np.exp(-((x / 14) ** 2)) * (3 + 3 * (y < 0))
    depth: Field = trunk - groove
    return depth


def cavity_depth(x: Field, y: Field, z: Height) -> Field:
    """How far inside the inner surface of the rib cage a point lies: depth below the pleura."""
    return ellipse(
        x, y - along(z, CAVITY_MIDDLE), along(z, CAVITY_WIDTH), along(z, CAVITY_DEPTH), 0.3
    )


def paint_wall(hu: Field, patient: Patient, plane: Plane, body: Field) -> None:
    """Paint skin, fat and muscle of one slice over air, in place.

    Args:
        hu: (rows, columns) of the plane.
        body: depth below the skin, as `body_depth` gives it.
    """
    soft, mottle = plane.soft_mm, plane.mottle
    paint(hu, coverage(body, soft), SKIN_HU)
    paint(hu, coverage(body - 2, soft), FAT_HU + 6 * mottle)
    cover = patient.fat_mm * (1 - 0.45 * (plane.y / 100).clip(-0.3, 1)) + 2 + 1.5 * mottle
    paint(hu, coverage(body - cover, soft), MUSCLE_HU + 5 * mottle)
    for ring in (13.0, 24.0):  # fat parts the layers of muscle
        gap = 1.3 + 1.2 * mottle - np.abs(plane.cavity + ring + 3 * mottle)
        paint(hu, coverage(gap, 2 * soft) * (body > cover + 4), FAT_HU)
