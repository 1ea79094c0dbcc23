"""Gives the tests of this folder the small hospital beside it."""

import importlib.util
import logging
import tempfile
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
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool in whose process pynetdicom behaves as in a node; undone afterwards."""
    before = (_config.STORE_RECV_CHUNKED_DATASET, _config.LOG_HANDLER_LEVEL, tempfile.tempdir)
    level = logging.getLogger("pynetdicom").level
    spool = Spool(tmp_path / "spool", Storage(tmp_path / "data"))
    prepare_process(spool)
    yield spool
    _config.STORE_RECV_CHUNKED_DATASET, _config.LOG_HANDLER_LEVEL, tempfile.tempdir = before
    logging.getLogger("pynetdicom").setLevel(level)


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
