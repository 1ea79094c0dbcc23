"""What fails in the node is one study, or one delivery; everything else goes on."""

import hashlib
import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydicom.dataset import Dataset

from deeppneumonia.server.dicom_ledger import Ledger
from deeppneumonia.server.dicom_node import OWNER, Node
from deeppneumonia.server.dicom_settings import Destination, NodeSettings
from deeppneumonia.server.dicom_spool import Spool
from deeppneumonia.server.settings import Settings

Make = Callable[..., Node]
DAMAGED = b"\0" * 128 + b"DICM" + b"\xff" * 50
MONTH_S = 31 * 86_400


@pytest.fixture
def make(settings: Settings, spool: Spool) -> Iterator[Make]:
    """Makes nodes in this process; the fixture `spool` undoes what they do to it."""
    assert spool.receiving.is_dir()
    made: list[Node] = []

    def node(*destinations: Destination, **server: Any) -> Node:
        made.append(
            Node(settings.but(**server), NodeSettings(port=0, destinations=destinations, retry_s=9))
        )
        return made[-1]

    yield node
    for one in made:
        one.close()


def folder_of(node: Node, study: list[Dataset]) -> Path:
    """Where the spool keeps the images of a study."""
    digest = hashlib.sha256(study[0].StudyInstanceUID.encode()).hexdigest()
    return node.spool.studies / digest[:32]


def an_answer(node: Node, content: str = "one") -> str:
    """The job of a study that has just been read, without any objects."""
    id = hashlib.sha256(content.encode()).hexdigest()[:32]
    jobs = node.services.jobs
    jobs.submit(id=id, owner=OWNER, source="dicom", content=content, size_bytes=1, files=1)
    claim = jobs.claim("reader")
    assert claim is not None
    jobs.finish(claim, status="diagnosed", diagnosis="covid", result=str(claim.fence))
    return str(claim.fence)


def files_of_jobs(node: Node) -> list[int]:
    return sorted(job.files for job in node.services.jobs.list()[0])


def deliveries(node: Node) -> list[tuple[str, str, int]]:
    """Destination, state and attempts of each."""
    with sqlite3.connect(node.services.settings.folder / "dicom-node" / "ledger.db") as ledger:
        return ledger.execute("SELECT destination, state, attempts FROM deliveries").fetchall()


def test_a_damaged_file_stops_nothing_and_is_moved_aside(
    hospital: ModuleType, tmp_path: Path
) -> None:
    """In a process of its own: it used to live on, and listen no more."""
    spool = tmp_path / "data" / "dicom-node"
    (spool / "studies" / ("0" * 32)).mkdir(parents=True)
    (spool / "studies" / ("0" * 32) / "PLANTED.dcm").write_bytes(DAMAGED)
    node = hospital.NodeProcess(tmp_path)
    try:
        said = "1 damaged images were moved to dicom-node/damaged"
        hospital.eventually(lambda: said in node.log.read_text())
        assert set(hospital.store(node.port, hospital.ct_study())) == {0}
        hospital.eventually(lambda: "images for job" in node.log.read_text())
        assert (spool / "damaged" / ("0" * 32) / "PLANTED.dcm").read_bytes() == DAMAGED
        assert not list((spool / "studies").iterdir())
        assert node.log.read_text().count(said) == 1 and "PLANTED" not in node.log.read_text()
        node.stop()
    finally:
        node.kill()


def test_the_study_of_a_damaged_file_is_read_without_it(make: Make, hospital: ModuleType) -> None:
    node, study = make(), hospital.ct_study()
    assert set(hospital.store(node.listener.port, study)) == {0}
    files = sorted(folder_of(node, study).iterdir())
    files[0].write_bytes(DAMAGED)
    files[2].unlink()
    files[2].symlink_to("/proc/self/mem")  # reading its first bytes is an error of input (EIO)
    node.hand_over()
    assert files_of_jobs(node) == [len(study) - 2]
    names = {file.name for file in (node.spool.damaged / files[0].parent.name).iterdir()}
    assert names == {files[0].name, files[2].name}


def test_a_file_of_a_different_study_is_never_taken_for_one_of_this(
    make: Make, hospital: ModuleType
) -> None:
    node, one, other = make(), hospital.ct_study(), hospital.ct_study()
    hospital.store(node.listener.port, [*one, *other])
    shutil.copy(next(folder_of(node, other).iterdir()), folder_of(node, one) / "0.dcm")
    node.hand_over()
    assert files_of_jobs(node) == [len(one), len(other)]
    assert [file.name for file in node.spool.damaged.rglob("*.dcm")] == ["0.dcm"]


def test_damaged_images_go_when_studies_go(make: Make) -> None:
    node = make()
    for name in ("old", "new"):
        (node.spool.studies / name).mkdir()
        (node.spool.studies / name / "0.dcm").write_bytes(DAMAGED)
    node.hand_over()
    long_ago = (node.spool.damaged / "old").stat().st_mtime - MONTH_S
    os.utime(node.spool.damaged / "old", (long_ago, long_ago))
    node.tidy()
    assert [folder.name for folder in node.spool.damaged.iterdir()] == ["new"]


