"""Gives the tests of this folder the small hospital beside it."""

import importlib.util
import logging
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="pynetdicom (the extra [serve]) is not installed")

from pynetdicom import _config

from deeppneumonia.server.dicom_scp import Listener, prepare_process
from deeppneumonia.server.dicom_settings import NodeSettings
from deeppneumonia.server.dicom_spool import Spool
from deeppneumonia.server.storage import Storage

HOSPITAL = Path(__file__).with_name("hospital.py")


def load_hospital() -> ModuleType:
    specification = importlib.util.spec_from_file_location("hospital", HOSPITAL)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def hospital() -> ModuleType:
    """hospital.py; a fixture, because test folders are not on the import path."""
    return load_hospital()


@pytest.fixture
def pacs(hospital: ModuleType) -> Iterator[Any]:
    """An archive that takes what we send."""
    archive = hospital.Pacs()
    yield archive
    archive.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool in whose process pynetdicom behaves as in a node; undone afterwards."""
    before = (_config.STORE_RECV_CHUNKED_DATASET, _config.LOG_HANDLER_LEVEL, tempfile.tempdir)
    level, hook = logging.getLogger("pynetdicom").level, threading.excepthook
    spool = Spool(tmp_path / "spool", Storage(tmp_path / "data"))
    prepare_process(spool)
    yield spool
    _config.STORE_RECV_CHUNKED_DATASET, _config.LOG_HANDLER_LEVEL, tempfile.tempdir = before
    logging.getLogger("pynetdicom").setLevel(level)
    threading.excepthook = hook


@pytest.fixture
def listen(spool: Spool) -> Iterator[Callable[..., Listener]]:
    """Makes a listener on a free port of this machine."""
    made: list[Listener] = []

    def make(**settings: Any) -> Listener:
        made.append(Listener(NodeSettings(port=0, **settings), spool))
        return made[-1]

    yield make
    for listener in made:
        listener.close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, and two certificates that it vouches for."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl("req", "-x509", *new, "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("node", "peer"):
        openssl(
            "req", "-x509", *new, "-subj", f"/CN={name}", "-keyout", f"{name}.key",
            "-out", f"{name}.pem", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-addext", "subjectAltName=IP:127.0.0.1",
        )  # fmt: skip
    return folder
