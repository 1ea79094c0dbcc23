"""Gives the tests of this folder the small world beside it."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

SMALL_WORLD = Path(__file__).with_name("small_world.py")


@pytest.fixture(scope="session")
def world() -> ModuleType:
    """small_world.py; a fixture, because test folders are not on the import path."""
    specification = importlib.util.spec_from_file_location("small_world", SMALL_WORLD)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The small world is too small to share out; more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
