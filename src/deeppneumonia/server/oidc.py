"""People whom an OpenID Connect provider vouches for: the authorization code flow, through Authlib.

Source: OpenID Connect Core 1.0, 3.1 (code flow) and 3.1.3.7 (what an ID token is checked for);
Discovery 1.0; RFC 7636 (PKCE); RFC 9207 (who answered).
"""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deeppneumonia.errors import ConfigError, DeepPneumoniaError
from deeppneumonia.server.accounts import rights_of
from deeppneumonia.server.settings import Oidc, check_address

TIMEOUT_S = 10.0
LEEWAY_S = 60
"""By which the clocks of two machines may differ."""

SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""With the provider's private key. HS256 is not among them: its key would be our client secret."""

ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class ProviderAwayError(DeepPneumoniaError):
    """The provider does not answer, or not as one."""


class NotVouchedError(DeepPneumoniaError):
    """The provider did not vouch for whoever came, or for somebody with a role here."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One log-in on its way, all of it derived from a secret in a cookie of the one browser."""

    secret: str

    @classmethod
    def new(cls) -> "Flow":
        """With a secret that nobody has had before."""
        return cls(secrets.token_urlsafe(32))

    @property
    def state(self) -> str:
        """Goes out in the URL and comes back; ties the answer to the browser."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """Stands in the ID token; ties the token to this log-in."""
        return self._derived("nonce")

    @property
    def code_verifier(self) -> str:
        """Of PKCE; only its hash is seen before the code is exchanged."""
        return self._derived("code verifier")

    def _derived(self, what: str) -> str:
        return hmac.new(self.secret.encode(), what.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom the provider vouches for."""

    subject: str
    """sha256 of issuer and subject: the one identity that never changes."""

    name: str
    roles: str


