"""The checkpoints that ship with the package, with their hashes: what `load("default")` means."""

import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from deeppneumonia.checkpoint import Checkpoint, load_checkpoint, read_metadata
from deeppneumonia.errors import CheckpointError
from deeppneumonia.files import home_folder, replacing, sha256_of

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Release:
    """One checkpoint file that we stand behind, as far as its model card goes."""

    name: str
    file: str
    sha256: str
    card: str
    """Model card, from the root of the repository."""

    @property
    def path(self) -> Path:
        """Where the file lies: in the installed package, or else in the home folder."""
        shipped = Path(str(files("deeppneumonia"))) / "release" / self.file
        return shipped if shipped.is_file() else home_folder() / "models" / self.file


RELEASES: tuple[Release, ...] = (
    Release(
        name="drenet-6",
        file="drenet-6.safetensors",
        sha256="2cc947225d550331c3d425cfc72fce33bd9ef53baf2c6c4606c1e8945d9d7371",
        card="docs/models/drenet-6.md",
    ),
)


def find_release(name: str) -> Release | None:
    """The release with this name; `default` is the first. None when there is no such release."""
    if name == DEFAULT:
        return RELEASES[0]
    return next((release for release in RELEASES if release.name == name), None)


def release_name(sha256: str) -> str:
    """The name of the release that has this hash; empty when none has."""
    return next((release.name for release in RELEASES if release.sha256 == sha256), "")


def open_checkpoint(name_or_path: str | Path | None = None) -> Checkpoint:
    """Load a released checkpoint by name (verified by hash) or any checkpoint by its path.

    Raises:
        CheckpointError: if it is missing, damaged or not what was released.
    """
    release = find_release(_word(name_or_path))
    expected = None if release is None else release.sha256
    return load_checkpoint(checkpoint_file(name_or_path), expected_sha256=expected)


def engine_folder(name_or_path: str | Path | None = None) -> Path:
    """Where the engine of a checkpoint lies, if one was made: beside it, under its name.

    Raises:
        CheckpointError: if the name is not known.
    """
    return checkpoint_file(name_or_path).with_suffix(".openvino")


def checkpoint_file(name_or_path: str | Path | None) -> Path:
    """The file that a name or path stands for; CheckpointError if the name is not known."""
    name = _word(name_or_path)
    release = find_release(name)
    if release is not None:
        return release.path
    imported = home_folder() / "models" / f"{name}.safetensors"
    if imported.is_file():
        return imported
    if name and (Path(name).suffix or Path(name).exists()):
        return Path(name)
    brought = (file.stem for file in _imported())
    known = ", ".join([DEFAULT, *(release.name for release in RELEASES), *brought])
    raise CheckpointError(
        f"There is no model named {name!r}: the names are {known}; or give the path of a "
        f".safetensors checkpoint."
    )


def _word(name_or_path: str | Path | None) -> str:
    return DEFAULT if name_or_path is None else str(name_or_path)


def _imported() -> list[Path]:
    """The files in the model folder that are no release's."""
    released = {release.file for release in RELEASES}
    files = sorted((home_folder() / "models").glob("*.safetensors"))
    return [file for file in files if file.name not in released]


def survey() -> list[dict[str, Any]]:
    """Every model with a name: name, classes, sha256, card, and whether its file is whole.

    An imported one has no card, and is whole where its content has the hash that it states.
    """
    released = [
        {
            "name": release.name,
            "default": release == RELEASES[0],
            "classes": list(read_metadata(release.path).classes.labels) if whole else [],
            "sha256": release.sha256,
            "card": release.card,
            "verified": whole,
        }
        for release in RELEASES
        for whole in [release.path.is_file() and sha256_of(release.path) == release.sha256]
    ]
    return [*released, *map(_facts_of_imported, _imported())]


def _facts_of_imported(file: Path) -> dict[str, Any]:
    try:
        found = load_checkpoint(file)
        classes, sha256 = list(found.metadata.classes.labels), found.sha256
    except CheckpointError:
        classes, sha256 = [], sha256_of(file)
    return {
        "name": file.stem, "default": False, "classes": classes,
        "sha256": sha256, "card": None, "verified": bool(classes),
    }  # fmt: skip


def import_checkpoint(file: Path) -> Path:
    """Check a checkpoint and copy it into the home folder, under its own file name.

    Raises:
        CheckpointError: if it is no checkpoint, or another of that name is already there.
    """
    load_checkpoint(file)
    if file.suffix != ".safetensors":
        raise CheckpointError(
            f"{file.name} must end in .safetensors to be found again by its name: rename it."
        )
    release = find_release(file.stem)
    if release is not None and sha256_of(file) != release.sha256:
        raise CheckpointError(
            f"{file.stem!r} is the name of a released model, and this is not its file: rename it."
        )
    target = home_folder() / "models" / file.name
    if target.exists() and sha256_of(target) != sha256_of(file):
        raise CheckpointError(
            f"Another model named {file.name} is already imported: rename the new file first."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as unfinished:
        shutil.copyfile(file, unfinished)
    return target
