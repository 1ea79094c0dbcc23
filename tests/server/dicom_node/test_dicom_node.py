"""A study goes through the node and back, whatever is switched off on the way."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydicom.dataset import Dataset

Start = Callable[..., Any]
RESULTS = {"SR", "SEG", "OT", "DOC"}


@pytest.fixture
def start(hospital: ModuleType, tmp_path: Path) -> Iterator[Start]:
    """Starts `deeppneumonia dicom-node` in a process of its own."""
    made: list[Any] = []

    def make(**tables: str) -> Any:
        made.append(hospital.NodeProcess(tmp_path, **tables))
        return made[-1]

    yield make
    for node in made:
        node.kill()


def to_pacs(port: int, name: str = "pacs") -> str:
    return (
        f'[[dicom_node.destinations]]\nname = "{name}"\nhost = "127.0.0.1"\nport = {port}\n'
        'ae_title = "PACS"\n'
    )


def to_web(url: str, authorization: Path) -> str:
    return (
        f'[[dicom_node.destinations]]\nname = "web"\nkind = "stow"\nurl = "{url}"\n'
        f'authorization_file = "{authorization}"\n'
    )


def values_of(dataset: Dataset) -> dict[str, object]:
    return {element.keyword: element.value for element in dataset}


def test_a_study_comes_back_with_its_answer_and_names_nobody(
    start: Start, pacs: Any, hospital: ModuleType, tmp_path: Path
) -> None:
    web = hospital.DicomWeb()
    (tmp_path / "token").write_text("Bearer 4711\n")
    node = start(node=to_pacs(pacs.port) + to_web(web.url, tmp_path / "token"))
    study = hospital.ct_study()
    assert hospital.store(node.port, study) == [0] * len(study)
    node.read_next()
    hospital.eventually(lambda: set(node.deliveries()) == {("pacs", "sent"), ("web", "sent")})

    assert {one.Modality for one in pacs.objects} == RESULTS
    for one in pacs.objects:
        assert one.StudyInstanceUID == study[0].StudyInstanceUID
        assert one.SeriesInstanceUID != study[0].SeriesInstanceUID
        assert (one.PatientName, one.PatientID) == (hospital.PLANTED_NAME, hospital.PLANTED_ID)
    by_store = {one.SOPInstanceUID: one for one in pacs.objects}
    by_web = {one.SOPInstanceUID: one for one in web.objects()}
    assert by_store.keys() == by_web.keys()
    for uid, one in by_store.items():  # the VR of pixels may differ by the way (PS3.5 A.1, A.2)
        assert values_of(by_web[uid]) == values_of(one)
    assert web.headers[0]["Authorization"] == "Bearer 4711"
    assert web.headers[0]["path"] == "/dicom-web/studies"

    said = node.everything_it_says()
    assert "sent to pacs" in said and "images for job" in said
    planted = [hospital.PLANTED_NAME, *hospital.PLANTED_NAME.split("^"), hospital.PLANTED_ID]
    planted += [
        hospital.PLANTED_NUMBER,
        "Referrer",
        "19500101",
        study[0].StudyInstanceUID,
        study[0].SOPInstanceUID,
    ]
    for word in planted:
        assert word not in said
    with node.services() as services:
        audit = str(services.audit.entries())
        jobs = str(services.jobs.list())
    assert "send" in audit
    for word in planted:
        assert word not in audit and word not in jobs
    web.close()


def test_results_that_come_round_again_start_nothing(
    start: Start, pacs: Any, hospital: ModuleType
) -> None:
    node = start(node=to_pacs(pacs.port))
    study = hospital.ct_study()
    hospital.store(node.port, study)
    node.read_next()
    hospital.eventually(lambda: node.deliveries() == [("pacs", "sent")])
    first = len(pacs.objects)
    # An archive that routes every complete study sends it all once more, our objects included.
    for image in study:
        image.file_meta.ImplementationVersionName = "ANOTHER"
    assert set(hospital.store(node.port, [*study, *pacs.objects])) == {0}
    hospital.eventually(lambda: node.log.read_text().count("images for job") >= 2)
    with node.services() as services:
        (job,), total = services.jobs.list()
        assert (total, job.state, job.files) == (1, "done", len(study))
    assert len(pacs.objects) == first and node.deliveries() == [("pacs", "sent")]


def test_late_images_have_the_study_read_again_whole(
    start: Start, pacs: Any, hospital: ModuleType
) -> None:
    node = start(node=to_pacs(pacs.port))
    study = hospital.ct_study(9)
    hospital.store(node.port, study[:6])
    node.read_next()
    hospital.eventually(lambda: node.deliveries() == [("pacs", "sent")])
    hospital.store(node.port, study[6:])
    node.read_next()
    hospital.eventually(lambda: node.deliveries() == [("pacs", "sent")] * 2)
    reports = [one for one in pacs.objects if one.Modality == "SR"]
    evidence = [
        sum(e.keyword == "ReferencedSOPInstanceUID" for e in one.iterall()) for one in reports
    ]
    assert evidence[1] == evidence[0] + 3
    with node.services() as services:
        assert services.jobs.list()[1] == 1


def test_a_study_that_was_deleted_and_comes_again_is_answered_again(
    start: Start, pacs: Any, hospital: ModuleType
) -> None:
    node = start(node=to_pacs(pacs.port))
    study = hospital.ct_study()
    for times in (1, 2):
        hospital.store(node.port, study)
        node.read_next()
        hospital.eventually(lambda times=times: node.deliveries() == [("pacs", "sent")] * times)
        with node.services() as services:
            (job,), _ = services.jobs.list()
            services.jobs.delete(job.id)
            services.storage.remove(job.id)
    assert sum(one.Modality == "SR" for one in pacs.objects) == 2


def test_what_was_acknowledged_survives_a_power_cut(start: Start, hospital: ModuleType) -> None:
    node = start()
    for _ in range(3):
        study = hospital.ct_study()
        assert hospital.store(node.port, study) == [0] * len(study)
        node.kill()
        node.start()

    def all_there() -> bool:
        with node.services() as services:
            jobs, _ = services.jobs.list()
            return sorted(job.files for job in jobs) == [len(study)] * 3

    hospital.eventually(all_there)
    hospital.eventually(lambda: not list((node.data / "dicom-node" / "studies").rglob("*.dcm")))


def test_a_result_is_sent_when_its_destination_is_back(start: Start, hospital: ModuleType) -> None:
    port = hospital.free_port()
    node = start(node=to_pacs(port))
    hospital.store(node.port, hospital.ct_study())
    node.read_next()
    hospital.eventually(lambda: "is tried again" in node.log.read_text())
    node.kill()
    assert node.deliveries() == [("pacs", "waiting")]
    archive = hospital.Pacs(port)
    archive.status_for = lambda _: 0xA700
    node.start()
    hospital.eventually(lambda: "0xA700" in node.log.read_text())
    archive.status_for = lambda _: 0
    hospital.eventually(lambda: node.deliveries() == [("pacs", "sent")])
    assert {one.Modality for one in archive.objects} == RESULTS
    archive.close()
    node.stop()


def test_a_destination_that_does_not_know_segmentations_gets_the_rest(
    start: Start, hospital: ModuleType
) -> None:
    archive = hospital.Pacs(classes=["1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.104.1"])
    node = start(node=to_pacs(archive.port))
    hospital.store(node.port, hospital.ct_study())
    node.read_next()
    hospital.eventually(lambda: node.deliveries() == [("pacs", "sent")])
    assert {one.Modality for one in archive.objects} == {"OT", "DOC"}
    hospital.eventually(lambda: "sent to pacs" in node.log.read_text())  # said after it is noted
    assert (
        "not taken: Comprehensive 3D SR Storage, Segmentation Storage" in node.log.read_text()
        or ("not taken: Segmentation Storage, Comprehensive 3D SR Storage" in node.log.read_text())
    )
    archive.close()


@pytest.mark.skipif(
    shutil.which("storescu") is None,
    reason="storescu and echoscu (Debian: dcmtk) are not installed",
)
def test_dcmtk_sends_a_study(start: Start, hospital: ModuleType, tmp_path: Path) -> None:
    node = start()
    folder = hospital.write_study(tmp_path / "study", hospital.ct_study())
    peer = ["-aec", hospital.TITLE, "127.0.0.1", str(node.port)]
    subprocess.run(["echoscu", *peer], check=True, timeout=60)
    subprocess.run(["storescu", "+sd", *peer, folder], check=True, timeout=60)
    node.read_next()
    with node.services() as services:
        (job,), _ = services.jobs.list()
        assert (job.status, job.files, job.source) == ("diagnosed", hospital.SLICES, "dicom")
