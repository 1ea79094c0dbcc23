"""Settings are checked before anything is opened or listened to."""

import pytest

from deeppneumonia.errors import ConfigError
from deeppneumonia.server.database import Database
from deeppneumonia.server.settings import Settings


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("retention_days", -1.0, "0 or more"),  # else every answer would be deleted at once
        ("requests_per_minute", 0, "more than 0"),
        ("lease_s", float("nan"), "more than 0"),
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
