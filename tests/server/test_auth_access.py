"""Who may do what: nobody from outside without a login, nobody with another's study."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from deeppneumonia.errors import ConfigError
from deeppneumonia.server.app import create_app
from deeppneumonia.server.services import Services
from deeppneumonia.server.serving import serve
from deeppneumonia.server.settings import Settings

Token = Callable[..., dict[str, str]]
ZIP = {"Content-Type": "application/zip"}
PASSWORD = "correct horse battery"


def send(client: TestClient, headers: dict[str, str], content: bytes = b"study") -> str:
    answer = client.post("/api/v1/studies", content=content, headers=ZIP | headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_alone_on_the_machine_nobody_has_to_log_in(client: TestClient) -> None:
    assert client.get("/api/v1/account").json()["name"] == "local"


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Proto", "Via"]
)
def test_whoever_comes_through_a_proxy_has_to(client: TestClient, header: str) -> None:
    assert client.get("/api/v1/account", headers={header: "10.0.0.9"}).status_code == 401


@pytest.mark.parametrize(
    "proxy",
    [{"behind_tls": True}, {"public_hosts": ("ct.example.org",)}],
    ids=["tls", "names"],
)
def test_whoever_comes_through_a_proxy_that_does_not_say_so_has_to(
    services: Services, proxy: dict[str, Any]
) -> None:
    """nginx's plain proxy_pass adds no header, and asks under our own address."""
    behind = replace(services, settings=services.settings.but(**proxy))
    client = TestClient(create_app(behind.settings, behind), "http://127.0.0.1:8000")
    assert client.get("/api/v1/account").status_code == 401
    services.accounts.add_user("anna", PASSWORD, "admin")
    services.accounts.remove_user("anna")
    assert client.get("/api/v1/account").status_code == 401
    with pytest.raises(ConfigError, match="through a proxy, and there is no user yet: add one"):
        serve(behind.settings.but(port=0))


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8000", 200), ("localhost", 200), ("[::1]:8000", 200), ("10.0.0.9", 401)],
)
def test_nobody_is_local_who_asks_for_another_machine(
    client: TestClient, host: str, status: int
) -> None:
    assert client.get("/api/v1/account", headers={"Host": host}).status_code == status


def test_as_soon_as_there_is_a_user_everybody_has_to(client: TestClient, token: Token) -> None:
    token("anna", "admin")
    for path in ("/api/v1/studies", "/api/v1/account", "/metrics", "/api/v1/audit"):
        assert client.get(path).status_code == 401
    assert client.post("/dicom-web/studies").status_code == 401


def test_a_server_for_others_does_not_start_without_a_user(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="there is no user yet: add one"):
        serve(settings.but(host="0.0.0.0", port=0))


def test_one_uploader_does_not_see_anothers_study(client: TestClient, token: Token) -> None:
    anna, bert = token("anna", "uploader"), token("bert", "uploader")
    id = send(client, anna)
    where = f"/api/v1/studies/{id}"
    for method, path in [
        ("GET", where), ("GET", f"{where}/result"), ("GET", f"{where}/files/result.json"),
        ("POST", f"{where}/cancel"), ("POST", f"{where}/requeue"), ("DELETE", where),
    ]:  # fmt: skip
        refused = client.request(method, path, headers=bert)
        unknown = client.request(method, path.replace(id, "0" * 32), headers=bert)
        assert refused.status_code == unknown.status_code == 404
        assert refused.json() == unknown.json()
    assert client.get("/api/v1/studies", headers=bert).json()["total"] == 0
    assert client.get(where, headers=anna).status_code == 200


def test_a_viewer_sees_all_and_changes_nothing(client: TestClient, token: Token) -> None:
    id = send(client, token("anna", "uploader"))
    viewer = token("vera", "viewer")
    assert client.get(f"/api/v1/studies/{id}", headers=viewer).status_code == 200
    assert client.delete(f"/api/v1/studies/{id}", headers=viewer).status_code == 403
    answer = client.post("/api/v1/studies", content=b"x", headers=ZIP | viewer)
    assert answer.status_code == 403
    assert client.get("/api/v1/audit", headers=viewer).status_code == 403


