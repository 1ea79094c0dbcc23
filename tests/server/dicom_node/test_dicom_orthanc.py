"""A real archive beside the node: Orthanc sends every complete study, and gets the answer back."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
DICOM_WEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ORTHANC is None, reason="Orthanc (Debian: orthanc) is not installed"),
]
ROUTE_ALL = """
function OnStableStudy(study, tags, metadata)
  local order = {}
  order['Resources'] = { study }
  order['Asynchronous'] = true
  RestApiPost('/modalities/deeppneumonia/store', DumpJson(order))
end
"""


class Archive:
    """Orthanc on free ports of this machine, with a folder of its own."""

    def __init__(self, hospital: ModuleType, folder: Path) -> None:
        self.folder = folder
        self.hospital = hospital
        self.dicom_port, self.http_port = hospital.free_port(), hospital.free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, node_port: int) -> None:
        """Start, and wait until it answers."""
        (self.folder / "route.lua").write_text(ROUTE_ALL)
        (self.folder / "orthanc.json").write_text(
            json.dumps(
                {
                    "Name": "test",
                    "StorageDirectory": str(self.folder / "storage"),
                    "IndexDirectory": str(self.folder / "storage"),
                    "Plugins": [str(DICOM_WEB)] if DICOM_WEB.exists() else [],
                    "LuaScripts": [str(self.folder / "route.lua")],
                    "DicomAet": "ORTHANC",
                    "DicomPort": self.dicom_port,
                    "HttpPort": self.http_port,
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": False,
                    "StableAge": 2,
                    "DicomModalities": {
                        "deeppneumonia": [self.hospital.TITLE, "127.0.0.1", node_port]
                    },
                }
            )
        )
        assert ORTHANC is not None
        with (self.folder / "orthanc.log").open("wb") as log:
            self._process = subprocess.Popen(
                [ORTHANC, self.folder / "orthanc.json"], stdout=log, stderr=log
            )
        self.hospital.eventually(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.get("/system"))
        except OSError:
            return False

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}") as answer:
            return json.load(answer)

    def modalities(self) -> list[str]:
        """Of all series."""
        return sorted(one["MainDicomTags"]["Modality"] for one in self.get("/series?expand"))

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)


@pytest.fixture
def archive(hospital: ModuleType, tmp_path: Path) -> Iterator[Archive]:
    """Orthanc, not yet started."""
    folder = tmp_path / "orthanc"
    folder.mkdir()
    made = Archive(hospital, folder)
    yield made
    made.stop()


@pytest.fixture
def start(hospital: ModuleType, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Starts a node with these destinations and peers."""
    made: list[Any] = []

    def make(node: str) -> Any:
        made.append(hospital.NodeProcess(tmp_path, node=node))
        return made[-1]

    yield make
    for node in made:
        node.kill()


def test_a_study_is_routed_to_us_and_its_answer_back_once(
    archive: Archive, start: Callable[[str], Any], hospital: ModuleType
) -> None:
    node = start(
        '[[dicom_node.peers]]\nae_title = "ORTHANC"\naddress = "127.0.0.1"\n'
        '[[dicom_node.destinations]]\nname = "pacs"\nhost = "127.0.0.1"\n'
        f'port = {archive.dicom_port}\nae_title = "ORTHANC"\n'
    )
    archive.start(node.port)
    study = hospital.ct_study()
    assert hospital.store(archive.dicom_port, study, title="ORTHANC") == [0] * len(study)
    node.read_next()
    hospital.eventually(lambda: archive.modalities() == ["CT", "DOC", "OT", "SEG", "SR"])
    (found,) = archive.get("/studies?expand")
    assert found["MainDicomTags"]["StudyInstanceUID"] == study[0].StudyInstanceUID
    assert found["PatientMainDicomTags"]["PatientID"] == hospital.PLANTED_ID

    # The study has grown, so Orthanc sends all of it again; that must come to an end.
    hospital.eventually(lambda: node.log.read_text().count("images for job") >= 2)
    hospital.eventually(lambda: all_jobs_are_over(archive))
    assert node.deliveries() == [("pacs", "sent")]
    assert archive.get("/statistics")["CountInstances"] == len(study) + 4
    with node.services() as services:
        assert services.jobs.list()[1] == 1


@pytest.mark.skipif(
    not DICOM_WEB.exists(), reason="Orthanc's DICOMweb (Debian: orthanc-dicomweb) is not installed"
)
def test_the_answer_goes_back_over_dicomweb(
    archive: Archive, start: Callable[[str], Any], hospital: ModuleType
) -> None:
    node = start(
        '[[dicom_node.destinations]]\nname = "web"\nkind = "stow"\n'
        f'url = "http://127.0.0.1:{archive.http_port}/dicom-web/studies"\n'
    )
    archive.start(node.port)
    hospital.store(archive.dicom_port, hospital.ct_study(), title="ORTHANC")
    node.read_next()
    hospital.eventually(lambda: archive.modalities() == ["CT", "DOC", "OT", "SEG", "SR"])
    hospital.eventually(lambda: node.deliveries() == [("web", "sent")])


def all_jobs_are_over(archive: Archive) -> bool:
    jobs = archive.get("/jobs?expand")
    return len(jobs) >= 2 and all(job["State"] == "Success" for job in jobs)
