"""Users: whose name one may bear, what is kept of a secret, and what a removed one leaves."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from deeppneumonia.cli import users
from deeppneumonia.server.accounts import (
    LOCAL,
    RESERVED,
    AccountError,
    Accounts,
    hash_password,
    verify_password,
)
from deeppneumonia.server.schema import USERS
from deeppneumonia.server.services import Services

Token = Callable[..., dict[str, str]]
PASSWORD = "correct horse battery"
ZIP = {"Content-Type": "application/zip"}


def test_a_password_is_kept_as_a_salted_hash() -> None:
    kept = hash_password(PASSWORD)
    assert PASSWORD not in kept and kept != hash_password(PASSWORD)
    assert verify_password(PASSWORD, kept)
    assert not verify_password(PASSWORD + ".", kept)


def test_secrets_are_kept_as_hashes_only(services: Services, token: Token) -> None:
    secret = token("anna", "admin")["Authorization"].removeprefix("Bearer ")
    data = b"".join(file.read_bytes() for file in services.storage.data.glob("server.db*"))
    assert b"anna" in data
    assert secret.encode() not in data and PASSWORD.encode() not in data


@pytest.mark.parametrize(
    ("name", "password", "roles"),
    [("anna", "short", "admin"), ("An na", PASSWORD, "admin"), ("anna", PASSWORD, "boss")],
)
def test_accounts_that_cannot_be(services: Services, name: str, password: str, roles: str) -> None:
    with pytest.raises(AccountError):
        services.accounts.add_user(name, password, roles)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_the_servers_own_names_are_nobodys(services: Services, name: str) -> None:
    dicom_node = pytest.importorskip("deeppneumonia.server.dicom_node")
    assert {LOCAL.name, dicom_node.OWNER} <= RESERVED
    with pytest.raises(AccountError, match="the server's own"):
        services.accounts.add_user(name, PASSWORD, "uploader")
    with pytest.raises(AccountError, match="the server's own"):
        services.accounts.vouched("a" * 64, name, "uploader")
    with services.database.write() as connection:  # as an earlier version let them
        row = {"name": name, "password": "", "roles": "uploader", "created": 0}
        connection.execute(USERS.insert().values(row))
    secret = services.accounts.open_token(name, "read,submit", "", None)
    assert services.accounts.principal(secret, "token") is None


def test_nobody_inherits_the_studies_of_a_removed_user(client: TestClient, token: Token) -> None:
    accounts = client.app.state.services.accounts  # type: ignore[attr-defined]
    zipped = {"Content-Type": "application/zip"} | token("anna", "uploader")
    id = client.post("/api/v1/studies", content=b"study", headers=zipped).json()["id"]
    accounts.remove_user("anna")
    with pytest.raises(AccountError, match="Studies of an earlier user anna are still here"):
        accounts.vouched("a" * 64, "anna", "uploader")
    with pytest.raises(AccountError, match="have an administrator delete those studies"):
        accounts.add_user("anna", PASSWORD, "uploader")
    client.delete(f"/api/v1/studies/{id}", headers=token("root", "admin"))
    assert accounts.vouched("a" * 64, "anna", "uploader") == "anna"


def test_the_last_user_is_not_removed_unasked(services: Services) -> None:
    for name in ("anna", "bert"):
        services.accounts.add_user(name, PASSWORD, "admin")
    where = ["--data", services.settings.data]

    def remove(name: str, answer: str = "") -> int:
        return CliRunner().invoke(users.app, ["remove", name, *where], input=answer).exit_code

    assert remove("anna") == 0
    assert remove("bert") == remove("bert", "n\n") == 1
    assert services.accounts.users() == [("bert", "admin")]
    assert remove("bert", "y\n") == 0
    assert services.accounts.users() == []


def test_a_person_without_a_password_cannot_log_in_with_one(services: Services) -> None:
    accounts: Accounts = services.accounts
    accounts.add_user("oidc@example.org", None, "viewer")
    assert not accounts.check_password("oidc@example.org", "")


def test_what_fell_into_wrong_hands_can_be_ended_and_the_studies_stay(
    client: TestClient, services: Services, token: Token
) -> None:
    stolen = token("anna", "uploader")
    others = token("bert", "uploader")
    sent = client.post("/api/v1/studies", content=b"one", headers=stolen | ZIP).json()["id"]

    def revoke(name: str) -> Result:
        return CliRunner().invoke(users.app, ["revoke", name, "--data", services.settings.data])

    assert "1 session or token of anna was ended" in revoke("anna").output
    assert client.get("/api/v1/account", headers=stolen).status_code == 401
    assert client.get("/api/v1/account", headers=others).status_code == 200
    new = {"Authorization": f"Bearer {services.accounts.open_token('anna', 'read', '', None)}"}
    assert client.get(f"/api/v1/studies/{sent}", headers=new).status_code == 200
    assert "There is no user called 'nina'" in str(revoke("nina").exception)


@pytest.mark.parametrize("days", [0.0, -1.0, float("nan")])
def test_a_token_that_nobody_could_use_is_not_made(services: Services, days: float) -> None:
    services.accounts.add_user("anna", PASSWORD, "uploader")
    with pytest.raises(AccountError, match="give more than 0"):
        services.accounts.open_token("anna", "read", "", days)
