"""Phantoms keep values, geometry and truth on their way into files."""

import csv
import resource
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from deeppneumonia.domain import Diagnosis
from deeppneumonia.phantoms import (
    Form,
    Phantom,
    PhantomConfig,
    make_phantom,
    write_cohort,
    write_dicom,
    write_nifti,
    write_png,
)
from deeppneumonia.readers import read_volume

QUICK = (12, 128, 128)


@pytest.fixture(scope="module")
def sick() -> Phantom:
    return make_phantom(PhantomConfig(label=Diagnosis.COVID, seed=3, shape=QUICK))


@pytest.fixture(scope="module")
def series(sick: Phantom, tmp_path_factory: pytest.TempPathFactory) -> list[pydicom.Dataset]:
    """The slices as another reader finds them, in the order of their positions."""
    folder = write_dicom(sick, tmp_path_factory.mktemp("dicom") / "series")
    slices = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    return sorted(slices, key=lambda image: float(image.ImagePositionPatient[2]))


def test_a_dicom_series_gives_back_the_same_hu(
    sick: Phantom, series: list[pydicom.Dataset]
) -> None:
    read = [image.pixel_array * image.RescaleSlope + image.RescaleIntercept for image in series]
    assert np.array_equal(np.stack(read), sick.volume.array)


def test_a_dicom_series_has_the_geometry_of_the_volume(
    sick: Phantom, series: list[pydicom.Dataset]
) -> None:
    for index, image in enumerate(series):
        position = sick.volume.affine @ (index, 0, 0, 1)
        assert list(image.ImagePositionPatient) == pytest.approx(list(position[:3]), abs=1e-3)
        assert list(image.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
        assert list(image.PixelSpacing) == pytest.approx([2.8125, 2.8125])


def test_a_dicom_series_is_a_ct_that_says_it_is_synthetic(series: list[pydicom.Dataset]) -> None:
    first = series[0]
    assert first.SOPClassUID == CTImageStorage
    assert first.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert str(first.PatientName) == "PHANTOM^covid^3"
    assert first.BodyPartExamined == "CHEST"
    assert "ynthetic" in first.ImageComments
    assert len({image.SeriesInstanceUID for image in series}) == 1
    instances = {image.SOPInstanceUID for image in series}
    assert len(instances) == len(series)
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in instances)


def test_neither_names_nor_numbers_of_dicom_files_give_the_order(
    series: list[pydicom.Dataset],
) -> None:
    names = [Path(str(image.filename)).name for image in series]
    numbers = [int(image.InstanceNumber) for image in series]
    assert names not in (sorted(names), sorted(names, reverse=True))
    assert numbers not in (sorted(numbers), sorted(numbers, reverse=True))


def test_writing_twice_gives_the_same_bytes(sick: Phantom, tmp_path: Path) -> None:
    first, second = write_dicom(sick, tmp_path / "a"), write_dicom(sick, tmp_path / "b")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_another_toolkit_reads_the_series_as_one_volume(sick: Phantom, tmp_path: Path) -> None:
    folder = write_dicom(sick, tmp_path / "series")
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), sick.volume.array)
    assert image.GetSpacing() == pytest.approx((2.8125, 2.8125, 25))


def test_a_full_disk_is_told_in_one_line(sick: Phantom, tmp_path: Path) -> None:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, usual[1]))  # as full after a few blocks
    try:
        with pytest.raises(OSError) as failure:
            write_dicom(sick, tmp_path / "ct")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert failure.value.strerror == "File too large"


def test_nifti_keeps_hu_and_geometry(sick: Phantom, tmp_path: Path) -> None:
    image = SimpleITK.ReadImage(str(write_nifti(sick, tmp_path / "ct.nii.gz")))
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), sick.volume.array)
    assert image.GetSpacing() == pytest.approx((2.8125, 2.8125, 25))
    assert image.GetOrigin() == pytest.approx(tuple(sick.volume.affine[:3, 3]), abs=1e-3)


def test_pictures_show_the_lung_window_from_feet_to_head(sick: Phantom, tmp_path: Path) -> None:
    files = sorted(write_png(sick, tmp_path / "png").iterdir())
    pictures = np.stack([cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files])
    assert pictures.shape == QUICK and pictures.dtype == np.uint8
    hu = sick.volume.array
    assert set(pictures[hu == -600]) == {128}
    assert set(pictures[hu >= 150]) == {255}


@pytest.mark.parametrize("form", list(Form))
def test_a_cohort_lists_every_patient_once(form: Form, tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, per_label=1, first_seed=40, shape=(6, 64, 64), form=form)
    rows = list(csv.DictReader(manifest.open(encoding="utf-8")))
    assert [row["label"] for row in rows] == ["covid", "bacterial", "healthy"]
    assert len({row["patient_id"] for row in rows}) == 3
    for row in rows:
        assert (tmp_path / row["path"]).exists()
        assert row["site"] == "phantom"
        assert bool(row["lesion_mask"]) == (row["label"] != "healthy")
        assert (tmp_path / row["lesion_mask"]).exists()


def test_nothing_stays_of_an_earlier_cohort(tmp_path: Path) -> None:
    write_cohort(tmp_path, per_label=1, form=Form.NIFTI, shape=(5, 64, 64))
    for form, slices in ((Form.DICOM, 5), (Form.PNG, 6), (Form.DICOM, 4)):
        write_cohort(tmp_path, per_label=1, form=form, shape=(slices, 64, 64))
        for patient in tmp_path.glob("PHANTOM-*"):
            assert len(list(patient.iterdir())) == slices


def test_a_lesion_mask_lies_on_its_ct(tmp_path: Path) -> None:
    write_cohort(tmp_path, per_label=1, shape=QUICK, form=Form.NIFTI, labels=[Diagnosis.BACTERIAL])
    ct = SimpleITK.ReadImage(str(tmp_path / "PHANTOM-bacterial-0.nii.gz"))
    mask = read_volume(tmp_path / "lesions" / "PHANTOM-bacterial-0").array
    assert set(np.unique(mask)) == {0, 255}
    inside = SimpleITK.GetArrayFromImage(ct)[mask == 255]
    assert -50 < np.median(inside) < 60