def test_a_token_may_do_no_more_than_its_scopes(client: TestClient, token: Token) -> None:
    narrow = token("anna", "admin", "submit")
    id = send(client, narrow)
    assert client.get("/api/v1/studies", headers=narrow).status_code == 403
    assert client.get(f"/api/v1/studies/{id}", headers=narrow).status_code == 404
    assert client.get("/metrics", headers=narrow).status_code == 403


def test_a_token_may_do_no_more_than_its_owner(client: TestClient, token: Token) -> None:
    assert client.get("/metrics", headers=token("anna", "uploader", "admin")).status_code == 403


def test_log_in_and_out(client: TestClient, services: Services) -> None:
    services.accounts.add_user("anna", PASSWORD, "uploader")
    wrong = client.post("/api/v1/login", json={"name": "anna", "password": "no"})
    assert wrong.status_code == 401
    done = client.post("/api/v1/login", json={"name": "anna", "password": PASSWORD})
    cookie = done.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert client.get("/api/v1/account").json() == {"name": "anna", "rights": ["read", "submit"]}
    same_site = {"Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/v1/logout", headers=same_site).status_code == 204
    client.cookies.set("deeppneumonia_session", cookie.split("=")[1].split(";")[0])
    assert client.get("/api/v1/account").status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        r'{"name": "a\ud800", "password": "\ud800"}',
        r'{"name": "anna", "password": ["\ud800"]}',
        r'{"name": "a\u0000", "password": "\u0000"}',
    ],
)
def test_a_name_that_is_no_text_is_refused_and_not_said_again(
    client: TestClient, body: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/api/v1/login", content=body, headers=headers)
    assert answer.status_code in (401, 422) and "input" not in answer.text


def test_the_cookie_is_secure_behind_tls(services: Services) -> None:
    services.accounts.add_user("anna", PASSWORD, "uploader")
    app = create_app(services.settings.but(behind_tls=True), services)
    app.state.services = Services.open(services.settings.but(behind_tls=True))
    client = TestClient(app, "http://127.0.0.1")
    done = client.post("/api/v1/login", json={"name": "anna", "password": PASSWORD})
    assert "secure" in done.headers["set-cookie"].lower()
    assert "max-age" in done.headers["strict-transport-security"]


def test_passwords_cannot_be_tried_out(client: TestClient, services: Services) -> None:
    services.accounts.add_user("anna", PASSWORD, "uploader")
    for _ in range(9):
        services.logins.wait_s("anna")  # as a try from anywhere does
    wrong = client.post("/api/v1/login", json={"name": "anna", "password": "a guess"})
    for _ in range(9):
        services.logins.wait_s("anna")
    right = client.post("/api/v1/login", json={"name": "anna", "password": PASSWORD})
    assert (wrong.status_code, right.status_code) == (401, 429)
    assert int(right.headers["retry-after"]) > 0


def test_what_was_done_is_in_the_log_and_fits(client: TestClient, token: Token) -> None:
    anna, admin = token("anna", "uploader"), token("root", "admin")
    id = send(client, anna)
    client.delete(f"/api/v1/studies/{id}", headers=anna)
    entries = client.get("/api/v1/audit", headers=admin).json()
    assert [(one["actor"], one["action"], one["object"]) for one in entries] == [
        ("anna", "submit", id), ("anna", "delete", id),
    ]  # fmt: skip


def test_a_planted_name_is_in_no_log_url_metric_or_file_name(
    client: TestClient, services: Services, token: Token, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    admin = token("root", "admin")
    files = [("files", ("Zyxw^Patient_123456789.png", b"\x89PNG\r\n\x1a\n"))]
    answer = client.post("/api/v1/studies", files=files, headers=admin)
    view = answer.json()
    told = [
        answer.headers["location"],
        client.get("/metrics", headers=admin).text,
        client.get("/api/v1/audit", headers=admin).text,
        caplog.text,
        *(str(path) for path in services.storage.data.rglob("*")),
    ]
    assert view["label"] == "Zyxw^Patient_123456789.png"  # on the list, for those who may see it
    assert not [text for text in told if "Zyxw" in text or "123456789" in text]
