"""Coverage-guided fuzzing of everything that reads a study in Python: `make fuzz`.

The first byte of an input chooses the kind of file, the rest is its content. A finding is any
error that is no StudyError: what the reading process would have to call unforeseen. Volumes that
SimpleITK reads and the decoders of compressed pixels are left out, because a crash in C ends the
fuzzer at once; there the bounded child process stands, and `benchmarks/hostile_files.py`.

    python fuzz/fuzz_readers.py -max_total_time=60

A finding is kept as a file in tests/readers/hostile/regressions/, where it is a test from then on.
"""

import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["deeppneumonia.readers", "pydicom.filereader"]):
    from deeppneumonia.readers import messages, study
from deeppneumonia.errors import StudyError

ROOT = Path(__file__).parents[1]
REGRESSIONS = ROOT / "tests" / "readers" / "hostile" / "regressions"
MEMORY_BYTES = 1 << 30
KINDS = ("a.dcm", "a.nii", "a.nii.gz", "a.png", "a.jpg", "a.zip", "a", "said")
"""File names by the first byte of an input; `said` is what a child process answers."""

PLACE = ROOT / "fuzz" / "work"
"""Emptied at the start, because libFuzzer leaves without a word."""


def try_input(raw: bytes) -> None:
    """One input; returns quietly when it is read or refused."""
    if not raw:
        return
    kind = KINDS[raw[0] % len(KINDS)]
    try:
        if kind == "said":
            messages.volume_heard(messages.unpack(raw[1:]), NO_PIXELS, (PLACE,))
            return
        file = PLACE / kind
        file.write_bytes(raw[1:])
        volume = study.read_volume(file)
        if kind.endswith((".nii", ".gz")):
            volume.slice(0)
    except (StudyError, MemoryError, RecursionError):  # the two that the reading process names
        pass


class _NoPixels:
    shape = (1, 1, 1)

    def read(self, index: int) -> object:
        raise NotImplementedError(index)


NO_PIXELS = _NoPixels()


def seeds() -> Path:
    """The honest files, as inputs."""
    sys.path.insert(0, str(ROOT / "tests" / "readers" / "hostile"))
    import honest_files

    shutil.rmtree(PLACE, ignore_errors=True)
    folder = PLACE / "seeds"
    folder.mkdir(parents=True)
    tempfile.tempdir = str(PLACE)
    for name, make in honest_files.HONEST.items():
        suffixes = "".join(Path(name).suffixes)
        kind = next((k for k in KINDS if k.endswith(suffixes) and suffixes), "")
        if kind:
            (folder / name).write_bytes(bytes([KINDS.index(kind)]) + make())
    honest = PLACE / "honest.dcm"
    honest.write_bytes(honest_files.HONEST["explicit.dcm"]())
    said = messages.pack(messages.volume_said(study.read_volume(honest)))
    (folder / "said").write_bytes(bytes([KINDS.index("said")]) + said)
    return folder


def main() -> None:
    REGRESSIONS.mkdir(exist_ok=True)
    corpus = seeds()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # libraries talk; libFuzzer reports on stderr
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (3 * MEMORY_BYTES, hard))
    arguments = [*sys.argv, f"-artifact_prefix={REGRESSIONS}/", "-timeout=10", "-max_len=16384"]
    atheris.Setup([*arguments, "-rss_limit_mb=4096", str(corpus)], try_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
