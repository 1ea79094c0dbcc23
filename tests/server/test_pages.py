"""What a person sees and does in a browser, as far as it can be tested without one."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK
from fastapi.testclient import TestClient

from deeppneumonia.domain import (
    Box,
    Detail,
    KeySlice,
    ModelIdentity,
    PatientDiagnosis,
    SaliencyMap,
    SlicePrediction,
    Status,
    Unit,
    Volume,
    volume_of,
)
from deeppneumonia.reports import ReportContext, write_outputs
from deeppneumonia.server.feedback import Feedback, FeedbackStore
from deeppneumonia.server.services import Services
from deeppneumonia.server.storage import Piece
from deeppneumonia.workflows.viewer import slice_png, write_viewer

HTML = {"accept": "text/html"}
SPACING_MM = (5.0, 0.8, 0.7)


def volume() -> Volume:
    """Six slices of 40 rows and 50 columns; the value says where a pixel lies."""
    array = np.arange(6 * 40 * 50, dtype=np.int16).reshape(6, 40, 50) % 1500 - 1000
    return volume_of(array, Unit.HU, SPACING_MM)


def key_slice() -> KeySlice:
    heat = np.zeros((40, 50), np.float32)
    heat[10:20, 5:15] = 1
    return KeySlice(
        prediction=SlicePrediction(
            slice_index=2,
            probabilities={"covid": 0.9, "bacterial": 0.06, "healthy": 0.04},
            details=(Detail(Box(5.0, 10.0, 15.0, 20.0), 0.9),),
        ),
        grey=np.zeros((40, 50), np.uint8),
        lung_mask=np.ones((40, 50), np.bool_),
        saliency=SaliencyMap(2, "covid", heat),
    )


def diagnosed() -> PatientDiagnosis:
    return PatientDiagnosis(
        status=Status.DIAGNOSED, reasons=(), diagnosis="covid", key_slices=(2,), flags=(),
        probabilities={"covid": 0.87, "bacterial": 0.09, "healthy": 0.04},
        slices=(key_slice().prediction,), quality={"unit": "HU"},
        model=ModelIdentity("drenet", "0f" * 32),
    )  # fmt: skip


def refused() -> PatientDiagnosis:
    return PatientDiagnosis(
        status=Status.REFUSED, reasons=("There is a gap of 10.0 mm after slice 3.",),
        probabilities={}, diagnosis=None, slices=(), key_slices=(), flags=(), quality={},
        model=ModelIdentity("drenet", "0f" * 32),
    )  # fmt: skip


def write_answer(folder: Path, answer: PatientDiagnosis) -> None:
    keys = (key_slice(),) if answer.key_slices else ()
    context = ReportContext(
        version="0", created=datetime(2026, 1, 1, tzinfo=UTC), volume=volume(), detail_level=0.5
    )
    write_outputs(answer, keys, folder, context)
    write_viewer(answer, keys, folder, context)


def answered(
    services: Services, answer: PatientDiagnosis, owner: str = "local", content: str = "a"
) -> str:
    """The id of a study that was sent, read and answered."""
    folder = services.storage.incoming()
    (folder / "part").write_text(content)
    piece = Piece(path=folder / "part", name="study.zip", sha256=content * 64, size_bytes=1)
    upload = services.storage.keep(folder, [piece])
    services.jobs.submit(
        id=upload.id, owner=owner, source="page", content=upload.content, size_bytes=1, files=1,
        label="morning <b>",
    )  # fmt: skip
    assert answer_next(services, answer) == upload.id
    return upload.id


def answer_next(services: Services, answer: PatientDiagnosis) -> str:
    """Read the study whose turn it is; its id."""
    claim = services.jobs.claim("test/1/0")
    assert claim is not None
    with services.storage.new_result(claim.id, claim.fence) as result:
        write_answer(result, answer)
    services.jobs.finish(
        claim, status=str(answer.status), diagnosis=answer.diagnosis, result=str(claim.fence)
    )
    return claim.id


def test_the_stored_volume_is_a_whole_nifti_and_gives_single_slices(tmp_path: Path) -> None:
    write_answer(tmp_path, diagnosed())
    image = SimpleITK.ReadImage(str(tmp_path / "volume.nii.gz"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), volume().array)
    # SimpleITK counts (column, row, slice) in LPS, as volume_of does; float32 in the header.
    np.testing.assert_allclose(image.GetSpacing(), SPACING_MM[::-1], atol=1e-5)
    np.testing.assert_allclose(np.reshape(image.GetDirection(), (3, 3)), np.eye(3), atol=1e-5)

    picture = json.loads((tmp_path / "page.json").read_text())["picture"]
    png = slice_png(tmp_path / "volume.nii.gz", picture, 4, center_hu=-600, width_hu=1500)
    grey = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    # PS3.3 C.11.2.1.2.1: the middle of the window is the middle grey.
    middle = np.argwhere(volume().slice(4) == -600)[0]
    assert grey.shape == (40, 50) and grey[tuple(middle)] == 128


def test_the_boxes_volume_is_an_outline_where_the_box_is(tmp_path: Path) -> None:
    write_answer(tmp_path, diagnosed())
    boxes = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "boxes.nii.gz")))
    assert boxes[2, 10, 5] == 255 and boxes[2, 19, 14] == 255  # the corners, inside
    assert boxes[2, 15, 10] == 0 and not boxes[[0, 1, 3, 4, 5]].any()


@pytest.mark.parametrize(
    "path",
    ["/", "/login", "/studies/" + "0" * 32, "/nowhere", "/studies/cut-short", "/?start=-1"],
)
def test_every_page_says_what_the_software_is_not(client: TestClient, path: str) -> None:
    answer = client.get(path, headers=HTML)
    assert "Research software, not a medical device" in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_the_study_page_shows_the_answer_in_words_and_numbers(
    client: TestClient, services: Services
) -> None:
    page = client.get(f"/studies/{answered(services, diagnosed())}", headers=HTML).text
    assert "COVID-19 pneumonia: likely" in page and "87%" in page
    assert 'width="10.0" height="10.0"' in page  # the box, as the model gave it
    assert ">0.90</text>" in page and "The number is a detail&#39;s weight" in page
    assert "morning &lt;b&gt;" in page and "<b>" not in page


def test_a_refusal_gives_its_reason_and_no_probability(
    client: TestClient, services: Services
) -> None:
    page = client.get(f"/studies/{answered(services, refused())}", headers=HTML).text
    assert "There is a gap of 10.0 mm after slice 3." in page
    assert "Probability of each class" not in page
    assert 'id="viewer"' in page  # its slices may be looked at


def test_slices_come_as_pictures_and_only_those_that_exist(
    client: TestClient, services: Services
) -> None:
    id = answered(services, diagnosed())
    answer = client.get(f"/studies/{id}/slices/5.png?center=40&width=400")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "no-store"
    assert client.get(f"/studies/{id}/slices/6.png").status_code == 404
    assert client.get(f"/studies/{id}/slices/5.png?width=0").status_code == 422


def test_the_worklist_filters_by_state_and_by_answer(
    client: TestClient, services: Services
) -> None:
    id = answered(services, diagnosed())
    assert id in client.get("/?state=done&answer=covid&search=morning", headers=HTML).text
    for other in ("state=queued", "answer=healthy", "search=evening"):
        assert id not in client.get(f"/?{other}", headers=HTML).text


def test_a_readers_word_becomes_a_line_of_the_manifest(
    client: TestClient, services: Services
) -> None:
    id = answered(services, diagnosed())
    said = {"agrees": "false", "label": "bacterial", "comment": "lobar <i>"}
    answer = client.post(f"/studies/{id}/feedback", data=said, follow_redirects=False)
    assert answer.status_code == 303
    page = client.get(f"/studies/{id}", headers=HTML).text
    assert "lobar &lt;i&gt;" in page and "disagrees" in page
    (row,) = csv.DictReader(io.StringIO(client.get("/feedback.csv").text))
    assert row["label"] == "bacterial" and row["study_id"] == id
    assert (services.storage.data / row["path"]).is_file()


def test_a_reader_may_say_what_a_refused_study_shows(
    client: TestClient, services: Services
) -> None:
    id = answered(services, refused())
    page = client.get(f"/studies/{id}", headers=HTML).text
    assert "To refuse it was" in page and "The answer is" not in page
    said = {"agrees": "true", "label": "bacterial"}
    client.post(f"/studies/{id}/feedback", data=said)
    assert "agrees: Bacterial pneumonia" in client.get(f"/studies/{id}", headers=HTML).text
    assert FeedbackStore(services.database).labels() == {id: "bacterial"}


def test_a_token_that_only_reads_gives_no_label(
    client: TestClient, services: Services, token: Callable[..., dict[str, str]]
) -> None:
    id = answered(services, diagnosed())
    said = {"agrees": "true"}
    where = f"/studies/{id}/feedback"
    refused = client.post(where, data=said, headers=token("anna", "admin", "read,read-all"))
    assert refused.status_code == 403 and "'submit'" in refused.text
    assert FeedbackStore(services.database).labels() == {}
    writes = token("anna", "admin", "read,read-all,submit")
    assert client.post(where, data=said, headers=writes, follow_redirects=False).status_code == 303
    services.accounts.add_user("vera", "correct horse battery", "viewer")
    client.cookies.set("deeppneumonia_session", services.accounts.open_session("vera", 1))
    own = {"sec-fetch-site": "same-origin"}
    assert client.post(where, data=said, headers=own, follow_redirects=False).status_code == 303


def test_readers_who_say_different_things_give_no_label(services: Services) -> None:
    id = answered(services, diagnosed())
    job = services.jobs.get(id)
    assert job is not None
    store = FeedbackStore(services.database)
    store.add(job, Feedback(reader="anna", agrees=True, label="covid", comment=""))
    assert store.labels() == {id: "covid"}
    store.add(job, Feedback(reader="ben", agrees=False, label=None, comment=""))
    assert store.labels() == {}
    store.add(job, Feedback(reader="ben", agrees=True, label="covid", comment="on second thought"))
    assert store.labels() == {id: "covid"}
    assert [one.comment for one in store.of_study(id)] == ["on second thought", ""]


def test_the_page_tells_words_on_an_earlier_answer_from_those_on_this_one(
    client: TestClient, services: Services
) -> None:
    id = answered(services, diagnosed())
    seen = services.jobs.get(id)
    assert seen is not None and seen.result is not None
    said = {"agrees": "true", "comment": "ground glass", "answer": seen.result}
    assert f'name="answer" value="{seen.result}"' in client.get(f"/studies/{id}").text
    client.post(f"/studies/{id}/feedback", data=said)
    assert "of an earlier answer" not in client.get(f"/studies/{id}").text
    client.post(f"/api/v1/studies/{id}/requeue")
    assert client.post(f"/studies/{id}/feedback", data=said).status_code == 409
    answer_next(services, refused())
    page = client.get(f"/studies/{id}").text
    assert "ground glass" in page and "of an earlier answer" in page
    assert client.post(f"/studies/{id}/feedback", data=said).status_code == 409


def test_pages_ask_for_a_password_once_there_is_a_user(
    client: TestClient, services: Services
) -> None:
    id = answered(services, diagnosed())
    services.accounts.add_user("anna", "correct horse battery", "uploader")
    sent_on = client.get("/", headers=HTML, follow_redirects=False)
    assert sent_on.headers["location"] == "/login"
    wrong = {"name": "anna", "password": "wrong"}
    assert "wrong" in client.post("/login", data=wrong, headers=HTML).text
    right = {"name": "anna", "password": "correct horse battery"}
    assert "Worklist" in client.post("/login", data=right, headers=HTML).text
    # Somebody else's study is not there for her, on no route.
    for path in (f"/studies/{id}", f"/studies/{id}/slices/1.png"):
        assert client.get(path, headers=HTML).status_code == 404
    own = {"origin": "http://127.0.0.1:8000"}
    agrees = {"agrees": "true"}
    assert client.post(f"/studies/{id}/feedback", data=agrees, headers=own).status_code == 404
    assert client.get("/feedback.csv", headers=HTML).status_code == 403
    client.post("/logout", headers=own)
    assert client.get("/", headers=HTML, follow_redirects=False).status_code == 303
