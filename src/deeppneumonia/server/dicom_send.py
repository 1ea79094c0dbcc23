"""Results on their way out: C-STORE and STOW-RS, one attempt each.

Source: DICOM PS3.4 annex B (storage), PS3.18 10.5 (store transaction).
"""

import http.client
import json
import secrets
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pydicom
from pydicom.config import IGNORE
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE

from deeppneumonia.errors import ConfigError, DeepPneumoniaError
from deeppneumonia.server.dicom_settings import Destination

TIMEOUT_S = 60.0
TAKEN = 0x0000
WARNINGS = (0xB000, 0xB006, 0xB007)
"""Stored, and changed or not understood in parts (PS3.4 table B.2-1)."""

HAS_IT_ALREADY = 0x0111
"""Duplicate SOP instance (PS3.7 annex C): what an attempt before this one left there counts."""

FAILED_SOP_SEQUENCE, SOP_CLASS, FAILURE_REASON = "00081198", "00081150", "00081197"
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
        DeliveryError: it could not be reached, broke off, took nothing, or had no room for one of
            them; all that it would take has been sent by then.
    """
    try:
        if destination.kind == "stow":
            return _post(files, destination)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom quotes values that it finds odd
            return _store(files, destination, ae_title)
    except ConfigError as error:  # a file that was in order when we started
        raise DeliveryError(str(error)) from error
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
    tls = (destination.context, destination.host) if destination.tls else None
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
        known = {context.abstract_syntax for context in association.accepted_contexts}
        refusals = [
            _Refusal(dataset.SOPClassUID.name, status)
            for dataset in datasets
            if (status := _status(association, dataset, known)) != TAKEN
        ]
    finally:
        association.release()
    return _remark(refusals, len(datasets))


def _status(association: Any, dataset: Any, known: Collection[object]) -> int | None:
    """What became of one object: `TAKEN`, a status of failure, or None when its class is not."""
    if dataset.SOPClassUID not in known:
        return None
    status = association.send_c_store(dataset).get("Status")
    if status is None:
        raise DeliveryError("The destination broke off while an object was sent.")
    return TAKEN if status in (*WARNINGS, HAS_IT_ALREADY) else int(status)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An object that was not taken."""

    kind: str
    """Name of its SOP class."""

    status: int | None
    """As answered; None when there was none."""

    @property
    def may_pass(self) -> bool:
        """Whether the destination only had no room (PS3.4 table B.2-1, PS3.7 annex C)."""
        return self.status is not None and (self.status >> 8 == 0xA7 or self.status == 0x0213)

    def __str__(self) -> str:
        return self.kind if self.status is None else f"{self.kind} (0x{self.status:04X})"


def _remark(refusals: Sequence[_Refusal], sent: int) -> str:
    """What was not taken, in words; DeliveryError when that, or a part of it, may still be."""
    words = ", ".join(dict.fromkeys(str(one) for one in refusals))
    if any(one.may_pass for one in refusals):
        raise DeliveryError(f"The destination has no room now: {words}.")
    if len(refusals) >= sent:
        raise DeliveryError(f"The destination took nothing: {words}.")
    return f"not taken: {words}" if words else ""


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
        return _judged(answer.status, answer.read(1024 * 1024), len(files))
    finally:
        connection.close()


def _connection(scheme: str, place: str, destination: Destination) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(place, timeout=TIMEOUT_S, context=destination.context)
    return http.client.HTTPConnection(place, timeout=TIMEOUT_S)


def _authorization(destination: Destination) -> Mapping[str, str]:
    value = destination.authorization
    return {"Authorization": value} if value else {}


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


def _judged(status: int, body: bytes, sent: int) -> str:
    """What was not stored, in words (PS3.18 10.5.3): 200 is all, 202 all but what it names."""
    if status not in (200, 202):
        raise DeliveryError(f"The destination answered with HTTP status {status}.")
    try:
        answer = json.loads(body) if body else {}
    except ValueError:
        answer = {}
    first = answer[0] if isinstance(answer, list) and answer else answer
    failed = [_failure(item) for item in _values(first, FAILED_SOP_SEQUENCE)]
    return _remark([one for one in failed if one.status != HAS_IT_ALREADY], sent)


def _failure(item: object) -> _Refusal:
    """What a failed item tells; nothing that is not known goes from it into our log."""
    uid = str(next(iter(_values(item, SOP_CLASS)), ""))
    name = UID(uid, IGNORE).name  # pydicom's warnings would quote it
    reason = next(iter(_values(item, FAILURE_REASON)), None)
    is_status = isinstance(reason, int) and 0 <= reason <= 0xFFFF
    return _Refusal("an object" if name == uid else name, reason if is_status else None)


def _values(item: object, tag: str) -> list[Any]:
    """The values of an attribute in the DICOM JSON model (PS3.18 F.2); none when it is odd."""
    attribute = item.get(tag) if isinstance(item, dict) else None
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values if isinstance(values, list) else []
