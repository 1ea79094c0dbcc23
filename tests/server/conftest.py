"""A server in this process, and what its tests send to it."""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

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
