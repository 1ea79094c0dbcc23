"""The server as a process: listens, keeps its workers, and stops in good order."""

import socket
from collections.abc import Callable, Sequence

import uvicorn

from deeppneumonia.errors import ConfigError
from deeppneumonia.server.app import create_app
from deeppneumonia.server.services import Services
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.supervisor import COMMAND, Supervisor


def serve(
    settings: Settings,
    announce: Callable[[str], None] = lambda _: None,
    command: Sequence[str] = COMMAND,
) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        announce: told the address once it is listened to.
        command: starts one worker.

    Raises:
        ConfigError: others could reach the server, and there is no user yet.
    """
    services = Services.open(settings)
    if not settings.is_loopback and not services.accounts.users():
        raise ConfigError(
            f"{settings.host} can be reached by others, and there is no user yet: add one with "
            "`deeppneumonia users add NAME --role admin`, or listen on 127.0.0.1."
        )
    listener = _listen(settings)
    supervisor = Supervisor(services, command)
    supervisor.start()
    try:
        host, port = listener.getsockname()[:2]
        announce(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
        config = uvicorn.Config(
            create_app(settings, services),
            log_level="warning",
            access_log=False,  # addresses of studies are nobody's business
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=10,
        )
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        supervisor.stop()


def work_only(settings: Settings, command: Sequence[str] = COMMAND) -> None:
    """Keep workers without pages: for a second host, with the same database and disk."""
    supervisor = Supervisor(Services.open(settings), command)
    supervisor.start()
    supervisor.wait()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}): choose "
            "another port with --port, or --port 0 for a free one."
        ) from error
    return listener
