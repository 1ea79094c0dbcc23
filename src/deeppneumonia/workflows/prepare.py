"""From manifests to pictures: join, split by patient, cut to the lungs, cache."""

from collections import Counter
from collections.abc import Collection, Sequence
from math import isclose
from pathlib import Path

from deeppneumonia.datasets import (
    Manifest,
    SliceCache,
    build_cache,
    join_manifests,
    read_manifest,
    read_manifests,
    split_by_patient,
    write_manifest,
)
from deeppneumonia.datasets.cache import Progress
from deeppneumonia.errors import ConfigError, ManifestError
from deeppneumonia.workflows.recipes import DataConfig, Recipe

PARTS = ("train", "validation", "test")

PHANTOM_SITE, PAINTED_SITE = "phantom", "painted"
"""The sites of whom `deeppneumonia phantom` makes: drawn whole, or painted into healthy people."""

MADE_SITES = (PHANTOM_SITE, PAINTED_SITE)
"""Who comes from them is nobody, and does not count among patients."""


def split_manifest(
    path: Path, out: Path, *, seed: int, fractions: tuple[float, float, float] = (0.6, 0.1, 0.3)
) -> dict[str, dict[str, int]]:
    """Write a manifest with its patients divided; returns patients per part and label.

    Args:
        path: of the manifest.
        out: the CSV to write.
        seed: a recipe with this `split_seed` and these fractions divides the manifest alike.
        fractions: shares of train, validation and test, together 1; a part may have none.

    Raises:
        ManifestError: if patients are not named, contradict each other, or are too few.
        ConfigError: if the fractions are not what they must be.
    """
    if min(fractions) < 0 or not isclose(sum(fractions), 1):
        raise ConfigError(
            f"The fractions are {', '.join(map(str, fractions))}, and none may be negative and "
            "together they must make 1: try 0.6 0.1 0.3."
        )
    divided = _dealt(read_manifest(path), fractions, seed)
    write_manifest(divided, out)
    return patients_by_part(divided)


def patients_by_part(manifest: Manifest) -> dict[str, dict[str, int]]:
    """How many patients of each label each part holds; parts in the order of PARTS."""
    whose = {(row.split, row.label, row.patient_id) for row in manifest.rows}
    counts = Counter((part, label) for part, label, _ in whose)
    labels = sorted({label for _, label in counts})
    return {
        part: {label: counts[part, label] for label in labels}
        for part in PARTS
        if any(counts[part, label] for label in labels)
    }


def read_divided(data: DataConfig, folder: Path, classes: tuple[str, ...]) -> Manifest:
    """The manifests of a recipe as one, divided by patient as the recipe says.

    Each manifest is divided by itself, so that its patients stay where they are when another
    manifest joins. A manifest whose rows all have a `split` keeps it.

    Raises:
        ManifestError: if a manifest cannot be trusted, their labels do not fit the classes, or one
            has a `split` in some of these classes' rows only.
    """
    manifests = read_manifests([folder / name for name in data.manifests])
    wanted = [
        manifest.with_rows(row for row in manifest.rows if row.label in classes)
        for manifest in manifests
    ]
    check_classes(classes, {row.label for manifest in manifests for row in manifest.rows})
    return join_manifests(
        [
            _divided(manifest, name, data)
            for name, manifest in zip(data.manifests, wanted, strict=True)
            if manifest.rows
        ]
    )


def check_classes(classes: Collection[str], labels: Collection[str]) -> None:
    """Refuse labels of manifests that do not fit the classes to be told apart.

    Further labels are nobody's mistake: their rows are left out.

    Raises:
        ManifestError: if a class has no row, or a label is one but for capital letters.
    """
    check_spelling(classes, labels)
    if missing := set(classes) - set(labels):
        raise ManifestError(
            f"The manifests hold no {' and no '.join(sorted(missing))}, which is to be told apart, "
            f"but {', '.join(sorted(labels))}: name other classes or another manifest."
        )


def check_spelling(classes: Collection[str], labels: Collection[str]) -> None:
    """Refuse a label that is a class but for capital letters.

    Its rows would be left out without a remark, or be a class of their own.
    """
    for label in sorted(labels):
        for known in classes:
            if label != known and label.lower() == known.lower():
                raise ManifestError(
                    f"Some rows have the label {label!r}, and {known!r} is a class: write both "
                    f"alike."
                )


def _divided(manifest: Manifest, name: str, data: DataConfig) -> Manifest:
    blank = [row for row in manifest.rows if not row.split]
    if not blank:
        return manifest
    if len(blank) < len(manifest.rows):  # dealt anew, test patients would be trained on
        raise ManifestError(
            f"Line {blank[0].line} of the manifest {name} has no split and other lines have one, "
            "where either all lines or none must: fill it in, or empty the whole column to have "
            "the patients divided anew."
        )
    return _dealt(manifest, data.fractions, data.split_seed)


def _dealt(manifest: Manifest, fractions: Sequence[float], seed: int) -> Manifest:
    parts = [part for part in zip(fractions, PARTS, strict=True) if part[0] > 0]
    return split_by_patient(
        manifest,
        fractions=[fraction for fraction, _ in parts],
        seed=seed,
        names=[name for _, name in parts],
    )


def prepare_cache(
    recipe: Recipe, data: Path, folder: Path, *, progress: Progress | None = None
) -> SliceCache:
    """Cut every slice of a recipe's manifests to the lungs; goes on where it was stopped."""
    manifest = read_divided(recipe.data, data, recipe.classes.labels)
    return build_cache(manifest, recipe.preprocessing, folder, progress)
