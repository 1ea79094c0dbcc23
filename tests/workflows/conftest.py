"""Small phantom patients, and what the reference says of files, for all tests of this folder."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from deeppneumonia.phantoms import Form, write_cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of twelve quick phantom patients, four of each label, as picture folders."""
    folder = tmp_path_factory.mktemp("cohort") / "phantoms"
    write_cohort(folder, per_label=4, shape=(8, 128, 128), form=Form.PNG)
    return folder


@pytest.fixture(scope="session")
def documented_keys() -> Callable[[str], set[str]]:
    """The first column of a table of the reference, by its title."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "audit-and-finetune-json.md"

    def keys(title: str) -> set[str]:
        section = page.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
        cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
        return {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}

    return keys
