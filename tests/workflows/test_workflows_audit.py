"""The audit of a manifest: a confound is found where there is one, and nowhere else."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from deeppneumonia.domain import Diagnosis
from deeppneumonia.errors import ManifestError
from deeppneumonia.phantoms import Form, write_cohort
from deeppneumonia.workflows.audit import audit_manifest

COVID, HEALTHY = Diagnosis.COVID, Diagnosis.HEALTHY


def phantoms(folder: Path, *, confounded: bool, form: Form = Form.PNG, per_label: int = 6) -> Path:
    return write_cohort(
        folder,
        per_label=per_label,
        shape=(4, 128, 128),
        form=form,
        labels=[COVID, HEALTHY],
        source_confound=confounded,
    )


def given_away(found: dict) -> set[str]:
    making = {name: g for name, g in found["guesses"].items() if g["seen"] == "making"}
    return {name for name, guess in making.items() if guess["gives_away"]}


def test_a_source_confound_is_found_in_the_pictures_themselves(tmp_path: Path) -> None:
    found = audit_manifest(phantoms(tmp_path / "data", confounded=True), tmp_path / "out")
    assert {"grey scale", "background"} <= given_away(found)
    assert not found["clean"]
    assert found["headline"].startswith("The label can be guessed from grey scale and background")
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "A network may learn this instead of the disease" in page
    assert page.count("<img ") >= 8, "bands are shown with pictures"


def test_the_same_patients_on_scanners_of_all_kinds_are_clean(tmp_path: Path) -> None:
    found = audit_manifest(phantoms(tmp_path / "data", confounded=False), tmp_path / "out")
    assert given_away(found) == set()
    assert found["clean"], found["findings"]
    assert found["guesses"]["background"]["auc"]["value"] is not None
    assert "same for every row" in found["guesses"]["site name"]["how"]
    assert json.loads((tmp_path / "out" / "audit.json").read_text()) == found


def test_scanner_tags_of_dicom_are_guessed_from(tmp_path: Path) -> None:
    import pydicom

    manifest = phantoms(tmp_path, confounded=False, form=Form.DICOM, per_label=3)
    for file in tmp_path.glob("PHANTOM-covid-*/*"):
        dataset = pydicom.dcmread(file)
        dataset.ConvolutionKernel = "B70f"
        dataset.save_as(file)
    found = audit_manifest(manifest, tmp_path / "out")
    tags = found["guesses"]["scanner tags"]
    assert tags["auc"]["value"] is not None
    assert {"band": "B70f", "patients": {"covid": 3, "healthy": 0}} in tags["bands"]


def picture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(12, 12))
    smooth = cv2.resize(noise, (128, 128), interpolation=cv2.INTER_CUBIC)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def written(folder: Path, lines: str, pictures: int = 4) -> Path:
    for seed in range(pictures):
        cv2.imwrite(str(folder / f"{seed}.png"), picture(seed))
    manifest = folder / "manifest.csv"
    manifest.write_text("path,patient_id,label,split,site\n" + lines)
    return manifest


def test_leaks_and_contradictions_are_listed_by_line_and_shown(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "again.jpg"), picture(0))
    lines = (
        "0.png,secret-a,covid,train,x\n1.png,secret-b,covid,train,x\n"
        "2.png,secret-b,healthy,test,x\n3.png,secret-c,healthy,test,x\n"
        "again.jpg,secret-d,healthy,test,x\n"
    )
    found = audit_manifest(written(tmp_path, lines), tmp_path / "out")
    assert found["leaks"]["shared_patients"][0]["lines"] == (3, 4)
    (alike,) = found["leaks"]["near_identical"]
    assert (alike["lines"], alike["labels"]) == ((2, 6), ("covid", "healthy"))
    assert found["leaks"]["label_conflicts"] == [[3, 4], [2, 6]]
    assert "1 patient is in more than one split" in " ".join(found["findings"])
    page = (tmp_path / "out" / "audit.html").read_text()
    assert re.search(r"correlation (1|0\.99)", page) and "line 6, healthy" in page
    assert "secret" not in page + json.dumps(found)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("0.png,a,covid,,x\n1.png,b,covid,,y\n", "has the label 'covid', two are needed"),
        ("0.png,a,covid,,x\n1.png,b,healthy,,y\n", "label 'covid' has one patient"),
        ("0.png,a,covid,,\n1.png,b,healthy,,\n2.png,c,covid,,\n3.png,d,healthy,,\n", "no row has"),
    ],
    ids=["one class", "one patient", "no site"],
)
def test_a_manifest_that_is_too_small_says_which_part_is_not_done(
    tmp_path: Path, lines: str, reason: str
) -> None:
    found = audit_manifest(written(tmp_path, lines), tmp_path / "out")
    assert any(sentence.startswith("site name:") and reason in sentence
               for sentence in found["not_done"])  # fmt: skip
    assert "What could not be done" in (tmp_path / "out" / "audit.html").read_text()


def test_a_manifest_of_which_nothing_could_be_measured_is_not_called_clean(tmp_path: Path) -> None:
    found = audit_manifest(
        written(tmp_path, "0.png,a,covid,,\n1.png,b,healthy,,\n"), tmp_path / "out"
    )
    assert found["clean"] is None
    assert len(found["not_done"]) == len(found["guesses"])
    page = (tmp_path / "out" / "audit.html").read_text()
    assert '<span class="status unmeasured">not measured</span>' in page
    assert "Nothing was found that should not be" not in page


def test_two_labels_of_one_patient_are_not_called_a_leak_between_sides(tmp_path: Path) -> None:
    lines = "0.png,a,covid,train,\n1.png,a,healthy,train,\n"
    found = audit_manifest(written(tmp_path, lines), tmp_path / "out")
    assert found["headline"] == "Labels contradict each other."
    lines = "0.png,a,covid,train,\n1.png,a,healthy,test,\n"
    found = audit_manifest(written(tmp_path, lines), tmp_path / "out")
    assert found["headline"].endswith("patients or pictures stand on both sides.")


def test_a_leak_is_found_even_where_nothing_could_be_measured(tmp_path: Path) -> None:
    lines = "0.png,a,covid,train,\n1.png,a,covid,test,\n"
    found = audit_manifest(written(tmp_path, lines), tmp_path / "out")
    assert found["clean"] is False
    assert '<span class="status found">found</span>' in (tmp_path / "out/audit.html").read_text()


def test_unreadable_rows_are_counted_and_the_others_audited(tmp_path: Path) -> None:
    manifest = written(tmp_path, "0.png,a,covid,,\n1.png,b,healthy,,\nbroken.png,c,covid,,\n"
                       if (tmp_path / "broken.png").write_bytes(b"no picture") else "")  # fmt: skip
    found = audit_manifest(manifest, tmp_path / "out")
    assert [row["line"] for row in found["unreadable"]] == [4]
    assert "1 row could not be read (line 4)" in (tmp_path / "out" / "audit.html").read_text()


def test_the_reference_has_every_key(
    documented_keys: Callable[[str], set[str]], tmp_path: Path
) -> None:
    found = audit_manifest(written(tmp_path, "0.png,a,covid,,\n"), tmp_path / "out")
    assert documented_keys("audit.json") == set(found)


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    audit_manifest(written(tmp_path, "0.png,a,covid,,\n1.png,b,healthy,,\n"), tmp_path / "out")
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|<script|<link|url\(", page)


def test_a_manifest_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        audit_manifest(tmp_path / "none.csv", tmp_path / "out")


@pytest.mark.slow
@pytest.mark.real_data
def test_the_export_families_of_the_published_pictures_are_found(
    real_data: Path, tmp_path: Path
) -> None:
    """Two export windows, one for most covid and one for most bacterial patients."""
    found = audit_manifest(real_data / "song2021" / "manifest.csv", tmp_path)
    assert "grey scale" in given_away(found)
    assert found["guesses"]["grey scale"]["auc"]["low"] > 0.8
    assert found["guesses"]["grey scale"]["strongest"] == "darkest level"
    assert found["guesses"]["column family"]["gives_away"]
