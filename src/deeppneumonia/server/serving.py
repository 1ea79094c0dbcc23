"""The server as a process: listens, keeps its workers, and stops in good order."""

import gc
import signal
import socket
import sys
from collections.abc import Callable, Sequence

import uvicorn

from deeppneumonia.errors import ConfigError
from deeppneumonia.server.app import create_app
from deeppneumonia.server.services import open_services
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.supervisor import COMMAND, Supervisor

BACKLOG = 2048
"""Connections that may wait to be accepted; uvicorn's own number."""


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
    # uvicorn sends itself the signal again when it is done, which would be the end of us there.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    services = open_services(settings)
    if settings.way_in and not settings.oidc and not services.accounts.users():
        raise ConfigError(
            f"{settings.way_in}, and there is no user yet: add one with `deeppneumonia users add "
            "NAME --role admin` and the same --config and --data, or listen on 127.0.0.1 without "
            "a proxy."
        )
    app = create_app(settings, services)  # refuses wrong settings before anything is started
    listener = _listen(settings)
    gc.collect()
    gc.freeze()  # a full collection would stop every page for 0.1 s, to look at modules
    supervisor = Supervisor(services, command)
    supervisor.start()
    try:
        host, port = listener.getsockname()[:2]
        announce(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # addresses of studies are nobody's business
            server_header=False,
            http="h11",  # httptools, taken where it is installed, has no limit for headers
            timeout_keep_alive=30,
            timeout_graceful_shutdown=10,
        )
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        supervisor.stop()
        services.database.dispose()  # SQLite then puts its log into the one file that is backed up


def work_only(settings: Settings) -> None:
    """Keep workers without pages: for a second host, with the same database and disk."""
    services = open_services(settings)
    supervisor = Supervisor(services)
    supervisor.start()
    try:
        supervisor.wait()
    finally:
        services.database.dispose()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named TCP, for asyncio sends at once on such sockets alone: else every answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)  # from here on, so that the address is true when it is announced
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}): choose "
            "another port with --port, or --port 0 for a free one."
        ) from error
    return listener
