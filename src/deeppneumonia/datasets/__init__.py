"""From a CSV of studies to batches of lung slices, with no patient on both sides of a split."""

from typing import TYPE_CHECKING

from deeppneumonia.datasets.augmentation import AugmentConfig
from deeppneumonia.datasets.cache import (
    SliceCache,
    SliceEntry,
    SliceStatus,
    build_cache,
)
from deeppneumonia.datasets.leaks import LeakReport, find_leaks
from deeppneumonia.datasets.manifest import Manifest, ManifestRow, join_manifests
from deeppneumonia.datasets.manifest_csv import read_manifest, read_manifests, write_manifest
from deeppneumonia.datasets.splits import Fold, grouped_folds, split_by_patient

if TYPE_CHECKING:
    from deeppneumonia.datasets.dataset import SliceBatch, SliceLoader

__all__ = [
    "AugmentConfig",
    "Fold",
    "LeakReport",
    "Manifest",
    "ManifestRow",
    "SliceBatch",
    "SliceCache",
    "SliceEntry",
    "SliceLoader",
    "SliceStatus",
    "build_cache",
    "find_leaks",
    "grouped_folds",
    "join_manifests",
    "read_manifest",
    "read_manifests",
    "split_by_patient",
    "write_manifest",
]


def __getattr__(name: str) -> object:
    """The loader when it is first asked for: the processes that build a cache need no torch."""
    if name in ("SliceBatch", "SliceLoader"):
        from deeppneumonia.datasets import dataset

        return getattr(dataset, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
