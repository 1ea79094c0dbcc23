"""docs/reference/limits.md says every limit with its default."""

import re
from dataclasses import asdict
from pathlib import Path

from deeppneumonia.readers.limits import Limits

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "limits.md"


def test_the_page_has_every_limit_with_its_default_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d,.]+) \|", PAGE.read_text(), re.MULTILINE)
    assert {name: float(value.replace(",", "")) for name, value in rows} == asdict(Limits())
