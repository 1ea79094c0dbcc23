"""Synthetic patients for trying the program: a cohort on disk, and who is who in it."""

from dataclasses import dataclass
from pathlib import Path

from deeppneumonia.datasets import read_manifest
from deeppneumonia.phantoms import Form, write_cohort


@dataclass(frozen=True, slots=True)
class PhantomPatient:
    """One synthetic study with its known answer."""

    path: Path
    label: str


def make_cohort(
    folder: Path,
    *,
    patients_per_label: int,
    first_seed: int,
    form: str,
    source_confound: bool = False,
) -> Path:
    """Write phantom patients of each label, with a manifest; returns the manifest's path.

    Args:
        folder: made where missing.
        patients_per_label: of healthy, covid and bacterial each.
        first_seed: the patients of a label have seeds from this one on.
        form: `dicom`, `nifti` or `png`.
        source_confound: give each label a scanner of its own, for `audit` to find.
    """
    return write_cohort(
        folder,
        per_label=patients_per_label,
        first_seed=first_seed,
        form=Form(form),
        source_confound=source_confound,
    )


def read_cohort(manifest: Path) -> tuple[PhantomPatient, ...]:
    """The patients of a cohort, in the order of its manifest."""
    found = read_manifest(manifest)
    return tuple(PhantomPatient(found.file(row), row.label) for row in found.rows)
