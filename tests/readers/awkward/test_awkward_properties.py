"""The same scan gives the same numbers, however it is stored; headers alone turn nothing over."""

import copy
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import encodings_of_ct as encode
import numpy as np
import volume_files
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from ramp_ct import AXIAL, ORIGIN, ROW_MM, chest, ct_slice, grid, ramp, save

from deeppneumonia.domain import ArraySource, Volume
from deeppneumonia.phantoms import PhantomConfig, make_phantom
from deeppneumonia.preprocessing import examine
from deeppneumonia.readers import read_volume

FEW = settings(deadline=None, max_examples=25, derandomize=True)


def read_back(slices: list[Dataset]) -> Volume:
    """Written in the order given, and read while the files are there."""
    with tempfile.TemporaryDirectory() as folder:
        volume = read_volume(save(slices, Path(folder)))
        return replace(volume, pixels=ArraySource(volume.array))


@cache
def plain() -> Volume:
    return read_back(chest())


def assert_same(found: Volume, known: Volume) -> None:
    np.testing.assert_array_equal(found.array, known.array)
    np.testing.assert_allclose(found.affine, known.affine, atol=1e-4)
    assert found.unit == known.unit


@FEW
@given(order=st.permutations(range(12)), numbers=st.lists(st.integers(0, 99), min_size=12))
def test_neither_the_order_of_files_nor_their_numbers_matter(
    order: list[int], numbers: list[int]
) -> None:
    slices = chest()
    for dataset, number in zip(slices, numbers, strict=False):
        dataset.InstanceNumber = number
    assert_same(read_back([slices[i] for i in order]), plain())


@FEW
@given(
    syntax=st.sampled_from(
        [uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.ImplicitVRLittleEndian,
         uid.DeflatedExplicitVRLittleEndian]
    ),
    values=st.integers(0, 2**32 - 1),
    signed=st.booleans(),
)  # fmt: skip
def test_every_lossless_transfer_syntax_gives_every_value_back(
    syntax: uid.UID, values: int, signed: bool
) -> None:
    """Noise over all 16 bits, which no predictor can guess."""
    rng = np.random.default_rng(values)
    (single,) = chest(1, signed=signed, intercept=0)
    low, high = (-32768, 32768) if signed else (0, 65536)
    stored = rng.integers(low, high, (40, 48)).astype("<i2" if signed else "<u2")
    single.PixelData = stored.tobytes()
    single.RescaleSlope, single.RescaleIntercept = 0.5, -100
    other = copy.deepcopy(single)
    if syntax.is_compressed and syntax != uid.DeflatedExplicitVRLittleEndian:
        encode.packed([other], syntax)
    else:
        other.file_meta.TransferSyntaxUID = syntax
    known = np.maximum(stored.astype(float) * 0.5 - 100, -1024)
    for dataset in (single, other):
        np.testing.assert_array_equal(read_back([dataset]).array[0], known)


@FEW
@given(
    bits=st.integers(11, 16),
    signed=st.booleans(),
    slope=st.sampled_from([0.5, 1, 2]),
    intercept=st.sampled_from([0, -1024, -1000, -8192]),
)
def test_the_same_hu_are_read_from_any_storage(
    bits: int, signed: bool, slope: float, intercept: int
) -> None:
    """Even HU, so that a slope of 2 holds them; stored in as many bits as they need."""
    hu = 2 * np.round(ramp(grid(plain().affine, (1, 40, 48)))[0] / 2)
    stored = (hu - intercept) / slope
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    assume(low <= stored.min() and stored.max() < high)
    (dataset,) = chest(1)
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()
    if bits < 16:
        encode.stored_as([dataset], bits)
    np.testing.assert_array_equal(read_back([dataset]).array[0], hu)


def test_eight_and_sixteen_bits_hold_the_same_hu() -> None:
    """Values that eight bits can hold: every fourth HU."""
    coarse = chest()
    for dataset in coarse:
        hu = np.frombuffer(dataset.PixelData, np.uint16).astype(int) - 1024
        dataset.PixelData = (4 * np.round(hu / 4) + 1024).astype("<u2").tobytes()
    wide = read_back(copy.deepcopy(coarse))
    assert_same(read_back(encode.in_eight_bits(coarse)), wide)


def flipped(slices: list[Dataset], rows: bool, columns: bool, swap: bool) -> list[Dataset]:
    """The same picture of the same patient, stored with other rows and columns."""
    for dataset in slices:
        pixels = np.frombuffer(dataset.PixelData, np.uint16).reshape(dataset.Rows, dataset.Columns)
        along, down = (np.array(dataset.ImageOrientationPatient[i : i + 3]) for i in (0, 3))
        down_mm, along_mm = map(float, dataset.PixelSpacing)
        place = np.array(dataset.ImagePositionPatient, float)
        if rows:
            pixels, place, down = pixels[::-1], place + down * down_mm * (len(pixels) - 1), -down
        if columns:
            place = place + along * along_mm * (pixels.shape[1] - 1)
            pixels, along = pixels[:, ::-1], -along
        if swap:
            pixels, along, down, along_mm, down_mm = pixels.T, down, along, down_mm, along_mm
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
        dataset.ImageOrientationPatient = [float(v) for v in (*along, *down)]
        dataset.ImagePositionPatient = [float(v) for v in place]
        dataset.PixelSpacing = [down_mm, along_mm]
    return slices


