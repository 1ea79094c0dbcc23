"""Settings are checked before anything is opened or listened to."""

from pathlib import Path

import pytest

from deeppneumonia.errors import ConfigError
from deeppneumonia.server.database import Database
from deeppneumonia.server.jobs import Patience
from deeppneumonia.server.services import open_services
from deeppneumonia.server.settings import Settings


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("retention_days", -1.0, "0 or more"),  # else every answer would be deleted at once
        ("requests_per_minute", 0, "more than 0"),
        ("lease_s", float("nan"), "more than 0"),
        ("session_hours", float("inf"), "more than 0"),
        ("workers", -1, "0 or more"),
        ("port", 99_999, "65535 or less"),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused(name: str, value: float, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is .*, where {expected} is expected"):
        Settings().but(**{name: value})


@pytest.mark.parametrize("url", ["postgresql://anna:geheim@host:no/x", "sqlite:///"])
def test_a_url_that_is_none_is_said_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot be understood") as refused:
        Database(Settings(database=url).database_url)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("de_identify = true", "holds 'de_identify', which is read by nobody"),
        ("[sever]\nde_identify = true", "holds 'sever', which is read by nobody"),
        ("[[server]]\nport = 1", r"server is no table: write a line \[server\]"),
        ("[server]\noidc = 'https://a'", r"server.oidc is no table"),
        ("[server]\nbehind_tls = 'yes'", "behind_tls is 'yes', where true or false is expected"),
        ("[server]\nretention_days = '30'", "where a number without quotes is expected"),
        ("[server]\npublic_hosts = ['https://ct.a.org']", "where a name alone is expected"),
        ("[server]\npublic_hosts = ['ct.a.org:8443']", "where a name alone is expected"),
    ],
)
def test_what_would_do_nothing_or_break_later_is_refused(
    text: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "server.toml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        Settings.from_toml(tmp_path / "server.toml")


def test_a_file_for_server_and_node_is_read_by_each_for_itself(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text(
        "[server]\nport = 81\npublic_hosts = ['ct.a.org', 'fd00::1']\n[dicom_node]\nport = 104\n",
        "utf-8-sig",  # as Windows saves it
    )
    assert Settings.from_toml(tmp_path / "server.toml").port == 81


def test_a_patience_without_end_is_a_number() -> None:
    assert Patience(max_failures=1_000_000).farthest_s > 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no database, " * 100, r"cannot be used \(file is not a database\): check .* back-up"),
        (None, r"does not answer \(unable to open database file\): start it, or check its URL"),
    ],
    ids=["damaged", "a folder"],
)
def test_a_database_that_cannot_be_used_is_told_with_its_own_reason(
    content: bytes | None, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "server.db"
    file.mkdir() if content is None else file.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        open_services(Settings(data=str(tmp_path)), wait_s=0)
