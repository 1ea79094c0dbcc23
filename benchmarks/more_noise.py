"""Patients as a scanner with less dose or a sharper kernel might have shown them: more noise.

    python benchmarks/more_noise.py --manifest split.csv --data DATA --level 8 --out noisy8
    deeppneumonia evaluate -c CHECKPOINT -m noisy8/manifest.csv --out scores/NAME

Writes each test picture again, with white Gaussian noise before anything looks for lungs. A grey
level of a lung window (1500 HU) is 6 HU. What lies around a picture that was cut to the lung stays
black. Masks are left behind.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.datasets import read_manifest, write_manifest

BLACK = 8
"""JPEG leaves up to so much around a lung that was cut out."""


def with_noise(
    grey: NDArray[np.uint8], level: float, *, is_cut: bool, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The picture (H, W) with noise of this standard deviation in grey levels."""
    noisy = np.round((grey + level * rng.standard_normal(grey.shape)).clip(0, 255))
    if is_cut:
        noisy = np.where(grey <= BLACK, grey, noisy)
    return noisy.astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="with a column `split`")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--level", type=float, required=True, help="in grey levels")
    parser.add_argument("--out", type=Path, required=True, help="gets pictures and manifest.csv")
    options = parser.parse_args()
    manifest = read_manifest(options.manifest, folder=options.data)
    rng, rows = np.random.default_rng(7), []
    for row in manifest.rows_of("test"):
        grey = cv2.imread(str(manifest.file(row)), cv2.IMREAD_GRAYSCALE)
        path = Path(row.path).with_suffix(".png")
        (options.out / path).parent.mkdir(parents=True, exist_ok=True)
        noisy = with_noise(grey, options.level, is_cut=row.lung_masked, rng=rng)
        cv2.imwrite(str(options.out / path), noisy)
        rows.append(replace(row, path=path.as_posix(), lung_mask="", lesion_mask=""))
    noisy_rows = replace(manifest.with_rows(rows), folder=options.out)
    write_manifest(noisy_rows, options.out / "manifest.csv")
    print(f"{len(rows)} pictures in {options.out}")


if __name__ == "__main__":
    main()
