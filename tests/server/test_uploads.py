"""What comes in as a form: its limits, its order and its names."""

import asyncio
import errno
import os
from collections.abc import Iterable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import Message, Scope

from deeppneumonia.server.app import create_app
from deeppneumonia.server.services import Services

ZIP = {"Content-Type": "application/zip"}


def posted(services: Services, form: Iterable[bytes]) -> int:
    """The status for a form, where 10 files with a byte are taken; nothing of it stays."""
    settings = services.settings.but(max_upload_files=10, max_upload_bytes=1)
    answer = TestClient(create_app(settings), "http://127.0.0.1").post(
        "/api/v1/studies",
        content=form,
        headers={"Content-Type": "multipart/form-data; boundary=a"},
    )
    assert not list((services.storage.data / "incoming").iterdir())
    return answer.status_code


@pytest.mark.parametrize(
    "part",
    [
        b'Content-Disposition: form-data; name="%d"\r\n\r\n',
        b'Content-Disposition: form-data; name="files"; filename="%d"\r\n\r\n',
    ],
    ids=["empty fields", "empty files"],
)
def test_a_form_without_content_has_an_end_too(services: Services, part: bytes) -> None:
    many = (b"--a\r\n" + part % n + b"\r\n" for n in range(100))
    assert posted(services, many) == 413


def test_what_stands_between_the_files_is_not_endless(services: Services) -> None:
    assert posted(services, (b"\r\n" * 100_000 for _ in range(12))) == 413


def test_a_disk_that_becomes_full_on_the_way_says_so(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", is_full)
    answer = client.post("/api/v1/studies", content=b"one", headers=ZIP)
    assert (answer.status_code, "disk is full" in answer.json()["detail"]) == (507, True)
    assert not list((services.storage.data / "incoming").iterdir())


async def stopped_while_receiving(app: FastAPI) -> list[Message]:
    """What a sender hears when uvicorn ends its request, and next the loop that it runs in."""
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/zip")]
    scope: Scope = {
        "type": "http", "method": "POST", "path": "/api/v1/studies", "headers": headers,
        "query_string": b"", "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    waits, heard = asyncio.Event(), []

    async def receive() -> Message:
        waits.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        heard.append(message)

    request = asyncio.create_task(app(scope, receive, send))
    await waits.wait()
    for _ in range(2):
        request.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([request])
    return heard


def test_a_server_that_is_stopped_meanwhile_says_so(services: Services) -> None:
    begin, body = asyncio.run(stopped_while_receiving(create_app(services.settings, services)))
    assert (begin["status"], b"send the upload again" in body["body"]) == (503, True)
    assert not list((services.storage.data / "incoming").iterdir())


def test_pictures_of_two_folders_stay_apart_as_on_the_command_line(
    client: TestClient, services: Services
) -> None:
    def sent(*names: str) -> tuple[str, list[str]]:
        files = [("files", (name, name[-5:].encode())) for name in names]
        id = client.post("/api/v1/studies", files=files).json()["id"]
        upload = services.storage.upload(id)
        return id, sorted(str(one.relative_to(upload)) for one in upload.rglob("*.png"))

    apart, files = sent("ct/anna/1.png", "ct/bert/1.png", "ct/anna/2.png")
    assert files == ["000001.png", "000002.png", "1/000003.png"]
    together, files = sent("ct/1.png", "ct/2.png", "ct/3.png")
    assert files == ["000001.png", "000002.png", "000003.png"]
    assert sent("a/1.png", "a/2.png", "b/1.png")[0] == apart != together


def test_a_file_that_comes_again_with_its_name_is_another_study(client: TestClient) -> None:
    """A volume is known by its name: without one it is refused, which its sender can then mend."""
    bare = {"Content-Type": "application/octet-stream"}
    named = bare | {"Content-Disposition": 'attachment; filename="chest.mha"'}
    sent = [
        client.post("/api/v1/studies", content=b"volume", headers=headers)
        for headers in (bare, bare, named, named)
    ]
    assert [answer.status_code for answer in sent] == [202, 200, 202, 200]


def test_a_volume_in_two_files_is_sent_in_one(client: TestClient) -> None:
    files = [("files", ("ct.mhd", b"ElementDataFile = ct.raw")), ("files", ("ct.raw", b"x"))]
    answer = client.post("/api/v1/studies", files=files)
    assert (answer.status_code, "in one zip" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("label", "seen"), [(" \t", ""), ("a\0\u202e b", "a b"), ("Schädel  2", "Schädel 2")]
)
def test_a_label_is_what_can_be_seen_of_it(client: TestClient, label: str, seen: str) -> None:
    answer = client.post("/api/v1/studies", files=[("files", ("a", b"x"))], data={"label": label})
    assert answer.json()["label"] == seen
