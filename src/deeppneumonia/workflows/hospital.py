"""A hospital's labelled patients as pictures, and as what a network's last layer makes of them."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.datasets import Manifest, build_cache
from deeppneumonia.datasets.cache import Progress
from deeppneumonia.datasets.splits import TEST
from deeppneumonia.datasets.traces import ROWS_PER_PROCESS
from deeppneumonia.errors import ManifestError
from deeppneumonia.files import replacing
from deeppneumonia.models import Network
from deeppneumonia.reports.wording import counted
from deeppneumonia.training.final_layer import Seen, read_pictures
from deeppneumonia.workflows.tuning import Slices


@dataclass(frozen=True, slots=True)
class Hospital:
    """A manifest's pictures, in the order of the cache."""

    manifest: Manifest
    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    patients: NDArray[np.str_]
    groups: NDArray[np.str_]
    test_patients: int = 0
    """Patients of the CSV who are not here, because its `split` keeps them for a test."""

    def slices(self, inputs: NDArray[np.floating]) -> Slices:
        """The same slices as the last layer is given them."""
        return Slices(inputs, self.labels, self.patients, self.groups)


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads pictures through a network once, and keeps what its last layer was given."""

    checkpoint: Checkpoint
    layer: str
    folder: Path
    progress: Progress | None

    def look(
        self,
        pictures: NDArray[np.uint8],
        how: str = "as it is",
        make: Callable[[], Network] | None = None,
    ) -> Seen:
        """What a network makes of pictures; kept in the folder from the first time on.

        Args:
            pictures: (n, side, side).
            how: names the network that reads them, for the folder.
            make: gives that network; the checkpoint's own when None.
        """
        facts = f"{self.checkpoint.sha256} {self.layer} {how} {pictures.shape}".encode()
        path = self.folder / f"seen-{sha256(facts + pictures.tobytes()).hexdigest()[:24]}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as known:
                return Seen(known["inputs"], known["features"])
        chosen = self.checkpoint.network if make is None else make()
        seen = read_pictures(chosen, self.layer, pictures, self.progress)
        with replacing(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, inputs=seen.inputs, features=seen.features)
        return seen


def without_test(manifest: Manifest) -> Manifest:
    """The rows whose split is not `test`: who shall judge a result has no part in making it.

    Raises:
        ManifestError: where none is left.
    """
    chosen = manifest.with_rows(row for row in manifest.rows if row.split != TEST)
    if not chosen.rows:
        raise ManifestError(
            f"Every row has split {TEST!r}, and nothing is fitted to test patients: name a "
            f"manifest with other patients, or empty its `split` to use these."
        )
    return chosen


def open_hospital(
    manifest: Manifest, checkpoint: Checkpoint, folder: Path, group: str | None,
    progress: Progress | None,
) -> Hospital:  # fmt: skip
    """The kept slices of a manifest.

    Raises:
        ManifestError: if no two labels are left, or the column of groups is missing or blank.
    """
    groups = _groups(manifest, group)  # before what takes time
    few = len(manifest.rows) < ROWS_PER_PROCESS
    config = checkpoint.metadata.preprocessing
    cache = build_cache(manifest, config, folder, progress, workers=1 if few else None)
    kept = cache.kept
    labels = np.array([checkpoint.metadata.classes.index(entry.label) for entry in kept], np.int64)
    if (count := len(set(labels.tolist()))) < 2:
        raise ManifestError(
            f"The manifest has usable slices of {counted(count, 'label')}, two or more are needed "
            f"to tell apart: add patients, or see `deeppneumonia evaluate` for reasons."
        )
    return Hospital(
        manifest=manifest,
        pictures=cache.pictures_of(kept),
        labels=labels,
        patients=np.array([entry.patient_id for entry in kept]),
        groups=np.array([groups[entry.patient_id] for entry in kept]),
    )


def _groups(manifest: Manifest, column: str | None) -> dict[str, str]:
    """Of each patient; one in two groups belongs to the first."""
    of_patient: dict[str, str] = {}
    for row in manifest.rows:
        known = {"site": row.site, "study_id": row.study_id, **row.extra}
        word = row.patient_id if column is None else known.get(column, "")
        if not word:
            raise ManifestError(
                f"Line {row.line} has no value in the column {column!r}, which --group names: "
                f"fill it in, or name another column: {', '.join(known)}."
            )
        of_patient.setdefault(row.patient_id, word)
    return of_patient


def patient_counts(hospital: Hospital, checkpoint: Checkpoint) -> dict[str, int]:
    """How many patients of each label have a usable slice."""
    words = checkpoint.metadata.classes.labels
    return {
        words[label]: len(set(hospital.patients[hospital.labels == label].tolist()))
        for label in sorted(set(hospital.labels.tolist()))
    }
