"""What the DICOM node has to know: who may send, where results go; the table `[dicom_node]`."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from deeppneumonia.errors import ConfigError
from deeppneumonia.server.settings import MEGABYTE, is_loopback
from deeppneumonia.server.tables import LAST_PORT, check_numbers, made, read_table, tables

MAX_AE_TITLE = 16
"""Characters (PS3.5 6.2, VR AE)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A system that may send studies to this node."""

    ae_title: str
    """By which it calls itself."""

    address: str
    """An address or a network, such as 10.1.2.3 or 10.1.2.0/24."""

    def __post_init__(self) -> None:
        _check_ae_title(self.ae_title)
        try:
            ipaddress.ip_network(self.address)
        except ValueError as error:
            raise ConfigError(
                f"The address of a peer is {self.address!r}, where an IP address or network is "
                "expected: 10.1.2.3 or 10.1.2.0/24."
            ) from error

    def is_at(self, address: str) -> bool:
        """Whether a connection from this address may be the peer's."""
        found = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(found, "ipv4_mapped", None)
        return (mapped or found) in ipaddress.ip_network(self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A system that results are sent to."""

    name: str
    """In logs and in the record of what was sent."""

    kind: Literal["c-store", "stow"] = "c-store"
    ae_title: str = ""
    """Of the receiver, for C-STORE."""

    host: str = ""
    port: int = 104
    tls: bool = False
    """C-STORE over TLS; for STOW the URL says so."""

    ca: str = ""
    """File of the certificates that vouch for the receiver; empty for the system's own."""

    url: str = ""
    """For STOW: the address that studies are posted to, ending in /studies."""

    authorization_file: str = ""
    """For STOW: a file with the value of the Authorization header, such as `Bearer ...`."""

    def __post_init__(self) -> None:
        if self.kind == "c-store" and self.host and 0 < self.port <= LAST_PORT:
            _check_ae_title(self.ae_title)
        elif self.kind != "stow" or not _is_web_address(self.url):
            raise ConfigError(
                f"The destination {self.name!r} is incomplete: c-store needs host, a port from 1 "
                f"to {LAST_PORT} and ae_title, stow needs a url such as "
                "https://archive.example/dicom-web/studies."
            )

    @property
    def context(self) -> ssl.SSLContext:
        """Who is believed when the destination shows its certificate.

        Raises:
            ConfigError: the file of `ca` holds no certificates, or cannot be read.
        """
        try:
            return ssl.create_default_context(cafile=self.ca or None)
        except OSError as error:
            raise ConfigError(
                f"The ca of {self.name!r} cannot be used ({error.strerror or 'no PEM file'}): give "
                "the file of certificates that vouch for the destination, readable for the node."
            ) from error

    @property
    def authorization(self) -> str:
        """The value of the Authorization header; empty when there is none.

        Raises:
            ConfigError: the file cannot be read, or no header could have such a value.
        """
        if not self.authorization_file:
            return ""
        try:
            value = Path(self.authorization_file).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The authorization_file of {self.name!r} cannot be read as plain text "
                f"({type(error).__name__}): let the node read it, and save it in ASCII."
            ) from error
        if not value or not value.isprintable():
            raise ConfigError(
                f"The authorization_file of {self.name!r} holds no value of a header: one line is "
                "expected, such as `Bearer ...`."
            )
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Certificates for incoming connections."""

    certificate: str
    key: str
    ca: str = ""
    """When given, peers too have to show a certificate that this one vouches for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """How the node listens, what it takes and where it sends."""

    ae_title: str = "DEEPPNEUMONIA"
    host: str = "127.0.0.1"
    port: int = 11112
    """0 takes a free one."""

    peers: tuple[Peer, ...] = ()
    """Empty for whoever calls from this machine; elsewhere at least one is needed."""

    destinations: tuple[Destination, ...] = ()
    tls: Tls | None = None
    quiet_s: float = 30.0
    """A study is complete after this long without a new image; later ones have it read again."""

    max_associations: int = 10
    max_object_bytes: int = 1024 * MEGABYTE
    network_timeout_s: float = 60.0
    """Silence after which a connection is closed, and the time that one PDU may take."""

    retry_s: float = 30.0
    """Wait before a result is sent again; doubles with each attempt, up to an hour."""

    give_up_hours: float = 72.0

    def __post_init__(self) -> None:
        _check_ae_title(self.ae_title)
        check_numbers(self, may_be_zero=("port", "quiet_s", "retry_s"))
        if not self.peers and not is_loopback(self.host):
            raise ConfigError(
                f"The node would listen on {self.host} for everybody: name who may send in "
                "[[dicom_node.peers]], with ae_title and address."
            )
        names = [one.name for one in self.destinations]
        if len(set(names)) < len(names):
            raise ConfigError("Two destinations have the same name: give each its own.")

    @classmethod
    def from_toml(cls, file: Path) -> "NodeSettings":
        """The table `[dicom_node]` of a TOML file.

        Raises:
            ConfigError: not TOML, an unknown name, a value of another type, or one missing; or a
                ca or authorization_file that cannot be used.
        """
        table = read_table(file, "dicom_node")
        for name, kind in (("peers", Peer), ("destinations", Destination)):
            if name in table:
                table[name] = tuple(
                    made(kind, one, name) for one in tables(table[name], f"dicom_node.{name}")
                )
        if "tls" in table:
            table["tls"] = made(Tls, table["tls"], "dicom_node.tls")
        settings = made(cls, table, "dicom_node")
        for one in settings.destinations:
            # Said here, not by the first answer that cannot be sent.
            _ = one.context, one.authorization
        return settings


def _check_ae_title(title: str) -> None:
    is_plain = title.isascii() and title.isprintable() and "\\" not in title
    if not 0 < len(title.strip()) <= MAX_AE_TITLE or not is_plain:
        raise ConfigError(f"An AE title has 1 to {MAX_AE_TITLE} plain characters, not {title!r}.")


def _is_web_address(url: str) -> bool:
    """Whether a request can be sent there: a scheme, a host and no character that has to be %XX."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    is_plain = url.isascii() and url.isprintable() and " " not in url
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_plain