@FEW
@given(rows=st.booleans(), columns=st.booleans(), swap=st.booleans())
def test_a_turned_picture_with_a_turned_header_is_the_same_scan(
    rows: bool, columns: bool, swap: bool
) -> None:
    assert_same(read_back(flipped(chest(), rows, columns, swap)), plain())


@FEW
@given(
    orientation=st.sampled_from(
        [AXIAL, (-1, 0, 0, 0, 1, 0), (1, 0, 0, 0, -1, 0), (-1, 0, 0, 0, -1, 0), (0, 1, 0, 1, 0, 0)]
    ),
    turn_deg=st.floats(-4, 4),
    upwards=st.booleans(),
)
def test_turning_the_header_alone_moves_values_to_where_the_header_says(
    orientation: tuple[float, ...], turn_deg: float, upwards: bool
) -> None:
    """The same bytes under another header: each value lies where that header places it."""
    cosine, sine = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    along, down = turn @ orientation[:3], turn @ orientation[3:]
    slices = chest()
    for index, dataset in enumerate(slices):
        dataset.ImageOrientationPatient = [round(float(v), 8) for v in (*along, *down)]
        dataset.ImagePositionPatient = [*ORIGIN[:2], 3.0 * index * (1 if upwards else -1)]
    by_place = {}
    for dataset in slices:
        pixels = np.frombuffer(dataset.PixelData, np.uint16).astype(int).reshape(40, 48) - 1024
        for row, column in ((0, 0), (0, 47), (39, 0), (39, 47), (7, 31)):
            place = np.array(dataset.ImagePositionPatient, float)
            place = place + along * column + down * ROW_MM * row
            by_place[tuple(np.round(place, 3))] = pixels[row, column]
    volume = read_back(slices)
    back = np.linalg.inv(volume.affine)
    array = volume.array
    for place, hu in by_place.items():
        index = back @ (*place, 1)
        assert np.abs(index - np.round(index)).max() < 0.01
        assert array[tuple(np.round(index[:3]).astype(int))] == hu


@FEW
@given(
    axes=st.permutations((0, 1, 2)),
    flips=st.tuples(*[st.booleans()] * 3),
    form=st.sampled_from(["nifti", "meta_image", "nrrd"]),
)
def test_the_same_scan_is_the_same_volume_in_every_format(
    axes: list[int], flips: tuple[bool, ...], form: str
) -> None:
    affine, size = volume_files.placed(axes, flips)
    suffix = {"nifti": "nii", "meta_image": "mha", "nrrd": "nrrd"}[form]
    with tempfile.TemporaryDirectory() as folder:
        file = getattr(volume_files, form)(Path(folder) / f"a.{suffix}", affine=affine, size=size)
        assert_same(read_volume(file), plain())


def as_sagittal(volume: Volume) -> list[Dataset]:
    """The voxels of an axial volume as sagittal slices, rows from head to feet."""
    hu: NDArray[np.int16] = volume.array
    between, down, along = volume.spacing_mm
    slices = []
    for column in range(hu.shape[2]):
        top = volume.affine @ (hu.shape[0] - 1, 0, column, 1)
        dataset = ct_slice((0, 0, 0), (0, 1, 0, 0, 0, -1))
        dataset.ImagePositionPatient = [round(float(v), 6) for v in top[:3]]
        dataset.PixelSpacing, dataset.SliceThickness = [between, down], along
        dataset.Rows, dataset.Columns = hu.shape[0], hu.shape[1]
        picture = np.ascontiguousarray(hu[::-1, :, column]).astype(int) + 1024
        dataset.PixelData = picture.astype("<u2").tobytes()
        slices.append(dataset)
    return slices


def test_a_chest_gives_the_same_pictures_whatever_plane_it_was_stored_in() -> None:
    phantom = make_phantom(PhantomConfig(label="covid", seed=3, shape=(12, 128, 128)))
    turned = read_back(as_sagittal(phantom.volume))
    np.testing.assert_array_equal(turned.array, phantom.volume.array)
    known, found = examine(phantom.volume).kept, examine(turned).kept
    assert len(known) >= 4
    for mine, theirs in zip(found, known, strict=True):
        np.testing.assert_array_equal(mine.picture, theirs.picture)
        assert mine.frame == theirs.frame
