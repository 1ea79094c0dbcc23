"""One attempt to send results: what counts as taken, and what is said when it is not."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydicom.uid import CTImageStorage

from deeppneumonia.server.dicom_scp import server_context
from deeppneumonia.server.dicom_send import DeliveryError, send
from deeppneumonia.server.dicom_settings import Destination, Tls

CT = [str(CTImageStorage)]
SC, PDF = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.104.1"
SEG, SR = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"


@pytest.fixture
def files(hospital: ModuleType, tmp_path: Path) -> list[Path]:
    """Some objects; here images, since a destination does not care."""
    return sorted(hospital.write_study(tmp_path / "out", hospital.ct_study(3)).iterdir())


@pytest.fixture
def answer(hospital: ModuleType, tmp_path: Path) -> list[Path]:
    """Objects of the classes of an answer, in the order in which they are sent."""
    study = hospital.ct_study(4)
    for one, uid in zip(study, (SC, PDF, SEG, SR), strict=True):
        one.SOPClassUID = uid
    return sorted(hospital.write_study(tmp_path / "answer", study).iterdir())


@pytest.fixture
def archive(hospital: ModuleType) -> Iterator[Any]:
    """An archive that knows the classes of an answer."""
    made = hospital.Pacs()
    yield made
    made.close()


@pytest.fixture
def there(archive: Any) -> Destination:
    """Where the archive is."""
    return Destination(name="pacs", host="127.0.0.1", port=archive.port, ae_title="PACS")


@pytest.fixture
def web(hospital: ModuleType) -> Iterator[Any]:
    """Makes web servers that answer as they are told."""
    made: list[Any] = []

    def make(*how: Any) -> Destination:
        made.append(hospital.DicomWeb(*how))
        return Destination(name="web", kind="stow", url=made[-1].url)

    yield make
    for one in made:
        one.close()


def test_objects_go_over_tls(hospital: ModuleType, files: list[Path], certificates: Path) -> None:
    tls = Tls(certificate=str(certificates / "node.pem"), key=str(certificates / "node.key"))
    archive = hospital.Pacs(classes=CT, tls=server_context(tls))
    there = Destination(
        name="pacs", host="127.0.0.1", port=archive.port, ae_title="PACS", tls=True,
        ca=str(certificates / "ca.pem"),
    )  # fmt: skip
    assert send(files, there, ae_title="US") == ""
    assert len(archive.objects) == 3
    stranger = Destination(
        name="pacs", host="127.0.0.1", port=archive.port, ae_title="PACS", tls=True
    )
    with pytest.raises(DeliveryError, match="cannot be reached"):
        send(files, stranger, ae_title="US")
    archive.close()


def test_a_destination_that_takes_nothing_has_not_taken_it(
    hospital: ModuleType, files: list[Path]
) -> None:
    archive = hospital.Pacs()  # knows SR, SEG, SC and PDF, and no CT
    there = Destination(name="pacs", host="127.0.0.1", port=archive.port, ae_title="PACS")
    with pytest.raises(DeliveryError, match="takes none of our objects"):
        send(files, there, ae_title="US")
    archive.close()


def test_nobody_there_is_said(hospital: ModuleType, files: list[Path]) -> None:
    port = hospital.free_port()
    by_dicom = Destination(name="a", host="127.0.0.1", port=port, ae_title="PACS")
    by_web = Destination(name="b", kind="stow", url=f"http://127.0.0.1:{port}/studies")
    for there in (by_dicom, by_web):
        with pytest.raises(DeliveryError, match="cannot be reached"):
            send(files, there, ae_title="US")


@pytest.mark.parametrize("status", [400, 401, 409, 503])
def test_an_error_of_http_is_no_success(status: int, web: Any, files: list[Path]) -> None:
    with pytest.raises(DeliveryError, match=f"HTTP status {status}"):
        send(files, web(status), ae_title="US")


def test_a_redirection_is_not_followed(hospital: ModuleType, web: Any, files: list[Path]) -> None:
    elsewhere = hospital.DicomWeb()
    with pytest.raises(DeliveryError, match="HTTP status 307"):
        send(files, web(307, b"", elsewhere.url), ae_title="US")
    assert not elsewhere.bodies
    elsewhere.close()


def failed(*reasons: Any, uid: str = SEG) -> bytes:
    """What a server says that has stored all but these."""
    items = [
        {"00081150": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [reason]}}
        for reason in reasons
    ]
    return json.dumps({"00081198": {"vr": "SQ", "Value": items}}).encode()


def test_what_a_web_server_did_not_store_is_said_and_not_sent_again(
    web: Any, files: list[Path]
) -> None:
    warned = json.dumps({"00081199": {"vr": "SQ", "Value": [{}, {}]}}).encode()
    assert send(files, web(202, warned), ae_title="US") == ""
    said = send(files, web(202, failed(0x0122)), ae_title="US")
    assert said == "not taken: Segmentation Storage (0x0122)"
    assert send(files, web(202, failed(0x0111, 0x0111, 0x0111)), ae_title="US") == ""
    # It may write what it likes there: our log does not repeat it.
    said = send(files, web(202, failed("Doe", uid="Doe^Jane")), ae_title="US")
    assert said == "not taken: an object"


@pytest.mark.parametrize(
    ("reasons", "says"),
    [((0xA700,), "has no room now: Segm"), ((0x0110,) * 3, "took nothing: Segm")],
    ids=["no room", "nothing taken"],
)
def test_a_web_server_that_may_take_it_later_is_asked_again(
    reasons: tuple[int, ...], says: str, web: Any, files: list[Path]
) -> None:
    with pytest.raises(DeliveryError, match=says):
        send(files, web(202, failed(*reasons)), ae_title="US")


@pytest.mark.parametrize(
    "answer", [[[]], {"00081198": 1}, {"00081198": {"Value": [1, {"00081197": {"Value": {}}}]}}]
)
def test_an_odd_answer_is_no_failure_of_ours(answer: Any, web: Any, files: list[Path]) -> None:
    said = send(files, web(200, json.dumps(answer).encode()), ae_title="US")
    assert said in ("", "not taken: an object")


@pytest.mark.parametrize("status", [0x0122, 0x0110, 0xA900, 0xC001])
def test_an_object_that_is_refused_for_good_does_not_keep_the_others_back(
    status: int, archive: Any, there: Destination, answer: list[Path]
) -> None:
    archive.status_for = {SEG: status}.get
    assert send(answer, there, ae_title="US") == f"not taken: Segmentation Storage (0x{status:04X})"
    assert [one.SOPClassUID for one in archive.objects] == [SC, PDF, SR]


def test_an_archive_without_room_gets_the_rest_and_is_asked_again(
    archive: Any, there: Destination, answer: list[Path]
) -> None:
    archive.status_for = {SEG: 0xA700}.get
    with pytest.raises(DeliveryError, match=r"no room now: Segmentation Storage \(0xA700\)"):
        send(answer, there, ae_title="US")
    assert [one.SOPClassUID for one in archive.objects] == [SC, PDF, SR]


def test_an_archive_that_refuses_everything_has_taken_nothing(
    archive: Any, there: Destination, answer: list[Path]
) -> None:
    archive.status_for = lambda _: 0x0124
    with pytest.raises(DeliveryError, match="took nothing: Secondary Capture Image Storage"):
        send(answer, there, ae_title="US")


def test_what_is_there_since_the_last_attempt_is_taken(
    archive: Any, there: Destination, answer: list[Path]
) -> None:
    archive.status_for = lambda _: 0x0111
    assert send(answer, there, ae_title="US") == ""
