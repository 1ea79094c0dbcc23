"""All awkward files are read by one child a module: that a child is new is tested elsewhere."""

from collections.abc import Iterator

import pytest

from deeppneumonia.readers import sharing_a_child


@pytest.fixture(scope="module", autouse=True)
def one_child() -> Iterator[None]:
    with sharing_a_child():
        yield
