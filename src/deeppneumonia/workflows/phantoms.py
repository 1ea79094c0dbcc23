"""Synthetic patients for trying the program: a cohort on disk."""

import csv
from collections.abc import Sequence
from pathlib import Path

from deeppneumonia.domain import Diagnosis
from deeppneumonia.errors import ConfigError
from deeppneumonia.phantoms import DEFAULT_SHAPE, Form, write_cohort


def make_cohort(
    folder: Path,
    *,
    patients_per_label: int,
    first_seed: int,
    form: str,
    slices: int = DEFAULT_SHAPE[0],
    labels: Sequence[str] = tuple(Diagnosis),
    source_confound: bool = False,
) -> Path:
    """Write phantom patients of each label, with a manifest; returns the manifest's path.

    Args:
        folder: made where missing.
        patients_per_label: of each label.
        first_seed: patients have seeds from this one on, the labels taking turns.
        form: `dicom`, `nifti` or `png`.
        slices: of each patient; the field stays the same.
        labels: what the patients have; all of `covid`, `bacterial`, `healthy` unless named.
        source_confound: give each label a scanner of its own, for `audit` to find.

    Raises:
        ConfigError: if the manifest of patients that we did not make lies there.
    """
    refuse_to_replace_people(folder)
    return write_cohort(
        folder,
        per_label=patients_per_label,
        first_seed=first_seed,
        form=Form(form),
        shape=(slices, *DEFAULT_SHAPE[1:]),
        labels=[Diagnosis(label) for label in labels],
        source_confound=source_confound,
    )


def refuse_to_replace_people(folder: Path) -> None:
    """ConfigError where a folder's `manifest.csv`, which ours would replace, is not one of ours."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        return
    from deeppneumonia.workflows.prepare import MADE_SITES  # loads torch: only when needed

    with manifest.open(newline="", encoding="utf-8", errors="replace") as file:
        sites = {row.get("site") for row in csv.DictReader(file)}
    if not sites <= set(MADE_SITES):
        raise ConfigError(
            f"{manifest} lists patients that were not made by this command, and would be replaced: "
            f"name a folder of its own with --out."
        )
