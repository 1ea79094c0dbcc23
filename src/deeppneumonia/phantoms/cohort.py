"""A whole data set of phantom patients, with the manifest that training and evaluation read."""

import csv
import shutil
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from deeppneumonia.domain import Diagnosis
from deeppneumonia.files import replacing
from deeppneumonia.phantoms.config import DEFAULT_SHAPE, Phantom, PhantomConfig
from deeppneumonia.phantoms.synthesis import make_phantom
from deeppneumonia.phantoms.writers import (
    patient_id,
    write_dicom,
    write_lesion_mask,
    write_nifti,
    write_png,
)

COLUMNS = ("path", "patient_id", "label", "site", "lesion_mask")

LESIONS = "lesions"
"""Folder of the lesion masks beside the patients."""


class Form(StrEnum):
    """The files a cohort consists of."""

    DICOM = "dicom"
    NIFTI = "nifti"
    PNG = "png"


def write_cohort(
    folder: Path,
    *,
    per_label: int,
    first_seed: int = 0,
    shape: tuple[int, int, int] = DEFAULT_SHAPE,
    form: Form = Form.DICOM,
    labels: Sequence[Diagnosis] = tuple(Diagnosis),
    source_confound: bool = False,
) -> Path:
    """Write `per_label` phantom patients of each label and return the path of `manifest.csv`.

    Every patient has a seed of its own, counted on from `first_seed`, so no two share an anatomy.
    A lesion mask is a folder of pictures whatever the form; a healthy patient has none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(per_label * len(labels)):
        config = PhantomConfig(
            label=labels[number % len(labels)],
            seed=first_seed + number,
            shape=shape,
            source_confound=source_confound,
        )
        rows.append(_write_patient(make_phantom(config), folder, Form(form)))
    manifest = folder / "manifest.csv"
    with replacing(manifest) as whole, whole.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return manifest


def _write_patient(phantom: Phantom, folder: Path, form: Form) -> dict[str, str]:
    name = patient_id(phantom)
    for earlier in (folder / name, folder / LESIONS / name):  # perhaps of another form or size
        shutil.rmtree(earlier, ignore_errors=True)
    (folder / f"{name}.nii.gz").unlink(missing_ok=True)
    if form is Form.DICOM:
        path = write_dicom(phantom, folder / name)
    elif form is Form.NIFTI:
        path = write_nifti(phantom, folder / f"{name}.nii.gz")
    else:
        path = write_png(phantom, folder / name)
    mask = ""
    if phantom.lesion_mask.any():
        mask = write_lesion_mask(phantom, folder / LESIONS / name).relative_to(folder).as_posix()
    values = (path.name, name, str(phantom.label), "phantom", mask)
    return dict(zip(COLUMNS, values, strict=True))
