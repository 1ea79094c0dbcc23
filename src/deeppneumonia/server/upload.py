"""Receiving files as a stream: limits hold on every block, and memory does not grow with the file.

One receiver serves forms (`multipart/form-data`), DICOMweb (`multipart/related`) and a bare body.
"""

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from deeppneumonia.errors import InputRefusedError
from deeppneumonia.server.settings import MEGABYTE, Settings
from deeppneumonia.server.storage import Piece, Storage

BLOCK_BYTES = MEGABYTE
FIELD_BYTES = 64 * 1024
FIELDS = 32
"""Most fields of a form that are no files, and most empty files beside those that count."""

BARE_TYPES = {
    "application/zip": "study.zip",
    "application/dicom": "study.dcm",
    "application/gzip": "study.nii.gz",
    "application/octet-stream": "study",
}


class UploadError(InputRefusedError):
    """What was sent is no upload; answered with status 400."""

    status = 400


class TooLargeError(UploadError):
    """More than the server takes; answered with status 413."""

    status = 413


class WrongTypeError(UploadError):
    """A body of a kind that is not taken; answered with status 415."""

    status = 415


class StoppedError(UploadError):
    """The server is stopped while it receives; answered with status 503."""

    status = 503


class Received:
    """Files in an incoming folder, and the fields that came with them; a context that cleans up."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.fields: dict[str, str] = {}
        self.pieces: list[Piece] = []
        self.settings = settings
        self._bytes = self._begun = 0
        self._open: _OpenFile | None = None

    def __enter__(self) -> "Received":
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.file.close()
        shutil.rmtree(self.folder, ignore_errors=True)  # gone already if it was kept

    def begin(self, name: str) -> None:
        """Start a new file."""
        self._begun += 1
        most = self.settings.max_upload_files
        if len(self.pieces) >= most or self._begun > most + FIELDS:
            raise TooLargeError(f"The upload has more than {most} files: send one study.")
        self._open = _OpenFile(self.folder / f"part{len(self.pieces):06d}", name)

    def write(self, data: bytes | memoryview) -> None:
        """Add to the file that is open."""
        assert self._open is not None
        self._bytes += len(data)
        if self._bytes > self.settings.max_upload_bytes:
            raise _too_large(self.settings)
        self._open.write(data)

    def end(self) -> None:
        """Flush the open file to the disk; an empty one is dropped."""
        assert self._open is not None
        piece = self._open.close()
        self._open = None
        if piece.size_bytes:
            self.pieces.append(piece)
        else:
            piece.path.unlink()


class _OpenFile:
    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name, self.size_bytes = path, name, 0
        self.sha256 = hashlib.sha256()
        self.file = path.open("xb")

    def write(self, data: bytes | memoryview) -> None:
        self.file.write(data)
        self.sha256.update(data)
        self.size_bytes += len(data)

    def close(self) -> Piece:
        with self.file:
            self.file.flush()
            os.fsync(self.file.fileno())
        return Piece(
            path=self.path,
            name=self.name,
            sha256=self.sha256.hexdigest(),
            size_bytes=self.size_bytes,
        )


async def receive(request: Request, storage: Storage, settings: Settings) -> Received:
    """Take the body of a request into a new incoming folder.

    Raises:
        UploadError: no files, too many, too large, or a form that is not one.
        DiskFullError: there is no room.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    media_type = kind.decode("latin-1")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > _most_bytes(settings):
        raise _too_large(settings)
    received = Received(await run_in_threadpool(storage.incoming), settings)
    try:
        await _fill(received, request, media_type, options)
    except BaseException:
        received.__exit__()
        raise
    return received


def _most_bytes(settings: Settings) -> int:
    return settings.max_upload_bytes + BLOCK_BYTES


def _too_large(settings: Settings) -> TooLargeError:
    return TooLargeError(
        f"The upload is larger than {settings.max_upload_bytes / MEGABYTE:.0f} MB, the most "
        "this server takes: send one series."
    )


async def _fill(
    received: Received, request: Request, media_type: str, options: dict[bytes, bytes]
) -> None:
    if media_type in ("multipart/form-data", "multipart/related"):
        parser = _parser(received, options.get(b"boundary", b""), media_type)
        feed: Callable[[bytes], object] = parser.write
        end: Callable[[], object] = parser.finalize
    elif media_type in BARE_TYPES:
        received.begin(_bare_name(request, BARE_TYPES[media_type]))
        feed, end = received.write, received.end
    else:
        raise WrongTypeError(
            "The body is of a kind that is not taken: send multipart/form-data, multipart/related, "
            f"{', '.join(BARE_TYPES)}."
        )
    try:
        taken = 0
        async for block in _blocks(request):
            taken += len(block)
            if taken > _most_bytes(received.settings):  # of whatever: headers and fields count too
                raise _too_large(received.settings)
            await run_in_threadpool(feed, block)
        await run_in_threadpool(end)
    except FormParserError as error:
        raise UploadError("The body is no well-formed multipart message: send it again.") from error
    except ClientDisconnect as error:
        raise UploadError("The connection broke off: send the upload again.") from error
    except asyncio.CancelledError as error:  # by uvicorn alone, when it has waited long enough
        raise StoppedError("The server was stopped: send the upload again later.") from error
    if not received.pieces or received._open is not None:
        raise UploadError("The upload holds no whole file: send one file or more.")


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces of about a megabyte: few changes of thread, little memory."""
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        if len(held) >= BLOCK_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _bare_name(request: Request, name: str) -> str:
    _, options = parse_options_header(request.headers.get("content-disposition", ""))
    return options.get(b"filename", name.encode()).decode("utf-8", "replace")


def _parser(received: Received, boundary: bytes, media_type: str) -> MultipartParser:
    if not 1 <= len(boundary) <= 70:  # RFC 2046, 5.1.1
        raise UploadError("The multipart message names no boundary: send it again.")
    form = _Form(received, every_part_is_a_file=media_type == "multipart/related")
    callbacks: Any = {
        name: getattr(form, name)
        for name in (
            "on_part_begin", "on_header_field", "on_header_value", "on_header_end",
            "on_headers_finished", "on_part_data", "on_part_end",
        )
    }  # fmt: skip
    return MultipartParser(boundary, callbacks)


class _Form:
    """What the parser calls while it walks through the message."""

    def __init__(self, received: Received, *, every_part_is_a_file: bool) -> None:
        self.received = received
        self.every_part_is_a_file = every_part_is_a_file

    def on_part_begin(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.header_name, self.header_value = b"", b""
        self.field: str | None = None
        self.text = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self.header_name = (self.header_name + data[start:end])[:256]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self.header_value = (self.header_value + data[start:end])[:4096]

    def on_header_end(self) -> None:
        self.headers[self.header_name.lower()] = self.header_value
        self.header_name, self.header_value = b"", b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self.headers.get(b"content-disposition", b""))
        if self.every_part_is_a_file or b"filename" in options:
            self.received.begin(options.get(b"filename", b"").decode("utf-8", "replace"))
        else:
            self.field = options.get(b"name", b"").decode("utf-8", "replace")
            if len(self.received.fields) >= FIELDS:
                raise _long_form()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self.field is None:
            self.received.write(memoryview(data)[start:end])
        else:
            self.text += data[start:end]
            if len(self.text) > FIELD_BYTES:
                raise _long_form()

    def on_part_end(self) -> None:
        if self.field is None:
            self.received.end()
        else:
            self.received.fields[self.field] = self.text.decode("utf-8", "replace")


def _long_form() -> TooLargeError:
    return TooLargeError("The form has fields too many or too long: send the study as a file.")
