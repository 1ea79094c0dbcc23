"""From a CSV of studies to batches of lung slices, with no patient on both sides of a split."""

from deeppneumonia.datasets.manifest import Manifest, ManifestRow, join_manifests
from deeppneumonia.datasets.manifest_csv import read_manifest, write_manifest
from deeppneumonia.datasets.splits import Fold, grouped_folds, split_by_patient

__all__ = [
    "Fold",
    "Manifest",
    "ManifestRow",
    "grouped_folds",
    "join_manifests",
    "read_manifest",
    "split_by_patient",
    "write_manifest",
]
