"""From a dropped study to its report in headless Chromium: both viewers, and no policy violated."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import deeppneumonia
from deeppneumonia.phantoms.cohort import Form, write_cohort

HERE = Path(__file__).parent
SERVER = Path(deeppneumonia.__file__).parent / "server"
PLAYWRIGHT = SERVER / "viewer" / "node_modules" / "playwright-core" / "index.mjs"
CHROMIUM, NODE = Path("/usr/bin/chromium"), shutil.which("node")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not at /usr/bin/chromium"),
    pytest.mark.skipif(NODE is None, reason="Node is not installed"),
    pytest.mark.skipif(not PLAYWRIGHT.exists(), reason="playwright-core: run `make viewer` first"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A whole server with its worker and the released model, as `deeppneumonia serve` starts it."""
    data = tmp_path_factory.mktemp("data")
    command = [sys.executable, "-m", "deeppneumonia", "serve", "--port", "0", "--data", str(data)]
    environment = {**os.environ, "DEEPPNEUMONIA_HOME": str(data)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stderr is not None
        found = next(filter(None, (re.search(r"http://\S+", line) for line in server.stderr)))
        yield found.group()
        server.terminate()


def study(folder: Path) -> Path:
    """A quick phantom patient as a zip."""
    write_cohort(folder, per_label=1, first_seed=7, shape=(12, 128, 128), form=Form.DICOM)
    return Path(shutil.make_archive(str(folder / "study"), "zip", folder / "PHANTOM-covid-7"))


def test_a_dropped_study_becomes_a_report_that_can_be_looked_through(
    address: str, tmp_path: Path
) -> None:
    script = [NODE, HERE / "pages.mjs", PLAYWRIGHT, CHROMIUM, address, study(tmp_path), tmp_path]
    done = subprocess.run([str(part) for part in script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["violations"] == [] and seen["problems"] == [] and seen["foreign"] == []
    assert seen["headline"] and seen["downloads"] > 5
    assert seen["first"]["width"] == seen["second"]["width"] == 128
    assert seen["zoomed"] == pytest.approx(1.25, abs=0.02)  # whole pixels
    assert "disagrees" in seen["feedback"]
    assert all(seen[key] <= 0 for key in seen if key.startswith("overflow"))
    if (SERVER / "static" / "niivue.js").exists():
        assert seen["planes"] == "shown"
