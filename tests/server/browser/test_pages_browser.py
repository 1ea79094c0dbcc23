"""From a dropped study to its report in headless Chromium: both viewers, and no policy violated."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def serving(data: Path, *options: str) -> Iterator[str]:
    """A whole server in a process of its own, as `deeppneumonia serve` starts it; its address."""
    command = [sys.executable, "-m", "deeppneumonia", "serve", "--data", str(data), *options]
    environment = {**os.environ, "DEEPPNEUMONIA_HOME": str(data)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stderr is not None
        found = next(filter(None, (re.search(r"http://\S+", line) for line in server.stderr)))
        yield found.group()
        server.terminate()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """With a worker and the released model."""
    with serving(tmp_path_factory.mktemp("data"), "--port", "0") as found:
        yield found


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
    assert "does not answer" in seen["away"] and seen["came_by_itself"] == 1
    assert seen["late"]["words"].startswith("Slice 0 of 0 to 11") and not seen["late"]["pictures"]
    assert seen["came"].startswith("Slice 0 of 0 to 11") and "loading" not in seen["came"]
    assert seen["gone"]["words"].startswith("Slice 11 ") and not seen["gone"]["pictures"]
    assert (seen["widest"]["typed"], seen["widest"]["width"]) == ("6000", 128)
    assert seen["centre"] == "-600"
    assert all(seen[key] <= 0 for key in seen if key.startswith("overflow"))
    if (SERVER / "static" / "niivue.js").exists():
        assert seen["planes"] == "shown"
        assert [words[:13] for words in seen["help"]] == ["Click or drag"]


def test_a_person_logs_in_at_a_provider_on_another_site(tmp_path: Path) -> None:
    """localhost and 127.0.0.1 are two sites, so that the strict cookie has to survive the way."""
    pytest.importorskip("authlib", reason="Authlib (the extra [oidc]) is not installed")
    file = HERE.parent / "oidc_provider.py"
    specification = importlib.util.spec_from_file_location("oidc_provider", file)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    provider = module.Provider(host="localhost")
    provider.user = {"sub": "4711", "preferred_username": "Anna", "groups": ["radiology"]}
    (tmp_path / "secret").write_text(module.SECRET)
    config = tmp_path / "server.toml"
    config.write_text(
        f'[server.oidc]\nissuer = "{provider.issuer}"\nclient_id = "deeppneumonia"\n'
        f'client_secret_file = "{tmp_path}/secret"\ntitle = "the hospital"\n'
        '[server.oidc.roles]\nradiology = "uploader"\n'
    )
    options = ["--port", "0", "--workers", "0", "--config", str(config)]
    with serving(tmp_path / "data", *options) as address:
        provider.client.redirects = {f"{address}login/oidc/callback"}
        script = [NODE, HERE / "oidc.mjs", PLAYWRIGHT, CHROMIUM, address, tmp_path]
        done = subprocess.run([str(part) for part in script], capture_output=True, text=True)
    provider.close()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "violations": [], "url": address, "who": "anna", "after": f"{address}login",
    }  # fmt: skip
