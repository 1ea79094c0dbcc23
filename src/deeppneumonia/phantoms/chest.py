"""The chest wall: outline, fat, muscle and bones round the cavity that holds the lungs."""

import numpy as np

from deeppneumonia.phantoms.patient import Patient
from deeppneumonia.phantoms.shapes import (
    Field,
    Height,
    Point,
    along,
    coverage,
    ellipse,
    paint,
    smooth_max,
    tube,
)

SKIN_HU, FAT_HU, MUSCLE_HU, CARTILAGE_HU = 20.0, -105.0, 52.0, 110.0
RIB_PITCH_MM, VERTEBRA_PITCH_MM = 26.0, 25.0

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


def paint_wall(
    hu: Field, patient: Patient, x: Field, y: Field, z: float, mottle: Field, soft_mm: float
) -> Field:
    """Paint skin, fat and muscle of one slice over air; returns the depth inside the skin.

    Args:
        hu: (rows, columns) of air, changed in place.
        mottle: (rows, columns), smooth noise around 0 that breaks up the muscle.
    """
    depth = body_depth(patient, x, y, z)
    ring = -cavity_depth(x, y, z)
    paint(hu, coverage(depth, soft_mm), SKIN_HU)
    paint(hu, coverage(depth - 2, soft_mm), FAT_HU + 6 * mottle)
    cover = patient.fat_mm * (1 - 0.45 * (y / 100).clip(-0.3, 1)) + 2 + 1.5 * mottle
    paint(hu, coverage(depth - cover, soft_mm), MUSCLE_HU + 5 * mottle)
    for plane in (13.0, 24.0):
        gap = 1.3 + 1.2 * mottle - np.abs(ring - plane - 3 * mottle)
        paint(hu, coverage(gap, 2 * soft_mm) * (depth > cover + 4), FAT_HU)
    return depth


def paint_bones(hu: Field, patient: Patient, x: Field, y: Field, z: float, soft_mm: float) -> None:
    """Paint ribs, spine, sternum and shoulder girdle of one slice."""
    _paint_ribs(hu, patient, x, y, z, soft_mm)
    _paint_spine(hu, patient, x, y, z, soft_mm)
    girdle = [_sternum(x, y, z)] if 95 < z < 240 else []
    if z > 165:
        girdle.append(_shoulder(np.abs(x), y, z))
    for depth in girdle:
        _paint_bone(hu, depth, patient.bone, soft_mm)


def _paint_bone(hu: Field, depth: Field, density: float, soft_mm: float) -> None:
    paint(hu, coverage(depth, soft_mm), 780 * density)
    paint(hu, coverage(depth - 1.8, soft_mm), 210 * density)


def _paint_ribs(hu: Field, patient: Patient, x: Field, y: Field, z: float, soft_mm: float) -> None:
    if z > 272:
        return
    ring = -cavity_depth(x, y, z)
    front = ((75 - y) / 150).clip(0, 1)  # 0 at the spine, 1 at the sternum
    turn = (z + 78 * front + 9 * (x > 0)) / RIB_PITCH_MM
    rise = (turn - np.round(turn)) * RIB_PITCH_MM
    depth = 3.9 * (1 - np.sqrt((rise / 6.2) ** 2 + ((ring - 6) / 3.9) ** 2))
    depth = np.minimum(depth, (np.abs(x) - 22) * 0.5)
    bony = coverage(0.86 - front, 0.04)
    paint(hu, coverage(depth, soft_mm) * (1 - bony), CARTILAGE_HU)
    paint(hu, coverage(depth, soft_mm) * bony, 780 * patient.bone)
    paint(hu, coverage(depth - 1.6, soft_mm) * bony, 230 * patient.bone)


def _paint_spine(hu: Field, patient: Patient, x: Field, y: Field, z: float, soft_mm: float) -> None:
    side = np.abs(x)
    level = z / VERTEBRA_PITCH_MM % 1.0
    arch = [((13.0, 68.0), (14.0, 76.0), 4.5), ((14.0, 77.0), (2.0, 87.0), 3.2),
            ((0.0, 86.0), (0.0, 94.0), 3.0)]  # fmt: skip
    if 0.25 < level < 0.7:
        arch += [((14.0, 76.0), (33.0, 82.0), 3.8), ((20.0, 66.0), (36.0, 74.0), 3.6)]
    bone = ellipse(x, y - 56, 17.5, 14.5, 0.3)
    if level < 0.14:  # between two vertebrae lies a disc
        paint(hu, coverage(bone, soft_mm), 85.0)
        bone = np.full_like(bone, -9.0)
    for (x0, y0), (x1, y1), radius in arch:
        bone = np.maximum(bone, tube(side, y, 0.0, (x0, y0, 0), (x1, y1, 0), radius))
    _paint_bone(hu, bone, patient.bone, soft_mm)
    canal = ellipse(x, y - 76, 9.0, 7.5)
    paint(hu, coverage(canal, soft_mm), -20.0)
    paint(hu, coverage(canal - 2.5, soft_mm), 32.0)


def _sternum(x: Field, y: Field, z: float) -> Field:
    front = along(z, CAVITY_MIDDLE) - along(z, CAVITY_DEPTH) - 7
    return ellipse(x, y - front, along(z, ((100, 13), (190, 17), (215, 27), (235, 24))), 6.0, 0.4)


def _shoulder(side: Field, y: Field, z: float) -> Field:
    """Scapula, collar bone and head of the arm bone; `side` is the distance from the middle."""
    drop = (262 - z) / 90  # 0 at the top of the shoulder blade, 1 at its tip
    blade = [((84 + 6 * drop, 84.0 - 6 * drop), (122 - 18 * drop, 62 - 4 * drop), 2.6)]
    if z > 225:
        blade += [((108.0, 70.0), (132.0, 78.0), 3.2), ((122.0, 62.0), (140.0, 40.0), 6.0)]
    depth = np.full(np.broadcast_shapes(side.shape, y.shape), -99.0, side.dtype)
    if z < 285:
        for (x0, y0), (x1, y1), radius in blade:
            depth = np.maximum(depth, tube(side, y, 0.0, (x0, y0, 0), (x1, y1, 0), radius))
    collar: tuple[Point, Point] = (18.0, -44.0, 240.0), (128.0, 2.0, 272.0)
    depth = np.maximum(depth, tube(side, y, z, *collar, 6.0))
    head = 23 - np.sqrt((side - 158) ** 2 + (y - 32) ** 2 + (z - 272) ** 2)
    return smooth_max(depth, head, 2.0)