def test_a_server_without_patients_keeps_no_damaged_image(make: Make) -> None:
    node = make(de_identify=True)
    (node.spool.studies / "0").mkdir()
    (node.spool.studies / "0" / "0.dcm").write_bytes(DAMAGED)
    node.hand_over()
    assert not list(node.spool.studies.iterdir()) and not list(node.spool.damaged.iterdir())


def test_a_study_that_cannot_be_handed_over_does_not_keep_the_others_back(
    make: Make, hospital: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    node = make()
    first, second = sorted(
        (hospital.ct_study(), hospital.ct_study(3)), key=lambda study: folder_of(node, study)
    )
    hospital.store(node.listener.port, [*first, *second])
    id = hashlib.sha256(f"{OWNER}\n{first[0].StudyInstanceUID}".encode()).hexdigest()[:32]
    node.services.storage.upload(id).write_text("where a folder is expected")
    node.hand_over()
    assert files_of_jobs(node) == [len(second)]
    assert "a study waits in the spool: FileExistsError" in caplog.text
    assert len(list(folder_of(node, first).iterdir())) == len(first)
    node.services.storage.upload(id).unlink()
    node.hand_over()
    assert files_of_jobs(node) == sorted([len(first), len(second)])


def test_a_ledger_without_room_does_not_keep_images_from_being_read(
    make: Make, hospital: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    node = make(Destination(name="pacs", host="127.0.0.1", port=1, ae_title="PACS"))
    node.ledger._connection.execute("PRAGMA max_page_count = 2")  # SQLite's own full disk
    for number in range(60):
        an_answer(node, f"study {number}")
    stop = threading.Event()
    main = threading.Thread(target=node.run, args=(stop,))
    main.start()
    try:
        said = "looking for answers broke off and is tried again: OperationalError"
        hospital.eventually(lambda: said in caplog.text)
        assert set(hospital.store(node.listener.port, hospital.ct_study())) == {0}
        hospital.eventually(lambda: not list(node.spool.studies.iterdir()))
    finally:
        stop.set()
        main.join()


def test_a_node_that_really_ends_takes_its_sender_along(make: Make) -> None:
    class Ending(threading.Event):
        """Python's own way out of a wait in the main thread."""

        def wait(self, timeout: float | None = None) -> bool:
            if threading.current_thread().name != "dicom-sender":
                raise KeyboardInterrupt
            return super().wait(timeout)

    stop = Ending()
    with pytest.raises(KeyboardInterrupt):
        make().run(stop)
    assert stop.is_set()
    assert "dicom-sender" not in {thread.name for thread in threading.enumerate()}


def test_a_delivery_that_breaks_off_waits_its_turn_and_lets_the_others_go(
    make: Make, pacs: Any, hospital: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    node = make(Destination(name="pacs", host="127.0.0.1", port=pacs.port, ae_title="PACS"))
    (image,) = hospital.ct_study(1)
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    for content in ("broken", "sound"):
        fence = an_answer(node, content)
        id = hashlib.sha256(content.encode()).hexdigest()[:32]
        folder = node.services.storage.result(id, fence)
        hospital.write_study(folder, [image])
        if content == "broken":
            (folder / "0.dcm").write_bytes(b"no DICOM object")
        node.look_for_answers((0,))
    for _ in range(2):
        node.deliver()
    assert deliveries(node) == [("pacs", "waiting", 1), ("pacs", "unnoted", 1)]
    assert len(pacs.objects) == 1
    assert "is tried again: The attempt broke off: InvalidDicomError." in caplog.text


def test_an_authorization_that_became_unreadable_fails_its_own_delivery_alone(
    make: Make, pacs: Any, hospital: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "token").write_bytes(b"Bearer gehe\xefm")
    web = Destination(
        name="web", kind="stow", url="http://127.0.0.1:1/studies",
        authorization_file=str(tmp_path / "token"),
    )  # fmt: skip
    node = make(web, Destination(name="pacs", host="127.0.0.1", port=pacs.port, ae_title="PACS"))
    fence = an_answer(node)
    folder = node.services.storage.result(hashlib.sha256(b"one").hexdigest()[:32], fence)
    (image,) = hospital.ct_study(1)
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    hospital.write_study(folder, [image])
    node.look_for_answers((0,))
    node.deliver()
    assert set(deliveries(node)) == {("web", "waiting", 1), ("pacs", "unnoted", 1)}
    assert len(pacs.objects) == 1


def test_a_sender_that_is_stopped_begins_nothing_new(
    make: Make, pacs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    node = make(Destination(name="pacs", host="127.0.0.1", port=pacs.port, ae_title="PACS"))
    an_answer(node)
    node.look_for_answers((0,))
    stop = threading.Event()
    stop.set()
    node.deliver(stop)
    assert deliveries(node) == [("pacs", "waiting", 0)]


def test_a_clock_that_is_put_back_keeps_no_answer_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + MONTH_S)
    ledger.owe("0" * 32, 1.0, "1", ["pacs"])
    ledger.failed(ledger.due()[0], "away", retry_s=30, give_up_s=MONTH_S)
    assert not ledger.due()
    monkeypatch.setattr(time, "time", real)
    assert [one.destination for one in ledger.due()] == ["pacs"]
    ledger.close()
