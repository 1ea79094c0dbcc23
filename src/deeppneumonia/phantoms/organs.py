"""What lies between and below the lungs: heart, great vessels, airways, diaphragm, abdomen."""

from collections.abc import Sequence
from functools import reduce

import numpy as np

from deeppneumonia.phantoms.chest import CAVITY_DEPTH, CAVITY_MIDDLE, FAT_HU, MUSCLE_HU
from deeppneumonia.phantoms.patient import Patient
from deeppneumonia.phantoms.plane import Plane
from deeppneumonia.phantoms.shapes import (
    Field,
    Height,
    Point,
    along,
    coverage,
    ellipse,
    ellipsoid,
    paint,
    smooth_max,
    tube,
)

BLOOD_HU, LIVER_HU, SPLEEN_HU, MEAL_HU, GAS_HU = 42.0, 58.0, 48.0, 18.0, -985.0

Tube = tuple[Point, Point, float]
"""Start, end, radius in mm of the standard chest."""

GREAT_VESSELS: tuple[Tube, ...] = (
    ((-12, -30, 140), (-16, -28, 205), 16),  # ascending aorta
    ((-14, -24, 208), (8, 8, 216), 13),  # arch
    ((8, 8, 216), (20, 34, 206), 13),
    ((20, 36, 208), (19, 36, 90), 12),  # descending aorta
    ((19, 36, 90), (4, 34, -20), 11),
    ((20, -38, 140), (22, -22, 180), 14),  # pulmonary trunk
    ((14, -14, 176), (-36, -4, 172), 10),  # right pulmonary artery
    ((24, -12, 180), (40, 10, 178), 10),  # left pulmonary artery
    ((-32, -14, 150), (-28, -20, 232), 9),  # superior vena cava
    ((-30, 6, 150), (34, 8, 150), 11),  # left atrium with the lower pulmonary veins
    ((-14, -20, 212), (-30, -6, 275), 7),  # brachiocephalic, carotid, subclavian
    ((2, -8, 216), (20, -2, 280), 5),
    ((12, 8, 216), (17, 18, 285), 5),
    ((-28, -22, 235), (-44, -20, 268), 7),
    ((-26, -24, 226), (26, -31, 243), 6),  # left brachiocephalic vein
    ((26, -31, 243), (44, -20, 268), 7),
)
ESOPHAGUS: Tube = ((6, 28, 60), (2, 30, 300), 7)
AIRWAYS: tuple[Tube, ...] = (
    ((0, 8, 320), (1, 12, 188), 9.0),  # trachea
    ((1, 12, 188), (-36, 8, 164), 6.8),  # right main bronchus
    ((1, 12, 188), (40, 12, 162), 6.2),  # left main bronchus
)
HILA: tuple[Point, Point] = ((-38, 3, 168), (40, 7, 168))
"""Where vessels and airways enter the right and the left lung."""


def heart_depth(patient: Patient, x: Field, y: Field, z: Height) -> Field:
    """How far inside the heart a point lies; its long axis points to the left and the front."""
    low = 118 - 0.6 * patient.breath_mm
    turned_x, turned_y = 0.88 * x - 0.47 * y, 0.47 * x + 0.88 * y
    size = patient.heart
    body = ellipsoid(turned_x, turned_y, z, (32, -18, low), (58 * size, 43 * size, 54))
    return smooth_max(body, tube(x, y, z, (-28, -20, low), (-26, -16, low + 40), 22 * size), 12)


def mediastinum_depth(patient: Patient, x: Field, y: Field, z: Height) -> Field:
    """How far inside the tissue between the lungs a point lies."""
    front = along(z, CAVITY_MIDDLE) - along(z, CAVITY_DEPTH)
    septum = 3.5 - np.abs(x - 2) + 0 * y
    wedge = 9 - np.abs(x) * 0.8 - 0.28 * (y - front)
    depth = np.maximum(np.maximum(septum, wedge), ellipse(x, y - 56, 19.5, 16.5, 0.3))
    depth = smooth_max(depth, heart_depth(patient, x, y, z), 10)
    for start, end, radius in _near(z, (*GREAT_VESSELS, ESOPHAGUS, *AIRWAYS), 12):
        depth = smooth_max(depth, tube(x, y, z, start, end, radius + 2.5), 12)
    return depth


