"""A small hospital for the tests of the DICOM node: a scanner's study, a PACS, a reader of studies.

The reader stands where the network stands in a worker; all else is the real thing.
"""

import contextlib
import http.server
import random
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt

from deeppneumonia.domain import (
    Box,
    Detail,
    KeySlice,
    ModelIdentity,
    PatientDiagnosis,
    SlicePrediction,
    Status,
)
from deeppneumonia.readers import read_volume
from deeppneumonia.reports import ReportContext, write_outputs
from deeppneumonia.server.services import Services
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.worker import Outcome, Worker

TITLE = "DEEPPNEUMONIA"
PLANTED_NAME, PLANTED_ID = "Plantagenet^Aliénor", "PLANTED-4711"
PLANTED_NUMBER = "PLANTED-AND-TOO-LONG"
"""Longer than the standard allows, of which pydicom warns by quoting it."""

SIDE, SLICES = 32, 6
PATIENCE_S = 120.0
"""How long a test waits for what happens in another process; the machine may be busy."""


def ct_image(number: int, study: str, series: str, **changes: object) -> Dataset:
    """Slice `number`, 0 at the feet."""
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 100"
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, f"{series}.{number + 1}"
    image.StudyInstanceUID, image.SeriesInstanceUID = study, series
    image.FrameOfReferenceUID, image.Modality = f"{study}.9", "CT"
    image.PatientName, image.PatientID = PLANTED_NAME, PLANTED_ID
    image.PatientBirthDate, image.PatientSex = "19500101", "F"
    image.StudyDate, image.StudyTime, image.StudyID = "20250228", "101500", "7"
    image.AccessionNumber, image.ReferringPhysicianName = PLANTED_NUMBER, "Referrer^Planted"
    image.SeriesNumber, image.InstanceNumber = 3, SLICES - number
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.ImagePositionPatient = [-60.0, -60.0, -100.0 + 5 * number]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [4.0, 4.0], 5.0
    image.Rows = image.Columns = SIDE
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 1
    image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, 0, "HU"
    image.PixelData = np.full((SIDE, SIDE), number, np.int16).tobytes()
    for keyword, value in changes.items():
        setattr(image, keyword, value)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def ct_study(slices: int = SLICES) -> list[Dataset]:
    """A series of one new study."""
    study = str(generate_uid())[:50]
    return [ct_image(number, study, f"{study}.1") for number in range(slices)]


def write_study(folder: Path, study: list[Dataset]) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(study):
        image.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def associate(port: int, *, title: str = TITLE, caller: str = "SCANNER", **how: Any) -> Any:
    entity = AE(ae_title=caller)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = 20
    entity.add_requested_context("1.2.840.10008.1.1")
    for uid in how.pop("classes", [CTImageStorage]):
        entity.add_requested_context(uid, [ExplicitVRLittleEndian])
    return entity.associate("127.0.0.1", port, ae_title=title, **how)


def store(port: int, images: list[Dataset], **how: Any) -> list[int]:
    """The status that each image was answered with."""
    classes = list(dict.fromkeys(image.SOPClassUID for image in images))
    association = associate(port, classes=classes, **how)
    assert association.is_established
    try:
        return [int(association.send_c_store(image).Status) for image in images]
    finally:
        association.release()


