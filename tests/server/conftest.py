"""A server in this process, and what its tests send to it."""

import io
import os
import secrets
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text

from deeppneumonia.server.app import create_app
from deeppneumonia.server.services import Services
from deeppneumonia.server.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=str(tmp_path / "data"), min_free_bytes=0, lease_s=5, backoff_s=0.05)


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    opened = Services.open(settings)
    yield opened
    opened.database.dispose()


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL database that is new, empty and this test's own."""
    server = os.environ.get("DEEPPNEUMONIA_TEST_POSTGRES")
    if not server:
        pytest.skip("no PostgreSQL is named in DEEPPNEUMONIA_TEST_POSTGRES")
    name = f"test_{secrets.token_hex(8)}"
    engine = create_engine(Settings(database=server).database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield f"{server.rpartition('/')[0]}/{name}"
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def client(services: Services) -> Iterator[TestClient]:
    with TestClient(create_app(services.settings, services), "http://127.0.0.1:8000") as opened:
        yield opened


@pytest.fixture
def token(services: Services) -> Callable[[str, str], dict[str, str]]:
    """The headers of a program that acts for a user with these roles."""

    def make(name: str, roles: str, scopes: str = "read,read-all,submit,admin") -> dict[str, str]:
        services.accounts.add_user(name, "correct horse battery", roles)
        secret = services.accounts.open_token(name, scopes, "test", None)
        return {"Authorization": f"Bearer {secret}"}

    return make


def zipped(**files: bytes) -> bytes:
    """A zip archive with these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
