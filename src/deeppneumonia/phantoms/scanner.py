"""The scanner round the patient: table, reconstruction kernel, correlated noise, slice grid."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deeppneumonia.domain import Diagnosis
from deeppneumonia.phantoms.config import FIELD_MM, PhantomConfig
from deeppneumonia.phantoms.shapes import Field, coverage, paint

AIR_HU = -1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """How one scanner turns densities into a picture."""

    blur_mm: float
    """Standard deviation of the reconstruction kernel."""

    sharpening: float
    """Weight of the edge enhancement of a lung kernel, 0 to 1."""

    noise_hu: float
    """Standard deviation of the noise inside the body."""

    offset_hu: float
    """Error of the calibration, added to everything but the air outside."""

    table_mm: float
    """How far below the middle of the field the table lies."""

    @classmethod
    def of(cls, config: PhantomConfig) -> "Scanner":
        """The scanner of a phantom: by the seed alone, or by the label too when confounded."""
        rng = np.random.default_rng([config.seed, 2])
        scanner = cls(
            blur_mm=rng.uniform(0.42, 0.62),
            sharpening=rng.uniform(0.1, 0.5),
            noise_hu=rng.uniform(10, 30),
            offset_hu=rng.uniform(-4, 4),
            table_mm=rng.uniform(4, 9),
        )
        return _FINGERPRINTS[config.label](scanner) if config.source_confound else scanner


_FINGERPRINTS = {
    Diagnosis.COVID: lambda s: Scanner(
        blur_mm=0.38,
        sharpening=0.8,
        noise_hu=24 + s.noise_hu / 6,
        offset_hu=14,
        table_mm=s.table_mm,
    ),
    Diagnosis.BACTERIAL: lambda s: Scanner(
        blur_mm=0.8, sharpening=0.0, noise_hu=5 + s.noise_hu / 6, offset_hu=-10, table_mm=s.table_mm
    ),
    Diagnosis.HEALTHY: lambda s: Scanner(
        blur_mm=0.55, sharpening=0.3, noise_hu=13 + s.noise_hu / 6, offset_hu=0, table_mm=s.table_mm
    ),
}


def grid_mm(shape: tuple[int, int, int]) -> tuple[NDArray[np.float64], Field, Field]:
    """Centres of the voxels: z (slices,), x (1, columns), y (rows, 1), in mm of the field."""
    slices, rows, columns = shape
    z = (np.arange(slices) + 0.5) * FIELD_MM[0] / slices
    y = (np.arange(rows, dtype=np.float32) + 0.5) * (FIELD_MM[1] / rows) - FIELD_MM[1] / 2
    x = (np.arange(columns, dtype=np.float32) + 0.5) * (FIELD_MM[2] / columns) - FIELD_MM[2] / 2
    return z, x[None, :], y[:, None]


def smooth_noise(
    rng: np.random.Generator, config: PhantomConfig, scale_mm: float
) -> NDArray[np.float32]:
    """Random field over the whole phantom, mean 0, deviation 1, in patches of about `scale_mm`.

    Returns:
        (slices, rows, columns) on a grid coarser than the phantom's; see `enlarge`.
    """
    step_mm = max(scale_mm / 3, config.spacing_mm[1])
    shape = (config.shape[0], *(round(side / step_mm) for side in FIELD_MM[1:]))
    noise = rng.standard_normal(shape, np.float32)
    sigma = (scale_mm / 2 / config.spacing_mm[0], *(scale_mm / 2 / step_mm,) * 2)
    noise = ndimage.gaussian_filter(noise, sigma, mode="wrap", truncate=3)
    return np.asarray(noise / noise.std(), np.float32)


def enlarge(picture: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """One slice of a coarse field at (rows, columns) of the phantom."""
    grown = cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown, np.float32)


def paint_table(hu: Field, x: Field, y: Field, top_mm: float, soft_mm: float) -> None:
    """Paint the table of one slice: a mattress line and two thin shells, lowest in the middle."""
    bow = x * x / 900
    for below, half_mm, value in ((-2.5, 0.8, -860.0), (0.0, 0.9, -120.0), (26.0, 1.1, 60.0)):
        line = half_mm - np.abs(y - (top_mm + below - bow))
        paint(hu, coverage(line, max(soft_mm, 1.0)) * (np.abs(x) < 172), value)
    filling = np.minimum(y - (top_mm + 1 - bow), top_mm + 25 - bow - y)
    paint(hu, coverage(filling, soft_mm) * (np.abs(x) < 172) * 0.5, -960.0)


def _blur(picture: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)


def reconstruct(
    hu: Field, body: Field, scanner: Scanner, pixel_mm: float, rng: np.random.Generator
) -> NDArray[np.int16]:
    """The picture that the scanner makes of one slice of densities.

    Args:
        hu: (rows, columns), the densities.
        body: (rows, columns), depth below the skin in mm.
    """
    sigma = max(scanner.blur_mm / pixel_mm, 0.3)
    picture = _blur(hu.astype(np.float32), sigma)
    picture += scanner.sharpening * (picture - _blur(picture, 2 * sigma))
    inside = coverage(body, 6.0)
    noise = _blur(rng.standard_normal(hu.shape, np.float32), sigma)
    noise -= 0.5 * _blur(noise, 2.5 * sigma)
    noise *= scanner.noise_hu / noise.std() * (0.5 + 0.5 * inside)
    picture += noise + scanner.offset_hu * inside
    return np.asarray(picture.round().clip(-1024, 3071), np.int16)
