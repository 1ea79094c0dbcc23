"""`deeppneumonia dicom-node`: a PACS sends studies here, and gets its answers back."""

import logging
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from deeppneumonia.cli.serve import read_settings
from deeppneumonia.errors import ConfigError


def dicom_node(
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML with a table \\[dicom_node] (peers, destinations, TLS), and the \\[server] "
            "table that `serve` is started with.",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Data folder that is shared with `serve`.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes a free one.")] = None,
    ae_title: Annotated[str | None, typer.Option(help="How peers call this node.")] = None,
) -> None:
    """Receive CT studies over DICOM and send the answers back, until it is stopped.

    It puts studies into the store of `deeppneumonia serve`, whose workers read them, so both are
    given the same --data or --config. Without a config, only this machine may send.

    Example: deeppneumonia dicom-node --config hospital.toml
    """
    server = read_settings(config, data)
    try:
        from deeppneumonia.server.dicom_node import run_node
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The DICOM node needs {error.name}, which is not installed: "
            "pip install 'deeppneumonia[serve]'."
        ) from error
    from deeppneumonia.server.dicom_settings import NodeSettings

    node = NodeSettings() if config is None else NodeSettings.from_toml(config)
    changes: dict[str, Any] = {"host": host, "port": port, "ae_title": ae_title}
    node = replace(node, **{name: value for name, value in changes.items() if value is not None})
    _log_to_stderr()
    run_node(server, node, _stopped_by_signals())


def _stopped_by_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _log_to_stderr() -> None:
    """Our own log alone: what libraries say may quote images."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    ours = logging.getLogger("deeppneumonia")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False
