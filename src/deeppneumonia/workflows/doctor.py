"""Is this installation able to do its work? Each part is tried, not just looked up."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from deeppneumonia.domain import Status
from deeppneumonia.readers import protection
from deeppneumonia.workflows.diagnose import Diagnoser
from deeppneumonia.workflows.phantoms import make_cohort
from deeppneumonia.workflows.releases import release_name


@dataclass(frozen=True, slots=True)
class Finding:
    """What came out of one check."""

    check: str
    ok: bool
    detail: str


def examine_installation() -> tuple[Finding, ...]:
    """Try libraries, decoders, the reading process, the default model and a phantom, in turn."""
    checks: dict[str, Callable[[], str]] = {
        "libraries": _libraries,
        "compressed DICOM": _decoders,
        "reading of studies": protection,
        "default model": _default_model,
        "a phantom patient": _phantom,
    }
    return tuple(_try(name, check) for name, check in checks.items())


def _try(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except Exception as error:  # a doctor reports every illness, whatever its name
        return Finding(name, False, f"{type(error).__name__}: {error}")


def _libraries() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ("torch", "pydicom", "simpleitk"))


def _decoders() -> str:
    from pydicom import uid
    from pydicom.pixels import get_decoder  # type: ignore[attr-defined]

    needed = {
        "JPEG Lossless": uid.JPEGLosslessSV1,
        "JPEG-LS": uid.JPEGLSLossless,
        "JPEG 2000": uid.JPEG2000Lossless,
        "RLE": uid.RLELossless,
        "HTJ2K": uid.HTJ2KLossless,
    }
    missing = [name for name, syntax in needed.items() if not get_decoder(syntax).is_available]
    if missing:
        raise RuntimeError(f"no decoder for {', '.join(missing)}: run make setup again")
    return ", ".join(needed)


def _default_model() -> str:
    loaded = Diagnoser.load()
    name = release_name(loaded.identity.sha256) or loaded.identity.name
    return f"{name}, sha256 {loaded.identity.sha256[:12]}"


def _phantom() -> str:
    with tempfile.TemporaryDirectory() as folder:
        manifest = make_cohort(Path(folder), patients_per_label=1, first_seed=0, form="dicom")
        study = next(manifest.parent.glob("PHANTOM-*"))  # not the folder of their lesions
        diagnosis = Diagnoser.load().diagnose(study)
    if diagnosis.status is Status.REFUSED:
        raise RuntimeError(f"a phantom patient was refused: {' '.join(diagnosis.reasons)}")
    return f"{diagnosis.status} in {diagnosis.timing_s['total']:.1f} s"
