"""Logging in at the hospital's provider: the whole way, and every way in which it must not end."""

import importlib.util
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi.testclient import TestClient

pytest.importorskip("authlib", reason="Authlib (the extra [oidc]) is not installed")

import httpx2
from joserfc.jwk import OctKey, RSAKey

from deeppneumonia.errors import ConfigError
from deeppneumonia.server.access import SESSION_COOKIE
from deeppneumonia.server.app import create_app
from deeppneumonia.server.login_oidc import FLOW_COOKIE
from deeppneumonia.server.services import Services
from deeppneumonia.server.serving import serve
from deeppneumonia.server.settings import Settings

BASE = "http://127.0.0.1:8000"
ANNA = {"sub": "4711", "preferred_username": "Anna", "groups": ["staff", "radiology"]}


def load() -> ModuleType:
    file = Path(__file__).with_name("oidc_provider.py")
    specification = importlib.util.spec_from_file_location("oidc_provider", file)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def provider() -> Iterator[Any]:
    made = load().Provider()
    made.client.redirects = {f"{BASE}/login/oidc/callback"}
    made.user = dict(ANNA)
    yield made
    made.close()


@pytest.fixture
def settings(provider: Any, tmp_path: Path) -> Settings:
    (tmp_path / "secret").write_text("a secret of the client\n")
    (tmp_path / "server.toml").write_text(
        f'[server]\ndata = "{tmp_path}/data"\nmin_free_bytes = 0\n[server.oidc]\n'
        f'issuer = "{provider.issuer}"\nclient_id = "deeppneumonia"\n'
        f'client_secret_file = "{tmp_path}/secret"\ntitle = "the hospital"\n'
        '[server.oidc.roles]\nradiology = "uploader,viewer"\nit = "admin"\n'
    )
    return Settings.from_toml(tmp_path / "server.toml")


@pytest.fixture
def browser(settings: Settings, services: Services) -> Iterator[TestClient]:
    with TestClient(create_app(settings, services), BASE, follow_redirects=False) as opened:
        opened.headers["accept"] = "text/html"
        yield opened


def go(browser: TestClient) -> str:
    """From our log-in page to the provider, and to the address it sends the browser back to."""
    out = browser.get("/login/oidc")
    assert out.status_code == 302
    back = httpx2.get(out.headers["location"])
    assert back.status_code == 302, back.text
    return str(back.headers["location"])


def log_in(browser: TestClient) -> Any:
    return browser.get(go(browser))


def test_a_person_comes_in_with_the_role_of_her_group(
    browser: TestClient, services: Services
) -> None:
    assert "Log in with the hospital" in browser.get("/login").text
    assert browser.get("/").headers["location"] == "/login"
    entered = log_in(browser)
    assert (entered.status_code, "You are logged in" in entered.text) == (200, True)
    assert browser.get("/api/v1/account").json() == {
        "name": "anna", "rights": ["read", "read-all", "submit"],
    }  # fmt: skip
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert FLOW_COOKIE not in browser.cookies
    assert [(one.actor, one.action) for one in services.audit.entries()] == [("anna", "login")]


def test_roles_are_those_of_today_and_the_name_that_of_the_first_time(
    browser: TestClient, provider: Any
) -> None:
    log_in(browser)
    provider.user |= {"groups": "it", "preferred_username": "anna.smith"}
    log_in(browser)
    account = browser.get("/api/v1/account").json()
    assert (account["name"], "admin" in account["rights"]) == ("anna", True)


def test_roles_may_lie_in_an_object(settings: Settings, services: Services, provider: Any) -> None:
    assert settings.oidc is not None
    inside = settings.but(oidc=replace(settings.oidc, role_claim="realm_access.roles"))
    provider.user = {**ANNA, "realm_access": {"roles": ["it"]}}
    with TestClient(create_app(inside, services), BASE, follow_redirects=False) as browser:
        assert log_in(browser).status_code == 200
        assert "admin" in browser.get("/api/v1/account").json()["rights"]


def refused(answer: Any, browser: TestClient, status: int = 403) -> bool:
    return (
        answer.status_code == status
        and SESSION_COOKIE not in browser.cookies
        and browser.get("/api/v1/account").status_code == 401
    )


