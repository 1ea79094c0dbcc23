"""What every request passes before any route: known host, same origin, not too often."""

import pytest
from fastapi.testclient import TestClient

from deeppneumonia.server.app import create_app
from deeppneumonia.server.guard import CROWD
from deeppneumonia.server.rate_limit import RateLimit
from deeppneumonia.server.services import Services

ZIP = {"Content-Type": "application/zip"}
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[abc"},
        {"Cookie": "deeppneumonia_session=x"},
    ],
)
def test_another_sites_page_can_change_nothing(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/api/v1/studies", content=b"x", headers=ZIP | headers)
    assert (answer.status_code, "another site" in answer.text) == (403, True)


def test_our_own_page_can(client: TestClient) -> None:
    for number, headers in enumerate(
        ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://127.0.0.1:8000"}, {})
    ):
        answer = client.post("/api/v1/studies", content=bytes([number]), headers=ZIP | headers)
        assert answer.status_code == 202


def test_a_name_that_was_rebound_to_us_is_not_ours(client: TestClient) -> None:
    answer = client.get("/api/v1/studies", headers={"Host": "evil.example"})
    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["[abc", "[", "@", ""])
def test_a_host_that_is_none_is_not_ours(client: TestClient, host: str) -> None:
    assert client.get("/health/live", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["ct.example.org", "CT.Example.org:443"])
def test_names_of_hosts_are_the_same_in_upper_case(services: Services, host: str) -> None:
    settings = services.settings.but(public_hosts=("CT.example.org",))
    client = TestClient(create_app(settings, services), "http://127.0.0.1")
    assert client.get("/health/live", headers={"Host": host}).status_code == 200


def test_every_answer_bears_the_policy(client: TestClient) -> None:
    for path in ("/api/v1/studies", "/nowhere", "/health/live", "/api/v1/openapi.json"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith(
            "default-src 'none'; script-src 'self'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_too_many_requests_are_slowed_down(services: Services) -> None:
    app = create_app(services.settings.but(requests_per_minute=5), services)
    client = TestClient(app, "http://127.0.0.1")
    answers = [client.get("/api/v1/account") for _ in range(7)]
    assert [one.status_code for one in answers] == [200] * 5 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert client.get("/health/live").status_code == 200


def test_made_up_tokens_do_not_escape_the_limit(services: Services) -> None:
    app = create_app(services.settings.but(requests_per_minute=1), services)
    client = TestClient(app, "http://127.0.0.1")
    answers = [
        client.get("/health/live", headers={"Authorization": f"Bearer {n}"}) for n in range(CROWD)
    ]
    assert [one.status_code for one in answers] == [200] * CROWD
    others = [  # as many again, for on a slow machine a permit comes back meanwhile
        client.get("/api/v1/account", headers={"Authorization": f"Bearer other {n}"}).status_code
        for n in range(CROWD)
    ]
    assert 429 in others


def test_a_bucket_refills(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("deeppneumonia.server.rate_limit.time.monotonic", lambda: now[0])
    bucket = RateLimit(60)
    assert [bucket.wait_s("a") for _ in range(60)] == [0.0] * 60
    assert bucket.wait_s("a") == pytest.approx(1)
    assert bucket.wait_s("b") == 0
    now[0] = 1.01
    assert bucket.wait_s("a") == 0


@pytest.mark.parametrize("path", ["/api/v1/login", "/login"])
def test_nobody_fills_the_memory_before_having_logged_in(client: TestClient, path: str) -> None:
    endless = (b"x" * 10_000 for _ in range(7))
    kind = {"Content-Type": "application/json" if "api" in path else FORM}
    assert client.post(path, content=endless, headers=kind).status_code == 413
