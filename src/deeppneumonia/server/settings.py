"""What a server has to know before it starts; built once at the face and passed whole."""

import ipaddress
import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deeppneumonia.errors import ConfigError
from deeppneumonia.files import home_folder
from deeppneumonia.server.tables import check_numbers, made, read_table

MEGABYTE = 1024 * 1024
MAY_BE_ZERO = ("port", "workers", "min_free_bytes", "backoff_s", "quiet_s", "retention_days")


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
            return Path(self.client_secret_file).read_text("utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The client secret in {self.client_secret_file} cannot be read: let the server "
                "read the file, or leave client_secret_file out for a public client."
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where a server keeps its data, whom it listens to and how much it takes."""

    data: str = ""
    """Folder of uploads, results and the default database; empty for DEEPPNEUMONIA_HOME/server."""

    database: str = ""
    """SQLAlchemy URL of SQLite or PostgreSQL; empty for `server.db` in the data folder."""

    host: str = "127.0.0.1"
    """Address to listen on; anything but this machine's own needs a user with a password."""

    port: int = 8000
    """0 takes a free one."""

    public_hosts: tuple[str, ...] = ()
    """Names under which browsers reach this server beside `host`, as a proxy passes them on; with
    any, nobody gets in without a login."""

    behind_tls: bool = False
    """A proxy speaks HTTPS for us: cookies are marked secure, browsers are told to stay, and nobody
    gets in without a login."""

    workers: int = 1
    """Worker processes on this machine; each loads the model once."""

    on_ray: bool = False
    """Studies are read by as many Ray Serve replicas instead, on the cluster around us."""

    checkpoint: str = "default"
    device: str = "auto"

    max_upload_bytes: int = 4096 * MEGABYTE
    max_upload_files: int = 20_000
    min_free_bytes: int = 2048 * MEGABYTE
    """Uploads are refused while the disk has less than this."""

    max_queued: int = 500
    max_queued_per_owner: int = 100
    requests_per_minute: int = 1200
    """Of one user, or of one address before anybody has logged in."""

    lease_s: float = 60.0
    """A worker that has not been heard of for this long has lost its job to the next."""

    max_job_s: float = 1800.0
    """A job that takes longer is given up, and counts as a crash."""

    max_failures: int = 3
    """Times the work itself may fail before a job is dead."""

    max_crashes: int = 5
    """Times a worker may vanish with a job before it is dead."""

    backoff_s: float = 2.0
    """Wait before the first retry; doubles with each."""

    quiet_s: float = 10.0
    """A study that arrives in pieces is complete after this long without a new one."""

    de_identify: bool = False
    """Take DICOM CT images alone, and keep them without their patient; see docs/decisions/0043."""

    retention_days: float = 30.0
    """Studies and results are deleted this long after they were finished; 0 keeps them."""

    session_hours: float = 12.0
    oidc: Oidc | None = None
    """Who vouches for people from outside; None for passwords alone."""

    def __post_init__(self) -> None:
        if not self.database_url.startswith(("sqlite:///", "postgresql+pg8000://")):
            raise ConfigError(
                "The database URL is of an unknown kind: give sqlite:///FILE or "
                "postgresql://USER:PASSWORD@HOST/NAME."
            )
        check_numbers(self, may_be_zero=MAY_BE_ZERO)
        for name in self.public_hosts:
            _check_host_name(name)

    @property
    def folder(self) -> Path:
        """The data folder."""
        return Path(self.data) if self.data else home_folder() / "server"

    @property
    def database_url(self) -> str:
        """The URL with the driver that is used."""
        if self.database.startswith("postgresql://"):
            return "postgresql+pg8000://" + self.database.removeprefix("postgresql://")
        return self.database or f"sqlite:///{self.folder.absolute() / 'server.db'}"

    @property
    def way_in(self) -> str:
        """How others than this machine's own people reach the server; empty when they cannot."""
        if not is_loopback(self.host):
            return f"{self.host} can be reached by others"
        if self.behind_tls or self.public_hosts:
            return "behind_tls or public_hosts says that others come in through a proxy"
        return ""

    def to_json(self) -> str:
        """All of it as one line, for a worker's standard input; holds the database's password."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """The same settings again."""
        return _from_table(json.loads(text))

    @classmethod
    def from_toml(cls, file: Path) -> "Settings":
        """The table `[server]` of a TOML file.

        Raises:
            ConfigError: the file cannot be read as TOML, or names a setting that does not exist.
        """
        return _from_table(read_table(file, "server"))

    def but(self, **changes: Any) -> "Settings":
        """These settings with some changed; None leaves a setting as it is."""
        return replace(self, **{key: value for key, value in changes.items() if value is not None})


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(url: str, what: str) -> None:
    """ConfigError unless this is HTTPS, or a service on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return
    raise ConfigError(
        f"The {what} of server.oidc is {url!r}, where an address beginning with https:// is "
        "expected: passwords of the whole hospital hang on it."
    )


def _check_host_name(name: str) -> None:
    """ConfigError for what no request can be for, and which would only keep browsers out."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:]+", name):
        raise ConfigError(
            f"public_hosts names {name!r}, where a name alone is expected, without https://, port "
            'or path: public_hosts = ["ct.example.org"].'
        )


def _from_table(table: dict[str, Any]) -> Settings:
    if table.get("oidc") is not None:
        table["oidc"] = made(Oidc, table["oidc"], "server.oidc")
    return made(Settings, table, "server")
