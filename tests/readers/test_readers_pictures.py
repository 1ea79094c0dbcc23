"""PNG and JPEG slices: grey levels in the order of their names, and nothing more is pretended."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from deeppneumonia.domain import Unit
from deeppneumonia.errors import StudyError
from deeppneumonia.readers import NoStudyError, read_volume


def refused(path, match, error=StudyError):
    with pytest.raises(error, match=match):
        read_volume(path)


def slices(count=11):
    return [np.full((30, 20), 10 * n, np.uint8) for n in range(count)]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_pictures_are_grey_levels_in_the_natural_order_of_their_names(tmp_path, suffix):
    for number, picture in enumerate(slices()):
        cv2.imwrite(str(tmp_path / f"slice{number}.{suffix}"), picture)
    volume = read_volume(tmp_path)
    assert volume.unit is Unit.GREY and not volume.has_geometry
    assert [flag.code for flag in volume.flags] == ["no_geometry"]
    assert volume.array[:, 0, 0].tolist() == [10 * n for n in range(11)]
    assert volume.array.dtype == np.uint8 and volume.shape == (11, 30, 20)


def test_a_zip_of_pictures_is_read(tmp_path):
    (tmp_path / "in" / "slices").mkdir(parents=True)
    for number, picture in enumerate(slices()):
        cv2.imwrite(str(tmp_path / "in" / "slices" / f"{number}.png"), picture)
    volume = read_volume(Path(shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "in")))
    assert volume.array[:, 0, 0].tolist() == [10 * n for n in range(11)]


def test_one_picture_is_a_volume_of_one_slice_and_its_uid_is_its_content(tmp_path):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), slices()[3])
    first, second = read_volume(tmp_path / "a.png"), read_volume(tmp_path / "b.png")
    assert first.shape == (1, 30, 20)
    assert first.study.uid == second.study.uid and len(first.study.uid) == 64


def test_grey_in_three_channels_is_grey_and_colour_is_refused(tmp_path):
    grey = np.repeat(slices()[5][..., None], 3, axis=2)
    cv2.imwrite(str(tmp_path / "a.png"), grey)
    assert read_volume(tmp_path).slice(0)[0, 0] == 50
    grey[5:15, 5:15, 0] = 255
    cv2.imwrite(str(tmp_path / "a.png"), grey)
    with pytest.raises(StudyError, match=r"Picture 1 .* is a colour picture"):
        read_volume(tmp_path).slice(0)


def test_pictures_that_cannot_be_slices_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), slices()[0])
    cv2.imwrite(str(tmp_path / "b.png"), slices()[0].T)
    refused(tmp_path, "2 different sizes")
    cv2.imwrite(str(tmp_path / "b.png"), slices()[0].astype(np.uint16))
    refused(tmp_path, "Picture 2 .* has 16 bits a channel")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:-20])
    refused(tmp_path, "Picture 2 .* truncated")
    (tmp_path / "b.png").unlink()
    (tmp_path / "other").mkdir()
    cv2.imwrite(str(tmp_path / "other" / "c.png"), slices()[0])
    refused(tmp_path, "2 folders")


def test_damaged_pixels_show_when_the_picture_is_asked_for(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(1).integers(0, 255, (30, 20)))
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[60:90] = bytes(30)
    (tmp_path / "a.png").write_bytes(content)
    volume = read_volume(tmp_path)
    with pytest.raises(StudyError, match=r"Picture 1 .* damaged"):
        volume.slice(0)


def test_nothing_to_read_is_said(tmp_path):
    refused(tmp_path / "no", "There is nothing at", NoStudyError)
    refused(tmp_path, "No CT study was found in 0 files", NoStudyError)
    (tmp_path / "a.txt").write_text("x")
    refused(tmp_path / "a.txt", "in 1 file: expected a DICOM folder", NoStudyError)
