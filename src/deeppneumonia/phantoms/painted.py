"""Pneumonia painted into a real slice of healthy lungs, whose lesions are known exactly then.

A drawn chest teaches a network what drawn lungs look like. Here everything but the lesion is
real, and the healthy slice itself stays beside it, so nothing but the lesion tells them apart:
no scanner, no export, no person. The patterns are those of `covid` and `bacterial`, as far as one
slice in grey levels shows them.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import Diagnosis
from deeppneumonia.phantoms.shapes import Field

LUNGS_WIDTH_MM = 280.0
"""From side to side, both lungs of an adult: pictures do not say how large their pixels are."""

LEAST_SEEN = 0.09
"""A pixel is lesion where it has come so far from its own grey to that of soft tissue, 0 to 1."""

USUAL = 0.75
"""So many lesions sit where the disease likes to, below the pleura and behind; others anywhere."""


def paint_lesions(
    grey: NDArray[np.uint8], lung: NDArray[np.bool_], label: Diagnosis, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A slice with the lesions of a disease, and where they are.

    A healthy one is painted too: with the faint density that gravity brings to the back of every
    lung, which is no lesion.

    Args:
        grey: (rows, columns), a healthy slice with air dark.
        lung: (rows, columns), at least one pixel true.
        label: what to paint.
        rng: another state gives other lesions.
    """
    lungs = _Lungs.of(grey, lung)
    amount = np.zeros(grey.shape, np.float32)
    if label is Diagnosis.HEALTHY or rng.random() < 0.2:
        amount = lungs.gravity(rng)
    lesion = np.zeros_like(amount)
    if label is not Diagnosis.HEALTHY:
        lesion = lungs.covered(_patches(label, lungs, rng), rng)
        amount = np.maximum(amount, lesion)
    return lungs.blended(amount, rng), (lesion > LEAST_SEEN) & lung


@dataclass(frozen=True, slots=True)
class _Patch:
    """One lesion: an ellipse that lies flat against the pleura, in pixels."""

    x: float
    y: float
    normal: NDArray[np.float64]
    """Unit vector (x, y) from the pleura into the lung."""

    deep: float
    wide: float
    density: float
    """At the centre, from 0 for lung to 1 for soft tissue."""

    fuzz: float
    """Width of the edge, as a share of the radius."""