def dome_height(patient: Patient, x: Field, y: Field) -> Field:
    """Height (z) of the diaphragm's upper surface; the right dome stands higher."""
    edge = 26 - patient.breath_mm + 0.26 * (70 - y)
    height = edge
    for center_x, half_x, peak in ((-60, 78, 104), (64, 74, 92)):
        reach = ((x - center_x) / half_x) ** 2 + ((y + 14) / 92) ** 2
        top = peak - patient.breath_mm
        height = smooth_max(height, edge + (top - edge) * np.sqrt((1 - reach).clip(0)), 8)
    return height


def paint_mediastinum(
    hu: Field, patient: Patient, plane: Plane, *, contrast_hu: float = 0.0
) -> None:
    """Paint heart, great vessels, gullet and airways of one slice over the fat around them.

    Args:
        hu: (rows, columns) of the plane.
        contrast_hu: what contrast medium adds to blood.
    """
    middle, where = plane.part(90 - np.abs(plane.x))
    part, x, y, z, soft = hu[where], middle.x, middle.y, plane.z, plane.soft_mm
    heart = coverage(heart_depth(patient, x, y, z), soft)
    # Of the heart about two thirds are chambers; the muscle takes up less medium.
    paint(part, heart, BLOOD_HU + 4 + 0.7 * contrast_hu)
    for start, end, radius in _near(z, GREAT_VESSELS, 0):
        paint(part, coverage(tube(x, y, z, start, end, radius), soft), BLOOD_HU + contrast_hu)
    for start, end, radius in _near(z, (ESOPHAGUS,), 0):
        paint(part, coverage(tube(x, y, z, start, end, radius), soft), BLOOD_HU)
    air = airway_depth(x, y, z)
    if air is not None:
        paint(part, coverage(air + 1.8, soft), 30.0)
        paint(part, coverage(air, soft), GAS_HU)


def airway_depth(x: Field, y: Field, z: Height) -> Field | None:
    """How far inside the trachea or a main bronchus a point lies; None if none is near."""
    depths = [tube(x, y, z, *airway) for airway in _near(z, AIRWAYS, 3)]
    if not depths:
        return None
    return reduce(lambda a, b: smooth_max(a, b, 4), depths)


def _near(z: Height, tubes: Sequence[Tube], margin_mm: float) -> list[Tube]:
    """The tubes that come within `margin_mm` of a height."""
    return [
        (start, end, radius)
        for start, end, radius in tubes
        if np.any(z > min(start[2], end[2]) - radius - margin_mm)
        and np.any(z < max(start[2], end[2]) + radius + margin_mm)
    ]


def paint_abdomen(hu: Field, patient: Patient, plane: Plane) -> None:
    """Paint what lies below the diaphragm in one slice: liver, stomach, spleen, fat."""
    below = dome_height(patient, plane.x, plane.y) - plane.z
    inside, where = plane.part(np.minimum(plane.cavity, below) + 2)
    if not inside.x.size:
        return
    below, cavity, x, y, z = below[where], inside.cavity, inside.x, inside.y, plane.z
    layer = np.full_like(x, MUSCLE_HU)
    paint(layer, coverage(np.minimum(below - 4, cavity - 2), 2.0), FAT_HU)
    low = -patient.breath_mm
    liver = np.minimum(np.minimum(below - 3, cavity - 2), 30 - x - 0.5 * y)
    paint(layer, coverage(np.minimum(liver, 40 - 0.35 * x - y), 2.0), LIVER_HU + 4 * inside.mottle)
    spleen = ellipsoid(x, y, z, (84, 34, 50 + low), (31, 34, 44))
    paint(layer, coverage(spleen, 2.0), SPLEEN_HU + 3 * inside.mottle)
    stomach = ellipsoid(x, y, z, (60, -22, 44 + low), (44, 40, 44))
    paint(layer, coverage(stomach, 2.0), MUSCLE_HU)
    paint(layer, coverage(stomach - 4, 2.0), MEAL_HU + 12 * inside.mottle)
    level = -52 + 44 * patient.gas - y  # gas rises to the front
    paint(layer, coverage(np.minimum(stomach - 4, level), plane.soft_mm), GAS_HU)
    paint(hu[where], coverage(cavity, plane.soft_mm) * coverage(below, 4.0), layer)
