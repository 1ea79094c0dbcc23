"""A small OpenID Connect provider on loopback, made of Authlib's own server side.

It checks clients, redirect addresses, codes and PKCE, and signs ID tokens; a test says who sits at
the browser, and what is wrong with the token.
"""

import http.server
import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientMixin,
    OAuth2Error,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from joserfc.jwk import KeySet, RSAKey

SECRET = "a secret of the client"


@dataclass
class Client(ClientMixin):
    """DeepPneumonia, as the provider knows it."""

    redirects: set[str]
    id = "deeppneumonia"
    id_token_signed_response_alg: str | None = None

    def get_client_id(self) -> str:
        return self.id

    def get_default_redirect_uri(self) -> str:
        return ""

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirects

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code:
    """One authorization, to be exchanged once."""

    code: str
    asked: dict[str, str]
    user: dict[str, Any]
    auth_time: int = field(default_factory=lambda: int(time.time()))

    def get_redirect_uri(self) -> str:
        return self.asked["redirect_uri"]

    def get_scope(self) -> str:
        return self.asked["scope"]

    def get_nonce(self) -> str | None:
        return self.asked.get("nonce")

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None

    @property
    def code_challenge(self) -> str | None:
        return self.asked.get("code_challenge")

    @property
    def code_challenge_method(self) -> str | None:
        return self.asked.get("code_challenge_method")


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    """Keeps its codes in memory."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

    def save_authorization_code(self, code: str, request: Any) -> None:
        self.server.codes[code] = Code(code, request.payload.data, request.user)

    def query_authorization_code(self, code: str, _client: Client) -> Code | None:
        return self.server.codes.get(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del self.server.codes[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> dict[str, Any]:
        return authorization_code.user


class IdTokens(OpenIDCode):  # type: ignore[misc]
    """Signs with the provider's key, unless a test has it lie."""

    def __init__(self, provider: "Provider") -> None:
        super().__init__(require_nonce=True)
        self.provider = provider

    def exists_nonce(self, _nonce: str, _request: Any) -> bool:
        return False

    def resolve_client_private_key(self, _client: Client) -> Any:
        return self.provider.signing_key

    def get_client_algorithm(self, _client: Client) -> str:
        return str(self.provider.lies.get("alg", "RS256"))

    def get_encode_header(self, client: Client) -> dict[str, str]:
        return {"alg": self.get_client_algorithm(client), "kid": self.provider.key.kid}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        return {"iss": self.provider.issuer, "aud": [client.get_client_id()]}

    def generate_user_info(self, user: dict[str, Any], _scope: str) -> dict[str, Any]:
        lies = {key: value for key, value in self.provider.lies.items() if key != "alg"}
        return {**user, **lies}


class Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server between plain requests and plain answers."""

    def __init__(self, provider: "Provider") -> None:
        super().__init__()
        self.codes: dict[str, Code] = {}
        self.provider = provider
        self.register_token_generator("default", BearerTokenGenerator(lambda **_: "access"))
        self.register_grant(CodeGrant, [IdTokens(provider), CodeChallenge(required=True)])

    def query_client(self, client_id: str) -> Client | None:
        return self.provider.client if client_id == Client.id else None

    def save_token(self, _token: Any, _request: Any) -> None:
        """Nobody asks for what else the token allows."""

    def send_signal(self, *_: Any, **__: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: Any) -> Any:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, Any]:
        return status, body, headers


class Request(OAuth2Request):  # type: ignore[misc]
    """What came over HTTP."""

    def __init__(self, method: str, url: str, headers: Any, values: dict[str, str]) -> None:
        super().__init__(method, url, headers=headers)
        self.payload = BasicOAuth2Payload(values)
        self.payload._datalist = defaultdict(list, {k: [v] for k, v in values.items()})
        self._values = values

    @property
    def args(self) -> dict[str, str]:
        return self._values

    @property
    def form(self) -> dict[str, str]:
        return self._values


class Provider:
    """Listens from its making until it is closed."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
        self.signing_key: Any = self.key
        self.client = Client(set())
        self.user: dict[str, Any] | None = None
        self.lies: dict[str, Any] = {}
        self.asked: list[str] = []
        self._oauth = Server(self)
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.answer(self, b"")

            def do_POST(self) -> None:
                owner.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_: object) -> None:
                """Keep the tests' output clean."""

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://{host}:{self._http.server_address[1]}/hospital"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, handler: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
        url = urlsplit(handler.path)
        self.asked.append(url.path.removeprefix("/hospital"))
        values = dict(parse_qsl(url.query) + parse_qsl(body.decode()))
        full = self.issuer.removesuffix("/hospital") + handler.path
        request = Request(handler.command, full, handler.headers, values)
        status, said, headers = self._answer(self.asked[-1], request)
        text = json.dumps(said) if isinstance(said, dict) else str(said)
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text.encode())

    def _answer(self, path: str, request: Request) -> tuple[int, Any, Any]:
        if path == "/.well-known/openid-configuration":
            return 200, self._description(), [("Content-Type", "application/json")]
        if path == "/keys":
            return 200, KeySet([self.key]).as_dict(private=False), []
        if path == "/authorize":
            try:
                grant = self._oauth.get_consent_grant(request)
            except OAuth2Error as error:
                return 400, error.error, []
            return self._oauth.create_authorization_response(request, self.user, grant=grant)
        if path == "/token":
            return self._oauth.create_token_response(request)
        return 404, "", []

    def _description(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
