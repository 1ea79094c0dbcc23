"""Who may associate with the node, and what it does with what is sent."""

import io
import socket
import ssl
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pydicom
import pytest
from pydicom.uid import CTImageStorage
from pynetdicom.dimse_primitives import C_STORE

from deeppneumonia.errors import ConfigError
from deeppneumonia.server.dicom_limits import MAX_PDU_BYTES
from deeppneumonia.server.dicom_scp import Listener
from deeppneumonia.server.dicom_settings import NodeSettings, Peer, Tls
from deeppneumonia.server.dicom_spool import Spool, UnfitObjectError

Listen = Callable[..., Listener]
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has hung up, at once or after an abort."""
    connection.settimeout(20)
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """A PDU that may lie about its length (PS3.8 9.3.1)."""
    return struct.pack(">BBL", kind, 0, len(body) if length is None else length) + body


def command_fragment(context: int, size: int) -> bytes:
    """A P-DATA-TF PDU with a piece of a command that is not the last (PS3.8 9.3.5, annex E)."""
    item = struct.pack(">LBB", size + 2, context, 0b01) + b"\0" * size
    return pdu(4, item)


def sent_before_hang_up(connection: socket.socket, block: bytes, limit_bytes: int) -> int:
    """How much the other side lets us send of an endless stream."""
    connection.settimeout(20)
    sent = 0
    try:
        while sent < limit_bytes:
            sent += connection.send(block)
    except OSError:  # reset, timed out, or closed by pynetdicom when the node hung up
        pass
    return sent


def test_an_echo_is_answered(listen: Listen, hospital: ModuleType) -> None:
    association = hospital.associate(listen().port)
    assert association.send_c_echo().Status == 0
    association.release()


def test_a_wrong_called_title_is_rejected(listen: Listen, hospital: ModuleType) -> None:
    association = hospital.associate(listen().port, title="SOMEBODY")
    assert association.is_rejected


def test_who_is_rejected_and_why_is_in_the_log(
    listen: Listen, hospital: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    port = listen(max_associations=1).port
    hospital.associate(port, title="SOMEBODY")
    first = hospital.associate(port)
    hospital.associate(port)
    first.release()
    hospital.eventually(lambda: len(caplog.messages) == 2)
    begin = "rejected an association from 127.0.0.1: "
    title, number = "it calls another AE title than ours", "there are too many already"
    assert caplog.messages == [begin + title, begin + number]


def test_a_command_that_is_none_is_told_in_one_line_without_what_it_says(
    listen: Listen, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str],
    hospital: ModuleType,
) -> None:  # fmt: skip
    association = hospital.associate(listen().port)
    context = next(one for one in association.accepted_contexts if "CT" in one.abstract_syntax.name)
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = context.abstract_syntax
    request.DataSet = io.BytesIO(b"PLANTED^NAME")
    association.dimse.send_msg(request, context.context_id)
    hospital.eventually(lambda: association.is_aborted)
    hospital.eventually(lambda: caplog.messages)
    assert [one.partition(" in ")[0] for one in caplog.messages] == [
        "a connection broke off: AttributeError"
    ]
    assert "Traceback" not in capsys.readouterr().err


def test_images_are_kept_under_hashes_of_their_uids(
    listen: Listen, spool: Spool, hospital: ModuleType
) -> None:
    study = hospital.ct_study()
    assert hospital.store(listen().port, study) == [0] * len(study)
    (files,) = spool.waiting()
    assert len(files) == len(study)
    kept = {pydicom.dcmread(file).SOPInstanceUID: pydicom.dcmread(file) for file in files}
    for image in study:
        assert kept[image.SOPInstanceUID].PixelData == image.PixelData
    for path in spool.studies.rglob("*"):
        assert set(path.stem) <= set("0123456789abcdef") and len(path.stem) == 32
    assert not list(spool.receiving.iterdir())


def test_an_image_that_comes_twice_is_kept_once(
    listen: Listen, spool: Spool, hospital: ModuleType
) -> None:
    study, port = hospital.ct_study(), listen().port
    hospital.store(port, study)
    assert hospital.store(port, study) == [0] * len(study)
    assert [len(files) for files in spool.waiting()] == [len(study)]


def test_what_is_no_ct_is_acknowledged_and_not_kept(
    listen: Listen, spool: Spool, hospital: ModuleType
) -> None:
    report = hospital.ct_image(0, "1.2.3", "1.2.3.4", SOPClassUID=BASIC_TEXT_SR, Modality="SR")
    assert hospital.store(listen().port, [report]) == [0]
    assert not list(spool.waiting())
    assert not list(spool.receiving.iterdir())


def test_an_image_without_a_study_is_refused(
    listen: Listen, spool: Spool, hospital: ModuleType
) -> None:
    lost = hospital.ct_image(0, "", "1.2.3.4")
    assert hospital.store(listen().port, [lost]) == [0xA900]
    assert not list(spool.waiting())


def test_an_image_that_was_announced_as_another_class_is_refused(
    spool: Spool, hospital: ModuleType
) -> None:
    file = spool.receiving / "one"
    image = hospital.ct_image(0, "1.2.3", "1.2.3.4", SOPClassUID=BASIC_TEXT_SR)
    image.save_as(file, enforce_file_format=True)
    with pytest.raises(UnfitObjectError, match="another one than was announced"):
        spool.take(file, sop_class=CTImageStorage, sop_instance="1.2.3.4.1")
    assert not list(spool.waiting())


def test_a_full_disk_refuses_images_and_keeps_the_association(
    listen: Listen, spool: Spool, hospital: ModuleType
) -> None:
    spool._storage.min_free_bytes = 1 << 60
    study = hospital.ct_study()
    assert hospital.store(listen().port, study) == [0xA700] * len(study)
    assert not list(spool.waiting()) and not list(spool.receiving.iterdir())


def test_a_peer_needs_its_address_and_its_title(listen: Listen, hospital: ModuleType) -> None:
    # All of 127.0.0.0/8 is this machine, so that peers at two addresses can be played here.
    port = listen(
        peers=(
            Peer(ae_title="SCANNER", address="127.0.0.2"),
            Peer(ae_title="ARCHIVE", address="127.0.0.3/32"),
        )
    ).port
    at_2, at_3, at_9 = (("127.0.0.2", 0), ("127.0.0.3", 0), ("127.0.0.9", 0))
    right = hospital.associate(port, caller="SCANNER", bind_address=at_2)
    assert right.is_established
    right.release()
    assert hospital.associate(port, caller="ARCHIVE", bind_address=at_2).is_rejected
    assert hospital.associate(port, caller="SCANNER", bind_address=at_3).is_rejected
    stranger = hospital.associate(port, caller="SCANNER", bind_address=at_9)
    assert not stranger.is_established and not stranger.is_rejected  # it is not even talked to


def test_one_association_too_many_is_rejected(listen: Listen, hospital: ModuleType) -> None:
    port = listen(max_associations=2).port
    first, second = hospital.associate(port), hospital.associate(port)
    assert first.is_established and second.is_established
    assert hospital.associate(port).is_rejected
    first.release()
    second.release()
    hospital.eventually(lambda: hospital.associate(port).is_established)


def test_connections_that_say_nothing_do_not_add_up(listen: Listen, hospital: ModuleType) -> None:
    listener = listen(max_associations=2, network_timeout_s=10)
    silent = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(8)]
    assert all(is_closed(connection) for connection in silent[4:])
    hospital.eventually(lambda: listener.connections == 4)
    for connection in silent:
        connection.close()
    hospital.eventually(lambda: hospital.associate(listener.port).is_established)


@pytest.mark.parametrize("kind", [1, 4], ids=["a-associate-rq", "p-data-tf"])
def test_a_pdu_of_a_bogus_length_is_not_read(
    kind: int, listen: Listen, hospital: ModuleType
) -> None:
    listener = listen()
    with socket.create_connection(("127.0.0.1", listener.port)) as connection:
        connection.sendall(pdu(kind, b"", length=0xFFFFFFF0))
        sent = sent_before_hang_up(connection, b"\0" * 65536, 256 << 20)
    # What fits into the buffers of two sockets may be sent; it is read by nobody.
    assert sent < 16 << 20
    assert hospital.associate(listener.port).is_established


def test_a_command_without_end_is_cut_off(listen: Listen, hospital: ModuleType) -> None:
    listener = listen()
    association = hospital.associate(listener.port)
    context = association.accepted_contexts[0].context_id
    sent = sent_before_hang_up(
        association.dul.socket.socket, command_fragment(context, 65000), 256 << 20
    )
    assert sent < 16 << 20
    assert hospital.associate(listener.port).is_established


def test_an_object_without_end_is_cut_off(
    listen: Listen, spool: Spool, hospital: ModuleType
) -> None:
    listener = listen(max_object_bytes=1 << 20)
    large = hospital.ct_image(0, "1.2.3", "1.2.3.4", PixelData=b"\0" * (4 << 20))
    association = hospital.associate(listener.port)
    assert "Status" not in association.send_c_store(large)
    assert not list(spool.waiting())
    hospital.eventually(lambda: listener.connections == 0)
    spool.sweep(older_than_s=0)
    assert not list(spool.receiving.iterdir())


def test_the_largest_pdu_holds_a_request_for_everything() -> None:
    # 128 contexts of 60 transfer syntaxes; a UID has at most 64 characters (PS3.5 9.1).
    assert MAX_PDU_BYTES > 128 * (64 + 60 * (64 + 4) + 12)


def test_tls_wants_a_certificate_that_the_ca_vouches_for(
    listen: Listen, hospital: ModuleType, certificates: Path
) -> None:
    tls = Tls(
        certificate=str(certificates / "node.pem"),
        key=str(certificates / "node.key"),
        ca=str(certificates / "ca.pem"),
    )
    listener = listen(tls=tls)
    # One that connects and says nothing must not keep the others waiting.
    silent = socket.create_connection(("127.0.0.1", listener.port))
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    start = time.monotonic()
    unknown = hospital.associate(listener.port, tls_args=(context, "127.0.0.1"))
    assert not unknown.is_established
    context.load_cert_chain(certificates / "peer.pem", certificates / "peer.key")
    known = hospital.associate(listener.port, tls_args=(context, "127.0.0.1"))
    assert known.is_established and known.send_c_echo().Status == 0
    assert time.monotonic() - start < 20
    known.release()
    assert not hospital.associate(listener.port).is_established  # no TLS at all
    silent.close()


def test_a_port_that_is_taken_is_named(listen: Listen, spool: Spool) -> None:
    port = listen().port
    with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"):
        Listener(NodeSettings(port=port), spool)


def test_certificates_that_are_not_there_are_named(listen: Listen) -> None:
    with pytest.raises(ConfigError, match=r"\[dicom_node.tls\] cannot be used"):
        listen(tls=Tls(certificate="nowhere.pem", key="nowhere.key"))