class Pacs:
    """Takes objects by C-STORE, or answers with another status by their class."""

    def __init__(
        self, port: int = 0, classes: list[str] | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.objects: list[Dataset] = []
        self.status_for: Callable[[str], int] = lambda _: 0
        entity = AE(ae_title="PACS")
        for uid in classes or [
            "1.2.840.10008.5.1.4.1.1.88.34",
            "1.2.840.10008.5.1.4.1.1.66.4",
            "1.2.840.10008.5.1.4.1.1.7",
            "1.2.840.10008.5.1.4.1.1.104.1",
        ]:
            entity.add_supported_context(uid)  # fmt: skip
        self._server = entity.start_server(
            ("127.0.0.1", port),
            block=False,
            ssl_context=tls,
            evt_handlers=[(evt.EVT_C_STORE, self._take)],
        )
        self.port = int(self._server.server_address[1])

    def _take(self, event: Any) -> int:
        if status := self.status_for(event.request.AffectedSOPClassUID):
            return status
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        self.objects.append(dataset)
        return 0

    def close(self) -> None:
        self._server.shutdown()


class DicomWeb:
    """Takes store transactions over HTTP."""

    def __init__(self, status: int = 200, answer: bytes = b"", elsewhere: str = "") -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                owner.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                owner.headers.append(dict(self.headers) | {"path": self.path})
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                if elsewhere:
                    self.send_header("Location", elsewhere)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Keep the tests' output clean."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/dicom-web/studies"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def objects(self, number: int = -1) -> list[Dataset]:
        """The DICOM objects of one transaction."""
        import email
        from io import BytesIO

        head = f"Content-Type: {self.headers[number]['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + self.bodies[number])
        parts = message.get_payload()
        assert isinstance(parts, list)
        return [pydicom.dcmread(BytesIO(part.get_payload(decode=True))) for part in parts]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def answer(study: Path, folder: Path) -> Outcome:
    """Reads a study as the workers do, and writes a real report with an answer made by hand."""
    volume = read_volume(study)
    box = Box(4, 6, 12, 14)
    slices = tuple(
        SlicePrediction(
            slice_index=index,
            probabilities={"covid": 0.75, "bacterial": 0.15, "healthy": 0.1},
            details=(Detail(box, 0.9),),
        )
        for index in range(len(volume))
    )
    diagnosis = PatientDiagnosis(
        status=Status.DIAGNOSED, reasons=(), probabilities=slices[0].probabilities,
        diagnosis="covid", slices=slices, key_slices=(2,), flags=(),
        quality={"slices": len(volume)}, model=ModelIdentity("by hand", "9f" * 32),
    )  # fmt: skip
    lungs = np.zeros(volume.shape[1:], bool)
    lungs[4:20, 4:28] = True
    key = KeySlice(
        prediction=slices[2], grey=np.full(volume.shape[1:], 60, np.uint8), lung_mask=lungs,
        saliency=None,
    )  # fmt: skip
    context = ReportContext(version="0", created=datetime.now(UTC), volume=volume)
    write_outputs(diagnosis, [key], folder, context)
    return Outcome("diagnosed", "covid")


class NodeProcess:
    """`deeppneumonia dicom-node` as a user starts it, on a data folder of its own."""

    def __init__(self, folder: Path, node: str = "", server: str = "") -> None:
        self.data = folder / "data"
        self.log = folder / "node.log"
        config = folder / "node.toml"
        config.write_text(
            f'[server]\ndata = "{self.data}"\nmin_free_bytes = 0\n{server}\n'
            f"[dicom_node]\nport = 0\nquiet_s = 2\nretry_s = 0.5\n{node}\n"
        )
        self._command = [sys.executable, "-m", "deeppneumonia", "dicom-node", "--config", config]
        self.settings = Settings.from_toml(config)
        self.start()

    def start(self) -> None:
        """Start, and wait until it listens."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stderr=log, stdout=log)
        before = len(self._ports())
        eventually(lambda: len(self._ports()) > before or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()
        self.port = int(self._ports()[-1])

    def _ports(self) -> list[str]:
        return re.findall(r"listens on [^ ]+:(\d+)\n", self.log.read_text())

    def kill(self) -> None:
        """As a power cut does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0, self.log.read_text()

    @contextmanager
    def services(self) -> Iterator[Services]:
        services = Services.open(self.settings)
        try:
            yield services
        finally:
            services.database.dispose()

    def read_next(self) -> None:
        """Be the worker: wait for a study whose time has come, and read it."""
        with self.services() as services:
            worker = Worker(services, answer)
            eventually(worker.once)

    def deliveries(self) -> list[tuple[str, str]]:
        """Destination and state of each delivery."""
        import sqlite3

        with sqlite3.connect(self.data / "dicom-node" / "ledger.db") as connection:
            return connection.execute("SELECT destination, state FROM deliveries").fetchall()

    def everything_it_says(self) -> str:
        """Its log, and the names of all of its files."""
        names = "\n".join(str(path) for path in self.data.rglob("*"))
        return self.log.read_text() + names


def eventually(holds: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def free_port() -> int:
    """One that the system does not lend to connections, so that none has it when it is needed."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as taken, contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port
