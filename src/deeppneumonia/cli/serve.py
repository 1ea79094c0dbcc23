"""`deeppneumonia serve`: the online server on this machine, ready in seconds, without network."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deeppneumonia.cli.console import remark
from deeppneumonia.errors import ConfigError

if TYPE_CHECKING:
    from deeppneumonia.server.settings import Settings

DATABASE_VARIABLE = "DEEPPNEUMONIA_DATABASE"
NEEDED = ("fastapi", "prometheus_client", "python_multipart", "sqlalchemy", "uvicorn")

DataFolder = Annotated[
    Path | None, typer.Option(help="Folder of studies and results (in DEEPPNEUMONIA_HOME).")
]
Config = Annotated[
    Path | None,
    typer.Option(help="TOML file with a table \\[server]; options given here win over it."),
]


def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port (8000); 0 takes a free one.")] = None,
    data: DataFolder = None,
    workers: Annotated[int | None, typer.Option(help="Processes that read studies (1).")] = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", "-c", help="A released model's name, or a file.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    work_only: Annotated[
        bool, typer.Option("--work-only", help="Only read studies: a second host, no pages.")
    ] = False,
) -> None:
    """Serve the pages and the REST interface, and read the studies that come in.

    Everything stays on this machine: SQLite, one worker, 127.0.0.1. Any other address needs a user
    first (deeppneumonia users add). The URL of another database may stand in the environment
    variable DEEPPNEUMONIA_DATABASE, so that its password is in no file and no list of processes.

    Example: deeppneumonia serve --port 8080
    """
    settings = read_settings(config, data).but(
        host=host, port=port, workers=workers, checkpoint=checkpoint, device=device
    )
    from deeppneumonia.server import serving

    if work_only:
        serving.work_only(settings)
    else:
        serving.serve(settings, lambda address: remark(f"DeepPneumonia is at {address}"))


def read_settings(config: Path | None, data: Path | None) -> "Settings":
    """Settings from a file, the environment and the command line, the later ones winning.

    Raises:
        ConfigError: a setting that does not exist, or the extra [serve] is not installed.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"The server needs {', '.join(missing)}, which is not installed: "
            "pip install 'deeppneumonia[serve]'."
        )
    from deeppneumonia.server.settings import Settings

    settings = Settings() if config is None else Settings.from_toml(config)
    folder = None if data is None else str(data.absolute())
    return settings.but(data=folder, database=os.environ.get(DATABASE_VARIABLE) or None)
