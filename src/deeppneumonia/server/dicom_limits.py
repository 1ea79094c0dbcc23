"""How much a DICOM connection may send before it has said anything worth keeping.

pynetdicom believes the length that a PDU states and reads until it has come, keeps the commands of
a message in memory however long they are, and queues requests that nobody has answered yet.
"""

import time
from collections import deque
from typing import Any

from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.pdu import P_DATA_TF

MAX_PDU_BYTES = 1024 * 1024
"""Largest PDU that is read; a request for 128 contexts with 60 syntaxes each has 0.6 MB."""

OFFERED_PDU_BYTES = 128 * 1024
"""Largest PDU that peers are asked to send."""

MAX_MEMORY_BYTES = 1024 * 1024
"""Of one message, what does not go to a file: its command, and data that nobody asked for."""

MAX_WAITING = 16
"""Requests that may wait for an answer; without asynchronous operations there is one."""

READ_BYTES = 64 * 1024


class TooMuchError(ConnectionAbortedError):
    """A peer sends more than a DICOM peer has reason to; its connection is closed."""


class BoundedReader:
    """Reads from the socket of one association, within limits.

    Args:
        association: pynetdicom's, of an acceptor, with its socket set.
        max_object_bytes: of one message.
        timeout_s: for one PDU, from its first byte to its last.
    """

    def __init__(self, association: Any, *, max_object_bytes: int, timeout_s: float) -> None:
        self._association = association
        self._max_object_bytes = max_object_bytes
        self._timeout_s = timeout_s
        self._message_bytes = 0
        self._memory_bytes = 0

    def read(self, wanted_bytes: int) -> bytearray:
        """This many bytes, or fewer when the peer closes the connection before.

        Raises:
            TooMuchError: a limit is passed, by what was read or by what was announced.
        """
        self._check(wanted_bytes)
        deadline = time.monotonic() + self._timeout_s
        parts: deque[bytes] = deque()
        missing = wanted_bytes
        while missing:
            part = self._association.dul.socket.socket.recv(min(missing, READ_BYTES))
            if not part:
                break
            parts.append(part)
            missing -= len(part)
            if time.monotonic() > deadline:
                raise TooMuchError("A PDU takes too long.")
        return bytearray(b"".join(parts))

    def _check(self, wanted_bytes: int) -> None:
        self._message_bytes += wanted_bytes
        if wanted_bytes > MAX_PDU_BYTES:
            raise TooMuchError("A PDU announces more bytes than any has.")
        if self._message_bytes > self._max_object_bytes:
            raise TooMuchError("A message is larger than any image.")
        if self._memory_bytes > MAX_MEMORY_BYTES:
            raise TooMuchError("The command of a message is larger than any command.")
        if self._association.dimse.msg_queue.qsize() > MAX_WAITING:
            raise TooMuchError("Requests are sent without waiting for an answer.")

    def count_pdu(self, pdu: object) -> None:
        """Called for each PDU: how much of it stays in memory until its message is complete."""
        if not isinstance(pdu, P_DATA_TF):
            return
        to_file = isinstance(self._association.dimse.message, C_STORE_RQ)
        for item in pdu.presentation_data_value_items:
            is_command = item.message_control_header_byte[-1] == "1"
            if is_command or not to_file:
                self._memory_bytes += len(item.presentation_data_value or b"")

    def message_is_complete(self) -> None:
        """Called for each message: counting begins anew."""
        self._message_bytes = self._memory_bytes = 0
