"""STOW-RS: instances arrive in pieces, the study is read once and whole."""

import io

import pydicom
import pytest
from fastapi.testclient import TestClient
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from sqlalchemy import update

from deeppneumonia.server.schema import JOBS
from deeppneumonia.server.services import Services

STUDY = "1.2.826.0.1.1"


def instance(number: int, study: str = STUDY, syntax: str = ExplicitVRLittleEndian) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"{study}.{number}"
    dataset.StudyInstanceUID = study
    dataset.PatientName = "Zyxw^Planted"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def store(client: TestClient, *parts: bytes, study: str = "") -> tuple[int, dict[str, object]]:
    body = b"".join(
        b"--x\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts
    )
    answer = client.post(
        f"/dicom-web/studies{study}",
        content=body + b"--x--\r\n",
        headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'},
    )
    assert answer.headers["content-type"] == "application/dicom+json"
    return answer.status_code, answer.json()


def be_quiet(services: Services) -> None:
    """Let the time pass after which no more images of a study are waited for."""
    with services.database.write() as connection:
        connection.execute(
            update(JOBS).values(not_before=JOBS.c.not_before - services.settings.quiet_s)
        )


def test_a_study_that_comes_in_pieces_is_one_job_that_waits_for_quiet(
    client: TestClient, services: Services
) -> None:
    status, said = store(client, instance(1), instance(2))
    assert (status, len(said["00081199"]["Value"])) == (200, 2)  # type: ignore[call-overload,index]
    assert services.jobs.claim("w") is None  # not quiet yet
    store(client, instance(3), instance(1))
    jobs, total = services.jobs.list()
    assert (total, jobs[0].files, jobs[0].source) == (1, 3, "stow")
    be_quiet(services)
    assert services.jobs.claim("w") is not None


def test_what_comes_late_has_the_study_read_again_whole(
    client: TestClient, services: Services
) -> None:
    store(client, instance(1))
    be_quiet(services)
    claim = services.jobs.claim("w")
    assert claim is not None
    services.jobs.finish(claim, status="refused", diagnosis=None, result="1")
    store(client, instance(2))
    job = services.jobs.get(claim.id)
    assert job is not None
    assert (job.state, job.files) == ("queued", 2)


def test_the_same_instance_again_changes_nothing(client: TestClient, services: Services) -> None:
    store(client, instance(1))
    before = services.jobs.list()[0]
    store(client, instance(1))
    assert services.jobs.list()[0] == before


def test_two_studies_in_one_message_are_two_jobs(client: TestClient, services: Services) -> None:
    store(client, instance(1), instance(1, "1.2.826.0.1.2"))
    assert services.jobs.list()[1] == 2


@pytest.mark.parametrize(
    "bad", [b"no DICOM", bytes(128) + b"DICM", instance(1, syntax="1.2.840.10008.1.2.1.99")]
)
def test_what_cannot_be_read_is_named_and_the_rest_is_kept(
    client: TestClient, services: Services, bad: bytes
) -> None:
    status, said = store(client, bad, instance(2))
    assert status == 202
    failed = said["00081198"]["Value"]  # type: ignore[call-overload,index]
    assert failed[0]["00081197"]["Value"] == [0xC000]
    assert services.jobs.list()[0][0].files == 1
    assert store(client, bad)[0] == 409


def test_an_instance_of_another_study_is_refused(client: TestClient) -> None:
    status, said = store(client, instance(1), study=f"/{generate_uid()}")
    assert status == 409
    assert said["00081198"]["Value"][0]["00081197"]["Value"] == [0xC409]  # type: ignore[call-overload,index]


def test_a_header_made_to_do_harm_is_named_and_the_server_reads_on(
    client: TestClient, services: Services
) -> None:
    """Sequences nested 20,000 deep end the process that reads them, which is not the server's."""
    opening = bytes.fromhex("4000750253510000fffffffffeff00e0ffffffff")
    harmful = instance(1)
    at = harmful.index(b"\x10\x00\x10\x00PN")
    status, said = store(client, harmful[:at] + opening * 20_000, instance(2))
    assert status == 202
    assert said["00081198"]["Value"][0]["00081197"]["Value"] == [0xC000]  # type: ignore[call-overload,index]
    assert services.jobs.list()[0][0].files == 1
