"""Whatever stands in headers, geometry or a manifest: a value that can be used, or a refusal."""

import math
import string
from pathlib import Path

import honest_files
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword

from deeppneumonia.datasets.manifest_csv import read_manifest
from deeppneumonia.errors import ManifestError, StudyError
from deeppneumonia.readers import study
from deeppneumonia.readers.display import to_display
from deeppneumonia.readers.elements import KEYWORDS
from deeppneumonia.readers.geometry import stack_slices
from deeppneumonia.readers.limits import check_growth, check_voxels

WORDS = sorted({w for w in KEYWORDS.split() if "Sequence" not in w})
# A function-scoped folder is only ever overwritten; a busy machine makes no test slow.
CALM = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def with_element(keyword: str, vr: str, value: bytes) -> bytes:
    """The honest slice with one more element in front, or in place of its own."""
    content = honest_files.HONEST["explicit.dcm"]()
    tag = tag_for_keyword(keyword) or 0
    head = tag.to_bytes(4, "big")
    raw = head[1::-1] + head[:1:-1] + vr.encode() + len(value).to_bytes(2, "little") + value
    old = content.find(head[1::-1] + head[:1:-1], 132)
    if old < 0:
        return content[: 132 + 12] + content[132 + 12 :] + raw
    size = int.from_bytes(content[old + 6 : old + 8], "little")
    return content[:old] + raw + content[old + 8 + size :]


@CALM
@given(
    keyword=st.sampled_from(WORDS),
    vr=st.sampled_from(["DS", "IS", "US", "SS", "LO", "CS", "UI", "FD", "UN"]),
    value=st.one_of(
        st.binary(max_size=40),
        st.lists(st.floats(), max_size=6).map(lambda v: "\\".join(map(str, v)).encode()),
        st.lists(st.integers(-(10**12), 10**12), max_size=6).map(
            lambda v: "\\".join(map(str, v)).encode()
        ),
    ),
)
def test_any_value_of_any_element_is_read_or_refused(tmp_path, keyword, vr, value):
    file = tmp_path / "a.dcm"
    file.write_bytes(with_element(keyword, vr, value + b" " * (len(value) % 2)))
    try:
        volume = study.read_volume(file)
        hu = volume.slice(0)
    except StudyError:
        return
    assert np.isfinite(volume.affine).all() and np.isfinite(hu).all()
    assert hu.min() >= -1024


@CALM
@given(raw=st.binary(max_size=300), kind=st.sampled_from(["a.dcm", "a.nii", "a.png", "a.zip"]))
def test_any_bytes_are_read_or_refused(tmp_path, raw, kind):
    starts = {
        "a.dcm": bytes(128) + b"DICM",
        "a.nii": b"\x5c\x01\0\0",
        "a.png": b"\x89PNG\r\n\x1a\n",
        "a.zip": b"PK\x03\x04",
    }
    (tmp_path / kind).write_bytes(starts[kind] + raw)
    with pytest.raises(StudyError):
        study.read_volume(tmp_path / kind)


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@CALM
@given(
    positions=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=6),
    orientation=st.one_of(
        st.just((1.0, 0.0, 0.0, 0.0, 1.0, 0.0)), st.tuples(*[st.floats(-2, 2)] * 6)
    ),
    spacing=st.tuples(NUMBERS, NUMBERS),
)
def test_any_geometry_gives_an_affine_that_can_be_used_or_a_refusal(
    positions, orientation, spacing
):
    finite = all(math.isfinite(v) for v in (*spacing, *(v for p in positions for v in p)))
    try:
        with np.errstate(all="ignore"):
            stack = stack_slices(positions, orientation, spacing, 1.0)
            turn = to_display(stack.affine, (len(positions), 10, 10))
    except StudyError:
        return
    assert sorted(stack.order) == list(range(len(positions)))
    assert finite and np.isfinite(turn.affine).all()
    assert abs(np.linalg.det(turn.affine[:3, :3])) > 0


@CALM
@given(slices=st.integers(), rows=st.integers(), columns=st.integers(), packed=st.integers(0))
def test_what_passes_the_gate_is_small_enough(slices, rows, columns, packed):
    try:
        check_voxels(slices, rows, columns)
        check_growth(packed, slices * rows * columns)
    except StudyError:
        return
    assert 0 < slices * rows * columns <= min(2**32, max(2**28, 200 * packed))


@CALM
@given(
    text=st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.lists(st.text(string.printable, max_size=12), max_size=5).map(",".join), max_size=6
        ).map(lambda rows: "\n".join(["path,patient_id,label", *rows]).encode()),
    )
)
def test_any_manifest_is_read_or_refused(tmp_path, text):
    file: Path = tmp_path / "manifest.csv"
    file.write_bytes(text)
    try:
        manifest = read_manifest(file)
    except ManifestError:
        return
    assert all(row.patient_id and row.label for row in manifest.rows)