@pytest.mark.parametrize(
    "lie",
    [
        {"nonce": "another"},
        {"iss": "https://evil.example"},
        {"aud": ["another client"]},
        {"aud": ["deeppneumonia", "other"], "azp": "other"},
        {"exp": int(time.time()) - 3600},
        {"sub": None},
        {"at_hash": "AAAA"},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_a_token_that_is_not_for_this_log_in_is_refused(
    browser: TestClient, provider: Any, lie: dict[str, Any]
) -> None:
    provider.lies = lie
    assert refused(log_in(browser), browser)


def test_a_token_that_another_key_signed_is_refused(browser: TestClient, provider: Any) -> None:
    provider.signing_key = RSAKey.generate_key(2048, {"kid": "first"})
    assert refused(log_in(browser), browser)


def test_a_token_signed_with_our_own_secret_is_refused(browser: TestClient, provider: Any) -> None:
    provider.lies = {"alg": "HS256"}
    provider.signing_key = OctKey.import_key("a secret of the client")
    assert refused(log_in(browser), browser)


def test_a_new_key_of_the_provider_is_asked_for(browser: TestClient, provider: Any) -> None:
    log_in(browser)
    provider.key = provider.signing_key = RSAKey.generate_key(2048, {"kid": "second"})
    assert log_in(browser).status_code == 200
    assert provider.asked.count("/keys") == 2


def test_a_code_is_good_for_the_browser_that_asked_for_it_alone(browser: TestClient) -> None:
    back = go(browser)
    browser.cookies.clear()
    assert refused(browser.get(back), browser, 400)  # another browser
    browser.get("/login/oidc")
    assert refused(browser.get(back), browser, 400)  # another log-in
    state = back.partition("state=")[2]
    assert refused(browser.get(f"/login/oidc/callback?state={state}"), browser, 400)


def test_a_code_is_good_once_and_for_its_verifier_alone(browser: TestClient, provider: Any) -> None:
    stolen = go(browser).partition("code=")[2].partition("&")[0]
    mine = go(browser)
    code = mine.partition("code=")[2].partition("&")[0]
    assert refused(browser.get(mine.replace(code, stolen)), browser)  # PKCE holds it
    assert log_in(browser).status_code == 200
    assert "/token" in provider.asked


def test_whoever_has_no_role_here_is_told_so(browser: TestClient, provider: Any) -> None:
    provider.user |= {"groups": ["kitchen"]}
    answer = log_in(browser)
    assert refused(answer, browser) and "no role here" in answer.text


def test_a_provider_does_not_make_anybody_a_user_that_is_there(
    browser: TestClient, services: Services, provider: Any
) -> None:
    services.accounts.add_user("root", "correct horse battery", "admin")
    provider.user |= {"preferred_username": "root", "groups": ["it"]}
    answer = log_in(browser)
    assert refused(answer, browser) and "another user" in answer.text
    provider.user |= {"sub": "another", "preferred_username": "An na", "groups": ["it"]}
    assert refused(log_in(browser), browser)


def test_denied_at_the_provider_is_denied_here(browser: TestClient, provider: Any) -> None:
    provider.user = None
    assert refused(log_in(browser), browser)
    answer = browser.get(go(browser) + "&iss=https://evil.example")
    assert refused(answer, browser)


def test_a_provider_that_is_away_is_told_and_asked_again(
    browser: TestClient, provider: Any
) -> None:
    issuer, provider.issuer = provider.issuer, "http://127.0.0.1:9/hospital"
    away = browser.get("/login/oidc")
    assert (away.status_code, away.headers["retry-after"]) == (503, "30")
    provider.issuer = issuer
    assert log_in(browser).status_code == 200


def test_with_a_provider_nobody_is_let_in_without_it(browser: TestClient) -> None:
    assert browser.get("/api/v1/studies").status_code == 401


def test_without_a_provider_there_is_no_such_way(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(data=str(tmp_path))), BASE) as browser:
        assert browser.get("/login/oidc").status_code == 404
        assert "/login/oidc" not in browser.get("/login").text


def test_the_settings_reach_the_workers_whole(settings: Settings) -> None:
    assert Settings.from_json(settings.to_json()) == settings
    assert "a secret of the client" not in settings.to_json()
    assert json.loads(settings.to_json())["oidc"]["client_id"] == "deeppneumonia"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('issuer = "http://sso.example.org"\nclient_id = "x"', "beginning with https://"),
        ('issuer = "https://sso.example.org"\nclient_id = "x"', "gives nobody a role"),
        ('issuer = "https://sso.example.org"', "server.oidc lacks client_id"),
        ('issuer = "https://a.b"\nclient_id = "x"\nroles = {a = 1}', "a table of texts"),
        ('issuer = "https://a.b"\nclient_id = "x"\nsecret = "x"', "no setting called 'secret'"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text(f"[server.oidc]\n{text}\n")
    with pytest.raises(ConfigError, match=says):
        Settings.from_toml(tmp_path / "server.toml")


def test_roles_and_secrets_are_checked_before_anything_listens(settings: Settings) -> None:
    assert settings.oidc is not None
    for change, says in (
        ({"roles": {"it": "boss"}}, "no role 'boss'"),
        ({"client_secret_file": "nowhere"}, "cannot be read"),
    ):
        wrong = settings.but(oidc=replace(settings.oidc, **change), port=0)  # type: ignore[arg-type]
        with pytest.raises(Exception, match=says):
            serve(wrong)
