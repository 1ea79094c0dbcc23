"""Every ready-made way to start the server reads the file that its settings stand in."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
CONFIG = "/etc/deeppneumonia/server.toml"


def services() -> dict[str, Any]:
    """The services of compose.yaml that run our image."""
    yaml = pytest.importorskip("yaml", reason="PyYAML, which comes with schemathesis, is missing")
    read = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return {name: one for name, one in read.items() if one["image"] == "deeppneumonia"}


@pytest.mark.parametrize("name", ["web", "worker", "dicom"])
def test_each_container_is_given_the_settings(name: str) -> None:
    """De-identification among them: a study is cleaned whatever way it comes in."""
    service = services()[name]
    assert f"--config {CONFIG}" in shlex.join(service["command"])
    assert f"./server.toml:{CONFIG}:ro" in service["volumes"]
    assert "studies:/data" in service["volumes"]


def test_each_container_has_an_init_that_collects_orphans() -> None:
    """A worker that is killed leaves readers behind, which the server, as process 1, would keep."""
    assert all(one["init"] is True for one in services().values())
    assert "podman run --init " in (DEPLOY / "Containerfile").read_text()


def test_no_container_is_forgotten_here() -> None:
    assert services().keys() == {"web", "worker", "dicom"}


@pytest.mark.parametrize("file", sorted(DEPLOY.glob("*.service")), ids=lambda file: file.stem)
def test_each_unit_of_systemd_is_given_the_settings(file: Path) -> None:
    started = re.search(r"^ExecStart=(.+)$", file.read_text(), re.M)
    assert started is not None and f"--config {CONFIG}" in started[1]
