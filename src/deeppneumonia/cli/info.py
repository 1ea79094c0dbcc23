"""`deeppneumonia info`: versions and places, instantly."""

import platform
from importlib.metadata import version

import typer

from deeppneumonia.cli.console import AsJson, print_json
from deeppneumonia.files import home_folder


def info(as_json: AsJson = False) -> None:
    """Show the version, where models are kept and what this program is."""
    facts = {
        "deeppneumonia": version("deeppneumonia"),
        "python": platform.python_version(),
        "torch": version("torch"),
        "models": str(home_folder()),
        "system": f"{platform.system()} {platform.machine()}",
        "licence": "Apache-2.0 (code); research, non-commercial (weights)",
        "intended_use": "research software, not a medical device",
    }
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' '):16}{value}")
