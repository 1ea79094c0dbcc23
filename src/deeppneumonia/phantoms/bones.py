"""The bones of the chest: ribs with their cartilage, spine, breastbone and shoulder girdle."""

import numpy as np

from deeppneumonia.phantoms.chest import CAVITY_DEPTH, CAVITY_MIDDLE
from deeppneumonia.phantoms.patient import Patient
from deeppneumonia.phantoms.plane import Plane
from deeppneumonia.phantoms.shapes import (
    Field,
    Point,
    along,
    coverage,
    ellipse,
    paint,
    smooth_max,
    tube,
)

CARTILAGE_HU, CORTEX_HU, SPONGY_HU, DISC_HU, CORD_HU = 110.0, 780.0, 220.0, 85.0, 32.0
RIB_PITCH_MM, VERTEBRA_PITCH_MM = 26.0, 25.0

Bar = tuple[tuple[float, float], tuple[float, float], float]
"""A bar of bone in the plane of the slice: (x, y) of both ends, half thickness; mm."""


def paint_bones(hu: Field, patient: Patient, plane: Plane) -> None:
    """Paint all bones of one slice, in place."""
    _paint_ribs(hu, patient, plane)
    middle, where = plane.part(45 - np.abs(plane.x))
    if middle.x.size:
        _paint_spine(hu[where], patient, middle)
        if 95 < plane.z < 240:
            _paint_bone(hu[where], _sternum(middle), patient, middle)
    if plane.z > 165:
        _paint_bone(hu, _shoulder(plane), patient, plane)


def _paint_bone(hu: Field, depth: Field, patient: Patient, plane: Plane) -> None:
    spongy = SPONGY_HU + 25 * plane.mottle
    paint(hu, coverage(depth, plane.soft_mm), CORTEX_HU * patient.bone)
    paint(hu, coverage(depth - 1.8, plane.soft_mm), spongy * patient.bone)


def _paint_ribs(hu: Field, patient: Patient, plane: Plane) -> None:
    """Ribs run round the cavity and sink towards the front, so a slice cuts several of them."""
    if plane.z > 272:
        return
    soft = plane.soft_mm
    front = ((75 - plane.y) / 150).clip(0, 1)  # 0 at the spine, 1 at the sternum
    turn = (plane.z + 78 * front + 9 * (plane.x > 0)) / RIB_PITCH_MM
    rise = (turn - np.round(turn)) * RIB_PITCH_MM
    depth = 3.9 * (1 - np.sqrt((rise / 6.2) ** 2 + ((plane.cavity + 6) / 3.9) ** 2))
    depth = np.minimum(depth, (np.abs(plane.x) - 22) * 0.5)
    bony = coverage(0.86 - front, 0.04)
    paint(hu, coverage(depth, soft) * (1 - bony), CARTILAGE_HU)
    paint(hu, coverage(depth, soft) * bony, CORTEX_HU * patient.bone)
    paint(hu, coverage(depth - 1.6, soft) * bony, SPONGY_HU * patient.bone)


def _paint_spine(hu: Field, patient: Patient, plane: Plane) -> None:
    level = plane.z / VERTEBRA_PITCH_MM % 1.0
    arch: list[Bar] = [
        ((13.0, 68.0), (14.0, 76.0), 4.5),
        ((14.0, 77.0), (2.0, 87.0), 3.2),
        ((0.0, 86.0), (0.0, 94.0), 3.0),
    ]
    if 0.25 < level < 0.7:  # transverse process and head of the rib
        arch += [((14.0, 76.0), (33.0, 82.0), 3.8), ((20.0, 66.0), (36.0, 74.0), 3.6)]
    body = ellipse(plane.x, plane.y - 56, 17.5, 14.5, 0.3)
    if level < 0.14:  # between two vertebrae lies a disc
        paint(hu, coverage(body, plane.soft_mm), DISC_HU)
        body = np.full_like(body, -9.0)
    bone = np.maximum(body, _bars(arch, np.abs(plane.x), plane.y))
    _paint_bone(hu, bone, patient, plane)
    canal = ellipse(plane.x, plane.y - 76, 9.0, 7.5)
    paint(hu, coverage(canal, plane.soft_mm), -20.0)
    paint(hu, coverage(canal - 2.5, plane.soft_mm), CORD_HU)


def _bars(bars: list[Bar], side: Field, y: Field) -> Field:
    """Depth inside any of the bars; `side` is the distance from the middle."""
    depths = [tube(side, y, 0.0, (*start, 0.0), (*end, 0.0), half) for start, end, half in bars]
    deepest: Field = np.maximum.reduce(depths)
    return deepest


def _sternum(plane: Plane) -> Field:
    front = along(plane.z, CAVITY_MIDDLE) - along(plane.z, CAVITY_DEPTH) - 7
    half_width = along(plane.z, ((100, 13), (190, 17), (215, 27), (235, 24)))
    return ellipse(plane.x, plane.y - front, half_width, 6.0, 0.4)


def _shoulder(plane: Plane) -> Field:
    """Depth inside shoulder blade, collar bone and head of the arm bone."""
    side, y, z = np.abs(plane.x), plane.y, plane.z
    drop = (262 - z) / 90  # 0 at the top of the shoulder blade, 1 at its tip
    blade: list[Bar] = [((84 + 6 * drop, 84 - 6 * drop), (122 - 18 * drop, 62 - 4 * drop), 2.6)]
    if z > 225:
        blade += [((108.0, 70.0), (132.0, 78.0), 3.2), ((122.0, 62.0), (140.0, 40.0), 6.0)]
    depth = _bars(blade, side, y) if z < 285 else np.full_like(side, -99.0)
    if z > 230:
        collar: tuple[Point, Point] = (18.0, -44.0, 240.0), (128.0, 2.0, 272.0)
        depth = np.maximum(depth, tube(side, y, z, *collar, 6.0))
        head = 23 - np.sqrt((side - 158) ** 2 + (y - 32) ** 2 + (z - 272) ** 2)
        depth = smooth_max(depth, head, 2.0)
    return depth
