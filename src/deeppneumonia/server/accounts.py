"""Who may do what: users with roles, sessions and API tokens; only hashes of secrets are kept."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, insert, or_, select, update

from deeppneumonia.errors import InputRefusedError
from deeppneumonia.server.database import Database
from deeppneumonia.server.schema import IDENTITIES, JOBS, SECRETS, USERS

MIN_PASSWORD = 12
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-@")
RESERVED = frozenset({"local", "dicom-node", "server", "console", "nobody"})
"""Owners of studies and actors of the audit log that are no people: nobody may pass for them."""


class Right(StrEnum):
    """One thing that can be allowed."""

    READ = "read"
    """See one's own studies and their answers."""

    READ_ALL = "read-all"
    """See everybody's."""

    SUBMIT = "submit"
    """Send studies; cancel, repeat and delete one's own."""

    ADMIN = "admin"
    """Everything with everybody's studies, the metrics and the audit log."""


ROLES: dict[str, frozenset[Right]] = {
    "viewer": frozenset({Right.READ, Right.READ_ALL}),
    "uploader": frozenset({Right.READ, Right.SUBMIT}),
    "admin": frozenset(Right),
}


class AccountError(InputRefusedError):
    """A name, role, password or scope that cannot be used."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever stands behind a request."""

    name: str
    rights: frozenset[Right]
    session: str = ""
    """Digest of the session cookie; empty for tokens and for the local user."""

    def may(self, right: Right) -> bool:
        """Whether this is allowed."""
        return right in self.rights

    def sees(self, owner: str) -> bool:
        """Whether a study of this owner may be shown."""
        return owner == self.name or bool(self.rights & {Right.READ_ALL, Right.ADMIN})

    @property
    def judges(self) -> bool:
        """Whether this word on an answer counts: a person's, or a program's that may submit."""
        return bool(self.session) or self.may(Right.SUBMIT)

    @property
    def listed_owner(self) -> str | None:
        """Whose studies a list shows; None for everybody's."""
        return None if self.may(Right.READ_ALL) else self.name

    def handles(self, owner: str) -> bool:
        """Whether a study of this owner may be cancelled, repeated or deleted."""
        return self.may(Right.ADMIN) or (owner == self.name and self.may(Right.SUBMIT))


LOCAL = Principal("local", frozenset(Right))
"""Whoever sits at the machine, as long as the server listens to nobody else and has no users."""


