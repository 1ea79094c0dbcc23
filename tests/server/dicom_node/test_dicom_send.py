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


@pytest.fixture
def files(hospital: ModuleType, tmp_path: Path) -> list[Path]:
    """Some objects; here images, since a destination does not care."""
    return sorted(hospital.write_study(tmp_path / "out", hospital.ct_study(3)).iterdir())


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


def test_an_object_that_was_not_stored_is_counted(web: Any, files: list[Path]) -> None:
    warned = {"00081199": {"vr": "SQ", "Value": [{}, {}]}}
    assert send(files, web(202, json.dumps(warned).encode()), ae_title="US") == ""
    failed = warned | {"00081198": {"vr": "SQ", "Value": [{}]}}
    with pytest.raises(DeliveryError, match="did not store 1 of the objects"):
        send(files, web(202, json.dumps(failed).encode()), ae_title="US")