class Provider:
    """One provider; what it says of itself is asked for at the first log-in."""

    def __init__(self, settings: Oidc) -> None:
        try:
            import httpx2
            from authlib.integrations.httpx_client import OAuth2Client
        except ImportError as error:
            raise ConfigError(
                "Log-in by OpenID Connect needs Authlib and httpx2, which are not installed: "
                "pip install 'deeppneumonia[serve,oidc]'."
            ) from error
        for roles in settings.roles.values():
            rights_of(roles)
        self.settings = settings
        self._secret = settings.client_secret
        self._new_client = OAuth2Client
        self._broken = (httpx2.HTTPError, OSError, ValueError)
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] = {}
        self._keys: dict[str, Any] = {}

    def authorization_url(self, flow: Flow, redirect_uri: str) -> str:
        """Where the browser is sent to.

        Raises:
            ProviderAwayError: the provider does not answer.
        """
        with self._client(redirect_uri) as client:
            url, _ = client.create_authorization_url(
                self._described()["authorization_endpoint"],
                state=flow.state,
                nonce=flow.nonce,
                code_verifier=flow.code_verifier,
            )
        return str(url)

    def vouched(self, code: str, flow: Flow, redirect_uri: str) -> Vouched:
        """Exchange the code, and check what the provider says with it.

        Raises:
            NotVouchedError: the code or the ID token does not hold, or gives no role here.
            ProviderAwayError: the provider does not answer.
        """
        claims = self._claims(self._token(code, flow, redirect_uri), flow)
        identity = f"{claims['iss']}\n{claims['sub']}"
        name = str(claims.get(self.settings.name_claim) or "").lower()
        return Vouched(hashlib.sha256(identity.encode()).hexdigest(), name, self._roles(claims))

    def _token(self, code: str, flow: Flow, redirect_uri: str) -> Mapping[str, Any]:
        from authlib.integrations.base_client import OAuthError

        endpoint = self._described()["token_endpoint"]
        with self._client(redirect_uri) as client:
            try:
                token = client.fetch_token(
                    endpoint,
                    grant_type="authorization_code",
                    code=code,
                    redirect_uri=redirect_uri,
                    code_verifier=flow.code_verifier,
                )
            except OAuthError as error:
                raise NotVouchedError(_refused(str(error.error))) from error
            except self._broken as error:
                raise self._away(error) from error
        return dict(token)

    def _claims(self, token: Mapping[str, Any], flow: Flow) -> Mapping[str, Any]:
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import JoseError

        expected: Any = {
            "iss": {"essential": True, "value": self.settings.issuer},
            "aud": {"essential": True, "value": self.settings.client_id},
        }
        fitting = {
            "nonce": flow.nonce,
            "client_id": self.settings.client_id,
            "access_token": token.get("access_token"),
        }
        try:
            said = self._decoded(str(token.get("id_token", "")))
            claims = CodeIDToken(said.claims, said.header, expected, fitting)
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError) as error:
            raise NotVouchedError(_refused(type(error).__name__)) from error
        return dict(claims)

    def _decoded(self, id_token: str) -> Any:
        """The token, its signature checked; keys are asked for again when one is unknown."""
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError
        from joserfc.jwk import KeySet
        from joserfc.jws import JWSRegistry

        registry = JWSRegistry(algorithms=list(SIGNATURES), strict_check_header=False)
        for again in (False, True):
            keys = KeySet.import_key_set(self._key_set(again=again))  # type: ignore[arg-type]
            try:
                return jwt.decode(id_token, keys, registry=registry)
            except InvalidKeyIdError:
                if again:
                    raise
        raise AssertionError("the second round returns or raises")

    def _roles(self, claims: Mapping[str, Any]) -> str:
        said = _claim(claims, self.settings.role_claim)
        values = said if isinstance(said, list) else [said]
        granted = [
            self.settings.roles[one] for one in map(str, values) if one in self.settings.roles
        ]
        if not granted:
            raise NotVouchedError(
                "You are known, but have no role here: ask an administrator for one."
            )
        return ",".join(dict.fromkeys(",".join(granted).split(",")))

    def _described(self) -> dict[str, Any]:
        """The provider's own description, asked for once."""
        with self._lock:
            if not self._metadata:
                issuer = self.settings.issuer
                found = self._fetched(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if found.get("issuer") != issuer or not all(found.get(one) for one in ENDPOINTS):
                    raise ProviderAwayError(
                        "The log-in service describes itself as another one than the issuer in "
                        "server.oidc: write the issuer exactly as the service does."
                    )
                for name in ENDPOINTS:
                    check_address(str(found[name]), name)
                self._metadata = found
            return self._metadata

    def _key_set(self, *, again: bool) -> dict[str, Any]:
        address = self._described()["jwks_uri"]
        with self._lock:
            if again or not self._keys:
                self._keys = self._fetched(address)
            return self._keys

    def _fetched(self, url: str) -> dict[str, Any]:
        with self._client("") as client:
            try:
                answer = client.request("GET", url, withhold_token=True)
                answer.raise_for_status()
                return dict(answer.json())
            except self._broken as error:
                raise self._away(error) from error

    def _client(self, redirect_uri: str) -> Any:
        """Authlib's client; it follows no redirect."""
        known = self._metadata.get("token_endpoint_auth_methods_supported", [])
        only_post = "client_secret_post" in known and "client_secret_basic" not in known
        return self._new_client(
            self.settings.client_id,
            self._secret,
            token_endpoint_auth_method="client_secret_post" if only_post and self._secret else None,
            scope=self.settings.scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=TIMEOUT_S,
        )

    def _away(self, error: Exception) -> ProviderAwayError:
        """What a broken connection and a broken answer alike mean to whoever logs in."""
        return ProviderAwayError(
            f"The log-in service does not answer as it should ({type(error).__name__}): try again "
            "in a minute."
        )


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, in which dots may be part of the name or lead into objects."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _refused(why: str) -> str:
    words = why if why.isascii() and why.replace("_", "").isalnum() else "not told"
    return f"The log-in service's word does not hold ({words[:40]}): log in again."
