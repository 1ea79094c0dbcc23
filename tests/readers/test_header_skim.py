"""Headers that are skimmed say what pydicom reads in them, for every kind of damage and oddity."""

from collections.abc import Callable, Iterator
from pathlib import Path

import honest_files
import hostile_files
import pytest
from ramp_ct import ORIGIN, ct_slice, save
from readable import READABLE, Readable

from deeppneumonia.errors import StudyError
from deeppneumonia.readers import headers
from deeppneumonia.readers.skim import FIRST_BYTES, skim

Found = tuple[headers.SliceHeader, ...] | str
HEADERS = [
    hostile_files.cut_short,
    hostile_files.flipped,
    hostile_files.evil_values,
    hostile_files.polyglots,
]


def headers_of(file: Path) -> Found:
    try:
        return headers.read_headers(file)
    except (StudyError, RecursionError) as refusal:
        return f"{type(refusal).__name__}: {refusal}"


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], tuple[Found, Found]]:
    """What is read of a file as it is done, and by pydicom alone."""

    def read(file: Path) -> tuple[Found, Found]:
        quickly = headers_of(file)
        with monkeypatch.context() as patched:
            patched.setattr(headers, "skim", lambda _: None)
            return quickly, headers_of(file)

    return read


@pytest.mark.parametrize("name", ["explicit.dcm", "implicit.dcm"])
def test_a_usual_slice_is_skimmed(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(honest_files.HONEST[name]())
    found = skim(file)
    assert found is not None
    assert found.get_item(0x0020000D).value.strip(b"\0 ") == b"1.2.3"


@pytest.mark.parametrize("name", ["big.dcm", "deflated.dcm", "enhanced.dcm", "slice.png"])
def test_any_other_file_is_left_to_pydicom(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(honest_files.HONEST[name]())
    assert skim(file) is None


def test_a_long_header_is_read_to_its_end(tmp_path: Path) -> None:
    slice_ = ct_slice(ORIGIN)
    slice_.private_block(0x0009, "VENDOR", create=True).add_new(1, "OB", bytes(3 * FIRST_BYTES))
    (file,) = save([slice_], tmp_path / "long").iterdir()
    found = skim(file)
    assert found is not None and found.get_item(0x00280010).value


@pytest.mark.parametrize("one", READABLE, ids=lambda one: one.name)
def test_awkward_series_have_the_headers_that_pydicom_reads(
    one: Readable, both: Callable[[Path], tuple[Found, Found]], tmp_path: Path
) -> None:
    one.write(tmp_path)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            quickly, slowly = both(file)
            assert quickly == slowly, file.name


@pytest.mark.parametrize("family", HEADERS, ids=lambda family: family.__name__)
def test_damaged_files_have_the_headers_that_pydicom_reads(
    family: Callable[[], Iterator[hostile_files.Attack]],
    both: Callable[[Path], tuple[Found, Found]],
    tmp_path: Path,
) -> None:
    skimmed = 0
    for name, make in family():
        file = tmp_path / Path(name).name
        file.write_bytes(make())
        quickly, slowly = both(file)
        assert quickly == slowly, name
        skimmed += file.suffix == ".dcm" and skim(file) is not None
    assert skimmed > 0