@dataclass(frozen=True, slots=True)
class _Lungs:
    """A slice, and where in its lungs a lesion may lie."""

    grey: Field
    lung: NDArray[np.bool_]
    px_per_mm: float
    depth_mm: Field
    """(rows, columns): below the surface of the lung; 0 outside."""

    inward: Field
    """(rows, columns): the angle that leads away from the nearest pleura, from x towards y."""

    soft: float
    """Grey of soft tissue."""

    @classmethod
    def of(cls, grey: NDArray[np.uint8], lung: NDArray[np.bool_]) -> "_Lungs":
        px_per_mm = max(float(np.ptp(np.flatnonzero(lung.any(axis=0)))), 1) / LUNGS_WIDTH_MM
        mask = lung.astype(np.uint8)
        depth_px = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_5)
        rim = (cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0) & ~lung
        wall = grey[rim & (grey > np.median(grey[lung]))]  # none where a picture is cut to the lung
        soft = float(np.median(wall)) if wall.size else float(np.percentile(grey[lung], 99))
        depth_mm = np.asarray(depth_px / px_per_mm, np.float32)
        smooth = cv2.GaussianBlur(depth_mm, (0, 0), max(4 * px_per_mm, 0.5))
        inward = np.arctan2(*np.gradient(smooth))
        return cls(grey.astype(np.float32), lung, px_per_mm, depth_mm, inward, soft)

    def place(self, rng: np.random.Generator) -> tuple[int, int]:
        """Row and column where a lesion may begin."""
        rows, columns = np.nonzero(self.lung)
        back = (rows - rows.mean()) / (2 * rows.std() + 1e-6)
        likely = np.exp(-self.depth_mm[rows, columns] / 12 + 1.2 * back)
        chance = USUAL * likely / likely.sum() + (1 - USUAL) / len(rows)
        chosen = rng.choice(len(rows), p=chance)
        return int(rows[chosen]), int(columns[chosen])

    def normal(self, row: int, column: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(x, y): away from the nearest pleura, give or take 20 degrees."""
        angle = self.inward[row, column] + rng.normal(0, 0.35)
        return np.array([np.cos(angle), np.sin(angle)])

    def noise(self, size_mm: float, rng: np.random.Generator) -> Field:
        """(rows, columns): mean 0, deviation 1, in patches of about that size."""
        raw = rng.standard_normal(self.grey.shape, np.float32)
        blurred = cv2.GaussianBlur(raw, (0, 0), max(size_mm * self.px_per_mm, 0.3))
        found: Field = (blurred - blurred.mean()) / (blurred.std() + 1e-6)
        return found

    def covered(self, patches: list[_Patch], rng: np.random.Generator) -> Field:
        """How far all patches together bring each pixel to soft tissue, 0 to 1."""
        ragged, mottled, fine = (self.noise(mm, rng) for mm in (7.0, 2.5, 1.0))
        amount = np.zeros_like(self.grey)
        rows, columns = np.indices(self.grey.shape, np.float32)
        for patch in patches:
            x, y = columns - patch.x, rows - patch.y
            deep = (x * patch.normal[0] + y * patch.normal[1]) / patch.deep
            wide = (y * patch.normal[0] - x * patch.normal[1]) / patch.wide
            level = np.sqrt(deep**2 + wide**2) + 0.25 * ragged + 0.15 * mottled
            share = ((1 - level) / patch.fuzz + 0.5).clip(0, 1)
            amount = np.maximum(amount, share * patch.density)
        paving = rng.uniform(0, 0.5) * (rng.random() < 0.4) * np.exp(-((mottled / 0.3) ** 2))
        texture = 1 + rng.uniform(0, 0.35) * mottled + rng.uniform(0, 0.3) * fine + 0.2 * ragged
        amount = (amount * (texture + paving)).clip(0, 0.98).astype(np.float32)
        sharp = cv2.GaussianBlur(amount, (0, 0), max(0.5 * self.px_per_mm, 0.3))
        return np.where(self.lung, sharp, 0)

    def gravity(self, rng: np.random.Generator) -> Field:
        """The same of lung that lies lowest and is pressed together."""
        rows = np.flatnonzero(self.lung.any(axis=1))
        back = (np.arange(len(self.lung)) - rows.mean()) / (0.5 * np.ptp(rows) + 1)
        near = np.exp(-self.depth_mm / rng.uniform(5, 15))
        found: Field = rng.uniform(0.03, 0.12) * back.clip(0, 1)[:, None] * near
        return np.where(self.lung, found, 0).astype(np.float32)

    def blended(self, amount: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
        """The slice with each pixel brought that far to soft tissue; vessels stay, noise stays."""
        detail = self.grey - cv2.GaussianBlur(self.grey, (0, 0), 1.5)
        own = detail[self.lung & (np.abs(detail) < 25)]  # without vessels
        grain = cv2.GaussianBlur(rng.standard_normal(self.grey.shape, np.float32), (0, 0), 0.7)
        lost = np.sqrt(1 - (1 - amount) ** 2) * (own.std() if own.size else 0.0)
        painted = self.grey + amount * (self.soft - self.grey).clip(min=0)
        painted += 0.8 * lost * grain / grain.std()
        whole: NDArray[np.uint8] = np.round(painted.clip(0, 255)).astype(np.uint8)
        return whole


def _patches(label: Diagnosis, lungs: _Lungs, rng: np.random.Generator) -> list[_Patch]:
    """COVID-19: some to many, mostly ground glass. Bacterial: a few, larger and mostly solid."""
    if label is Diagnosis.COVID:
        solid = 0.45 * rng.uniform()
        sizes = rng.uniform(0.45, 1.6, min(int(rng.geometric(0.35)), 9))
    else:
        solid = 0.8
        sizes = rng.uniform(1.2, 3.0, int(rng.integers(1, 4)))
    return [_patch(size, solid, lungs, rng) for size in sizes]


def _patch(size: float, solid: float, lungs: _Lungs, rng: np.random.Generator) -> _Patch:
    row, column = lungs.place(rng)
    scale = size * lungs.px_per_mm
    return _Patch(
        x=column,
        y=row,
        normal=lungs.normal(row, column, rng),
        deep=7 * scale * rng.uniform(0.7, 1.5),
        wide=12 * scale * rng.uniform(0.7, 1.6),
        density=rng.uniform(0.45, 0.98) if rng.random() < solid else rng.uniform(0.12, 0.45),
        fuzz=rng.uniform(0.2, 0.8),
    )
