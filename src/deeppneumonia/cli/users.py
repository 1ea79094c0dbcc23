"""`deeppneumonia users`: who may use the server, and the tokens of programs."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from deeppneumonia.cli.console import Quiet, remark
from deeppneumonia.cli.serve import Config, DataFolder, read_settings
from deeppneumonia.domain.wording import counted
from deeppneumonia.errors import ConfigError

if TYPE_CHECKING:
    from deeppneumonia.server.services import Services

app = typer.Typer(no_args_is_help=True, help="Users of the server, their roles and tokens.")

Name = Annotated[str, typer.Argument(help="A user: a-z, 0-9 and . _ - @.")]


@app.command()
def add(
    name: Name,
    role: Annotated[
        str, typer.Option(help="viewer, uploader, admin, or several with commas between.")
    ] = "uploader",
    config: Config = None,
    data: DataFolder = None,
    quiet: Quiet = False,
) -> None:
    """Add a user or change one's role and password, which is asked for, or read from a pipe.

    A viewer sees all studies and their answers; an uploader sends studies and sees those; an
    admin may do everything.

    Example: deeppneumonia users add anna --role uploader,viewer
    """
    services = _open(config, data)
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    services.accounts.add_user(name, password, role)
    services.audit.write("console", "user", name, role)
    remark(f"{name} may log in as {role}.", quiet=quiet)


@app.command()
def remove(name: Name, config: Config = None, data: DataFolder = None) -> None:
    """Remove a user with all sessions and tokens; the studies stay, and only an admin sees them.

    Asks before it removes the last one, for a server without users asks nobody on its own machine
    to log in, and does not start where others can reach it.

    Example: deeppneumonia users remove anna
    """
    services = _open(config, data)
    if [known for known, _ in services.accounts.users()] == [name]:
        typer.confirm(
            f"{name} is the last user. Without any, whoever reaches the server from this machine "
            "may do everything without a login: add another user first. Remove it all the same?",
            abort=True,
        )
    if not services.accounts.remove_user(name):
        raise _nobody(name)
    services.audit.write("console", "user removed", name)


@app.command("list")
def list_users(config: Config = None, data: DataFolder = None) -> None:
    """List the users and their roles.

    Example: deeppneumonia users list
    """
    for name, roles in _open(config, data).accounts.users():
        typer.echo(f"{name:24}{roles}")


@app.command()
def token(
    name: Name,
    scopes: Annotated[
        str, typer.Option(help="read, read-all, submit, admin, with commas between.")
    ] = "read,submit",
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[float | None, typer.Option(help="Days until it expires; never.")] = None,
    config: Config = None,
    data: DataFolder = None,
) -> None:
    """Print a new API token of a user, once; programs send it as `Authorization: Bearer TOKEN`.

    Example: deeppneumonia users token anna --scopes submit --days 365
    """
    services = _open(config, data)
    secret = services.accounts.open_token(name, scopes, label, days)
    services.audit.write("console", "token", name, scopes)
    typer.echo(secret)


@app.command()
def revoke(
    name: Name, config: Config = None, data: DataFolder = None, quiet: Quiet = False
) -> None:
    """End all sessions and tokens of a user, as when one has fallen into wrong hands.

    The user stays, with password, roles and studies, and needs new tokens.

    Example: deeppneumonia users revoke anna
    """
    services = _open(config, data)
    if name not in dict(services.accounts.users()):
        raise _nobody(name)
    ended = services.accounts.revoke(name)
    services.audit.write("console", "secrets revoked", name)
    words = f"session or token of {name} was ended.", f"sessions and tokens of {name} were ended."
    remark(counted(ended, *words), quiet=quiet)


@app.command()
def audit(config: Config = None, data: DataFolder = None) -> None:
    """Check that nobody has changed the audit log; exit code 3 if somebody has.

    Example: deeppneumonia users audit
    """
    log = _open(config, data).audit
    broken = log.first_break()
    if broken is not None:
        raise ConfigError(
            f"Entry {broken} of the audit log does not fit the one before it, where each seals the "
            "last: somebody has changed the log; compare it with a back-up."
        )
    last = log.last()
    fitting = "" if last is None else counted(last.number, "entry fits", "entries fit")
    typer.echo("The log is empty." if last is None else f"{fitting}: {last.digest}")


def _open(config: "Config", data: "DataFolder") -> "Services":
    settings = read_settings(config, data)
    from deeppneumonia.server.services import open_services

    return open_services(settings, wait_s=0)


def _nobody(name: str) -> ConfigError:
    return ConfigError(f"There is no user called {name!r}: see deeppneumonia users list.")
