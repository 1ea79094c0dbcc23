"""The leak search: shared patients, identical files, and the same picture saved again."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK

from deeppneumonia.datasets import LeakReport, Manifest, find_leaks, join_manifests, read_manifest
from deeppneumonia.datasets.traces import find_traces, thumbnails_by_line
from deeppneumonia.phantoms import PhantomConfig, make_phantom
from deeppneumonia.phantoms.other_bodies import make_belly

HEADER = "path,patient_id,label,split\n"


def structure(seed: int) -> np.ndarray:
    """A smooth picture that no other seed resembles."""
    noise = np.random.default_rng(seed).normal(size=(12, 12))
    smooth = cv2.resize(noise, (200, 160), interpolation=cv2.INTER_CUBIC)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def manifest_of(folder: Path, pictures: dict[str, np.ndarray], lines: str) -> Manifest:
    for name, picture in pictures.items():
        cv2.imwrite(str(folder / name), picture)
    (folder / "manifest.csv").write_text(HEADER + lines)
    return read_manifest(folder / "manifest.csv", refuse_contradictions=False)


def leaks_of(manifest: Manifest) -> LeakReport:
    return find_leaks(manifest, thumbnails_by_line(find_traces(manifest)[0]))


def test_an_honest_split_is_clean(tmp_path: Path) -> None:
    pictures = {f"{seed}.png": structure(seed) for seed in range(6)}
    lines = "".join(
        f"{seed}.png,p{seed},covid,{'train' if seed < 3 else 'test'}\n" for seed in range(6)
    )
    report = leaks_of(manifest_of(tmp_path, pictures, lines))
    assert report.is_clean
    assert report.not_compared == ()


def test_of_a_long_scan_the_slices_with_lungs_are_looked_at(tmp_path: Path) -> None:
    shape = (60, 128, 128)  # 300 mm
    chest = make_phantom(PhantomConfig(label="covid", seed=1, shape=shape)).volume
    belly = make_belly(1, shape).array
    image = SimpleITK.GetImageFromArray(np.concatenate([belly, belly, chest.array]))
    image.SetSpacing(chest.spacing_mm[::-1])
    SimpleITK.WriteImage(image, str(tmp_path / "scan.mha"))
    traces, unreadable = find_traces(manifest_of(tmp_path, {}, "scan.mha,p,covid,train\n"))
    assert (len(traces), unreadable) == (5, ())
    assert sum(trace.lung_picture is not None for trace in traces) >= 2


def test_a_patient_in_two_splits_is_found(tmp_path: Path) -> None:
    pictures = {f"{seed}.png": structure(seed) for seed in range(2)}
    report = leaks_of(manifest_of(tmp_path, pictures, "0.png,p,covid,train\n1.png,p,covid,test\n"))
    (shared,) = report.shared_patients
    assert (shared.lines, shared.splits) == ((2, 3), ("test", "train"))
    assert not report.is_clean


def test_one_file_under_two_names_and_labels_is_found(tmp_path: Path) -> None:
    pictures = {"a.png": structure(1), "b.png": structure(1), "c.png": structure(2)}
    lines = "a.png,p,covid,train\nb.png,q,healthy,train\nc.png,r,covid,test\n"
    (found,) = leaks_of(manifest_of(tmp_path, pictures, lines)).identical
    assert (found.lines, found.patients, found.labels) == ((2, 3), 2, ("covid", "healthy"))


def test_one_file_twice_for_one_patient_is_no_leak(tmp_path: Path) -> None:
    pictures = {"a.png": structure(1), "b.png": structure(1)}
    lines = "a.png,p,covid,train\nb.png,p,covid,train\n"
    assert leaks_of(manifest_of(tmp_path, pictures, lines)).is_clean


@pytest.mark.parametrize("change", ["jpeg", "smaller", "brighter"])
def test_a_picture_saved_again_is_found_across_splits(tmp_path: Path, change: str) -> None:
    original = structure(1)
    again = {
        "jpeg": original,
        "smaller": cv2.resize(original, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        "brighter": (original * 0.8 + 30).astype(np.uint8),
    }[change]
    pictures = {"a.png": original, "again.jpg": again} | {
        f"{seed}.png": structure(seed) for seed in range(2, 30)
    }
    lines = "a.png,p,covid,train\nagain.jpg,q,covid,test\n" + "".join(
        f"{seed}.png,p{seed},covid,train\n" for seed in range(2, 30)
    )
    (found,) = leaks_of(manifest_of(tmp_path, pictures, lines)).near_identical
    assert (found.lines, found.splits) == ((2, 3), ("train", "test"))
    assert 0.995 <= found.correlation <= 1


def test_neighbouring_slices_of_one_patient_are_no_leak(tmp_path: Path) -> None:
    pictures = {"a.png": structure(1), "b.jpg": structure(1)}
    lines = "a.png,p,covid,train\nb.jpg,p,covid,train\n"
    assert leaks_of(manifest_of(tmp_path, pictures, lines)).is_clean


def test_what_could_not_be_compared_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "1.dcm").write_bytes(b"a")
    lines = "study,p,covid,train\nbroken.png,q,covid,test\nblank.png,r,covid,test\n"
    blank = np.full((50, 50), 7, np.uint8)
    report = leaks_of(manifest_of(tmp_path, {"blank.png": blank}, lines))
    assert report.not_compared == (2, 3, 4)


@pytest.mark.real_data
def test_real_training_patients_share_no_picture(real_data: Path) -> None:
    sets = [read_manifest(real_data / name / "manifest.csv") for name in ("song2021", "mosmed")]
    joined = join_manifests(sets)
    report = leaks_of(joined.with_rows(joined.rows[::12]))  # all of them take a minute
    assert report.near_identical == ()
    assert report.shared_patients == ()
