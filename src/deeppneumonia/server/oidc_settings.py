"""What the server has to know of an OpenID Connect provider: the table `[server.oidc]`."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from deeppneumonia.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Oidc:
    """A provider that vouches for people, and what they may do here."""

    issuer: str
    """Its address, as it stands in its tokens; `/.well-known/openid-configuration` is below it."""

    client_id: str
    client_secret_file: str = ""
    """A file with the secret; empty for a client that has none."""

    title: str = "single sign-on"
    """What the link on the log-in page names."""

    scopes: str = "openid profile email"
    name_claim: str = "preferred_username"
    """Where the user's name here comes from, at the first log-in."""

    role_claim: str = "groups"
    """A text or a list; `realm_access.roles` leads into an object."""

    roles: dict[str, str] = field(default_factory=dict)
    """From a value of that claim to roles here, several with commas between."""

    def __post_init__(self) -> None:
        check_address(self.issuer, "issuer")
        if not self.roles:
            raise ConfigError(
                "server.oidc gives nobody a role: name groups in [server.oidc.roles], such as "
                'radiology = "uploader,viewer".'
            )

    @property
    def client_secret(self) -> str | None:
        """The secret.

        Raises:
            ConfigError: the file cannot be read.
        """
        if not self.client_secret_file:
            return None
        try:
            return Path(self.client_secret_file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The client secret in {self.client_secret_file} cannot be read: let the server "
                "read the file, or leave client_secret_file out for a public client."
            ) from error


def check_address(url: str, what: str) -> None:
    """ConfigError unless this is HTTPS, or a service on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_here(parts.hostname or "")):
        return
    raise ConfigError(
        f"The {what} of server.oidc is {url!r}, where an address beginning with https:// is "
        "expected: passwords of the whole hospital hang on it."
    )


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
