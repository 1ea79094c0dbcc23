"""Results on their way out: C-STORE and STOW-RS, one attempt each.

Source: DICOM PS3.4 annex B (storage), PS3.18 10.5 (store transaction).
"""

import http.client
import json
import secrets
import ssl
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE

from deeppneumonia.errors import DeepPneumoniaError
from deeppneumonia.server.dicom_settings import Destination

TIMEOUT_S = 60.0
WARNINGS = (0xB000, 0xB006, 0xB007)
"""Stored, and changed or not understood in parts (PS3.4 table B.2-1)."""

FAILED_SOP_SEQUENCE = "00081198"
CHUNK_BYTES = 256 * 1024


class DeliveryError(DeepPneumoniaError):
    """A destination did not take the objects; the message says why, without naming anybody."""


def send(files: Sequence[Path], destination: Destination, *, ae_title: str) -> str:
    """Send DICOM files to a destination.

    Args:
        ae_title: how this node calls itself.

    Returns:
        What the destination did not want, in words; empty when it took everything.

    Raises:
        DeliveryError: it could not be reached, or took nothing, or failed on one of them.
    """
    try:
        if destination.kind == "stow":
            return _post(files, destination)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom quotes values that it finds odd
            return _store(files, destination, ae_title)
    except (OSError, http.client.HTTPException) as error:
        words = getattr(error, "strerror", None) or type(error).__name__
        raise DeliveryError(f"The destination cannot be reached: {words}.") from error


def _store(files: Sequence[Path], destination: Destination, ae_title: str) -> str:
    datasets = [pydicom.dcmread(file) for file in files]
    entity = AE(ae_title=ae_title)
    entity.connection_timeout = entity.acse_timeout = TIMEOUT_S
    entity.dimse_timeout = entity.network_timeout = TIMEOUT_S
    for uid in dict.fromkeys(str(dataset.SOPClassUID) for dataset in datasets):
        entity.add_requested_context(uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    tls = (_client_context(destination), destination.host) if destination.tls else None
    association = entity.associate(
        destination.host, destination.port, ae_title=destination.ae_title, tls_args=tls
    )
    if not association.is_established:
        words = "cannot be reached"
        if association.is_rejected:
            words = "rejected the association"
        elif association.rejected_contexts:
            words = "takes none of our objects"
        raise DeliveryError(f"The destination {words}.")
    try:
        taken = {context.abstract_syntax for context in association.accepted_contexts}
        for dataset in datasets:
            if dataset.SOPClassUID in taken:
                _check_status(association.send_c_store(dataset))
    finally:
        association.release()
    unwanted = [one.SOPClassUID.name for one in datasets if one.SOPClassUID not in taken]
    return f"not taken: {', '.join(dict.fromkeys(unwanted))}" if unwanted else ""


def _check_status(answer: Any) -> None:
    status = answer.get("Status")
    if status is None:
        raise DeliveryError("The destination broke off while an object was sent.")
    if status != 0 and status not in WARNINGS:
        raise DeliveryError(f"The destination refused an object with status 0x{status:04X}.")


def _client_context(destination: Destination) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=destination.ca or None)


def _post(files: Sequence[Path], destination: Destination) -> str:
    """One store transaction; http.client follows no redirect and asks no proxy."""
    url = urlsplit(destination.url)
    boundary = secrets.token_hex(16)
    place = url.path + (f"?{url.query}" if url.query else "")
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Content-Length": str(sum(len(part) for part in _frame(boundary, len(files)))
                              + sum(file.stat().st_size for file in files)),
        "Accept": "application/dicom+json",
        **_authorization(destination),
    }  # fmt: skip
    connection = _connection(url.scheme, url.netloc, destination)
    try:
        connection.request("POST", place or "/", _body(files, boundary), headers)
        answer = connection.getresponse()
        return _judged(answer.status, answer.read(1024 * 1024))
    finally:
        connection.close()


def _connection(scheme: str, place: str, destination: Destination) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(
            place, timeout=TIMEOUT_S, context=_client_context(destination)
        )
    return http.client.HTTPConnection(place, timeout=TIMEOUT_S)


def _authorization(destination: Destination) -> Mapping[str, str]:
    if not destination.authorization_file:
        return {}
    return {"Authorization": Path(destination.authorization_file).read_text().strip()}


def _frame(boundary: str, parts: int) -> list[bytes]:
    """What stands before each part, and after the last."""
    head = f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return [head] * parts + [f"\r\n--{boundary}--\r\n".encode()]


def _body(files: Sequence[Path], boundary: str) -> Iterator[bytes]:
    *heads, end = _frame(boundary, len(files))
    for head, file in zip(heads, files, strict=True):
        yield head
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    yield end


def _judged(status: int, body: bytes) -> str:
    """Empty when all was stored (PS3.18 10.5.3): 200, or 202 without a failed instance."""
    if status not in (200, 202):
        raise DeliveryError(f"The destination answered with HTTP status {status}.")
    try:
        answer = json.loads(body) if body else {}
    except ValueError:
        answer = {}
    first = answer[0] if isinstance(answer, list) and answer else answer
    failed = first.get(FAILED_SOP_SEQUENCE, {}).get("Value", []) if isinstance(first, dict) else []
    if failed:
        raise DeliveryError(f"The destination did not store {len(failed)} of the objects.")
    return ""