class Accounts:
    """Users, sessions and tokens in the database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add_user(self, name: str, password: str | None, roles: str) -> None:
        """Add a user, or change one's password and roles, which ends the sessions.

        Args:
            password: None for one who only has tokens.
            roles: one or several of viewer, uploader, admin, with commas between.

        Raises:
            AccountError: the name, the password or a role cannot be used, or the name is that of
                a removed user whose studies are still here.
        """
        rights_of(roles)
        _check_name(name)
        if password is not None and len(password) < MIN_PASSWORD:
            raise AccountError(
                f"The password is too short: take {MIN_PASSWORD} characters or more."
            )
        values = {"password": hash_password(password) if password else "", "roles": roles}
        with self.database.write() as connection:
            changed = connection.execute(update(USERS).where(USERS.c.name == name).values(values))
            if not changed.rowcount:
                _check_no_studies(connection, name)
                created = {"name": name, "created": self.database.now}
                connection.execute(insert(USERS).values(values | created))
            connection.execute(
                delete(SECRETS).where(SECRETS.c.owner == name, SECRETS.c.kind == "session")
            )

    def vouched(self, subject: str, name: str, roles: str) -> str:
        """The user whom a provider vouches for, made at the first time, with the roles of today.

        Args:
            subject: who it is for the provider, 64 characters that stay the same.
            name: the user's name here, as long as there is none yet.

        Returns:
            The user's name here.

        Raises:
            AccountError: the name cannot be used, is another user's, or is that of a removed user
                whose studies are still here.
        """
        rights_of(roles)
        with self.database.write() as connection:
            known = connection.execute(
                select(IDENTITIES.c.owner).where(IDENTITIES.c.subject == subject)
            ).scalar_one_or_none()
            _check_name(name if known is None else known)
            if known is not None:
                connection.execute(update(USERS).where(USERS.c.name == known).values(roles=roles))
                return str(known)
            if connection.execute(select(USERS.c.name).where(USERS.c.name == name)).first():
                raise AccountError(
                    f"The name {name} is another user's here: ask an administrator to remove that "
                    "user, or to take names from another claim."
                )
            _check_no_studies(connection, name)
            created = {"name": name, "password": "", "created": self.database.now}
            connection.execute(insert(USERS).values(created | {"roles": roles}))
            connection.execute(insert(IDENTITIES).values(subject=subject, owner=name))
        return name

    def remove_user(self, name: str) -> bool:
        """Remove a user with all sessions and tokens; the studies stay for an admin."""
        with self.database.write() as connection:
            connection.execute(delete(SECRETS).where(SECRETS.c.owner == name))
            connection.execute(delete(IDENTITIES).where(IDENTITIES.c.owner == name))
            return connection.execute(delete(USERS).where(USERS.c.name == name)).rowcount == 1

    def revoke(self, name: str) -> int:
        """End all sessions and tokens of a user; returns how many there were."""
        with self.database.write() as connection:
            return connection.execute(delete(SECRETS).where(SECRETS.c.owner == name)).rowcount

    def users(self) -> list[tuple[str, str]]:
        """Names and roles."""
        with self.database.read() as connection:
            rows = connection.execute(select(USERS.c.name, USERS.c.roles).order_by(USERS.c.name))
            return [(row.name, row.roles) for row in rows]

    def check_password(self, name: str, password: str) -> bool:
        """Whether the password is right; takes as long for a name that nobody has."""
        kept = None
        if set(name) <= NAME_CHARACTERS:  # PostgreSQL takes no NUL
            with self.database.read() as connection:
                kept = connection.execute(
                    select(USERS.c.password).where(USERS.c.name == name)
                ).scalar_one_or_none()
        return verify_password(password, kept or _NOBODY) and bool(kept)

    def open_session(self, name: str, hours: float) -> str:
        """A new secret for a cookie."""
        return self._issue(name, "session", "", "", hours * 3600)

    def open_token(self, name: str, scopes: str, label: str, days: float | None) -> str:
        """A new secret for programs, which may do what its scopes and its owner's roles both allow.

        Args:
            scopes: some of read, read-all, submit, admin, with commas between.
            days: None for a token that does not expire.
        """
        _scopes(scopes)
        if days is not None and not days > 0:
            raise AccountError(f"A token for {days:g} days could not be used: give more than 0.")
        if name not in dict(self.users()):
            raise AccountError(f"There is no user called {name!r}: add it first.")
        return self._issue(name, "token", scopes, label, None if days is None else days * 86_400)

    def principal(self, secret: str, kind: str) -> Principal | None:
        """Whoever holds this secret; None if it is unknown or has expired."""
        digest = _digest(secret)
        query = (
            select(SECRETS.c.owner, SECRETS.c.scopes, USERS.c.roles)
            .join(USERS, USERS.c.name == SECRETS.c.owner)
            .where(
                SECRETS.c.digest == digest,
                SECRETS.c.kind == kind,
                or_(SECRETS.c.expires.is_(None), SECRETS.c.expires > self.database.now),
            )
        )
        with self.database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or row.owner in RESERVED:  # as earlier versions let users be called
            return None
        rights = rights_of(row.roles)
        if kind == "token":
            return Principal(row.owner, rights & _scopes(row.scopes))
        return Principal(row.owner, rights, session=digest)

    def close(self, digest: str) -> None:
        """End a session."""
        with self.database.write() as connection:
            connection.execute(delete(SECRETS).where(SECRETS.c.digest == digest))

    def remove_expired(self) -> None:
        """Forget secrets that are of no use any more."""
        with self.database.write() as connection:
            connection.execute(delete(SECRETS).where(SECRETS.c.expires < self.database.now))

    def _issue(self, name: str, kind: str, scopes: str, label: str, seconds: float | None) -> str:
        secret = secrets.token_urlsafe(32)
        now = self.database.now
        with self.database.write() as connection:
            connection.execute(
                insert(SECRETS).values(
                    digest=_digest(secret), kind=kind, owner=name, scopes=scopes,
                    label=label[:64], created=now,
                    expires=None if seconds is None else now + seconds,
                )
            )  # fmt: skip
        return secret


def rights_of(roles: str) -> frozenset[Right]:
    """What some roles allow together."""
    unknown = set(roles.split(",")) - ROLES.keys()
    if unknown:
        raise AccountError(f"There is no role {sorted(unknown)[0]!r}: take {', '.join(ROLES)}.")
    return frozenset().union(*(ROLES[role] for role in roles.split(",")))


def _check_no_studies(connection: Connection, name: str) -> None:
    """A new user must not see what another of that name has left."""
    if connection.execute(select(JOBS.c.id).where(JOBS.c.owner == name).limit(1)).first():
        raise AccountError(
            f"Studies of an earlier user {name} are still here, and would be the new one's: take "
            "another name, or have an administrator delete those studies first."
        )


def _check_name(name: str) -> None:
    if name in RESERVED:
        raise AccountError(f"The name {name} is the server's own: take another one.")
    if not name or len(name) > 64 or not set(name) <= NAME_CHARACTERS:
        raise AccountError(
            f"The user name {name!r} cannot be used: take up to 64 of a-z, 0-9 and . _ - @."
        )


def hash_password(password: str) -> str:
    """scrypt with 32 MB and a new salt, one of the settings that OWASP advises."""
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${_scrypt(password, salt).hex()}"


def verify_password(password: str, kept: str) -> bool:
    """Whether a password gives the kept hash, in a time that tells nothing."""
    _, salt, digest = kept.split("$")
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)).hex(), digest)


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=2**15, r=8, p=3, maxmem=64 * 1024 * 1024, dklen=32
    )


_NOBODY = f"scrypt${'00' * 16}${'00' * 32}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _scopes(text: str) -> frozenset[Right]:
    try:
        return frozenset(Right(scope) for scope in text.split(","))
    except ValueError as error:
        raise AccountError(
            f"There is no such scope in {text!r}: take {', '.join(Right)}, with commas between."
        ) from error
