"""What reads right and is no chest gets no answer, whatever its header says: end to end."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import other_bodies
import pytest
from ramp_ct import save
from readable import READABLE

ONE_SLICE, OBLIQUE, CHEST = "one slice", "oblique by 20 degrees", "the ramp, which is no chest"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one run of the command says about each study."""
    folder = tmp_path_factory.mktemp("studies")
    for name in other_bodies.BODIES:
        other_bodies.write(name, folder / name)
    rng = np.random.default_rng(0)
    hu = other_bodies.abdomen(0.95, rng)
    save([other_bodies.as_dicom(hu, 0.0, 400)], folder / ONE_SLICE)
    (folder / OBLIQUE).mkdir()
    (oblique,) = (case for case in READABLE if case.name == OBLIQUE)
    oblique.write(folder / OBLIQUE)
    (folder / CHEST).mkdir()
    READABLE[0].write(folder / CHEST)
    names = sorted(path.name for path in folder.iterdir())
    run = subprocess.run(
        [sys.executable, "-m", "deeppneumonia", "diagnose", "--json", "--quiet", *names],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 3, run.stderr
    return dict(zip(names, json.loads(run.stdout), strict=True))


NAMED = {
    "head": "No usable lungs",
    "abdomen": "looks like an abdomen",
    "abdomen, upside down": "looks like an abdomen",
    "CT colonography": "looks like an abdomen",
    "CT colonography, upside down": "looks like an abdomen",
    "pelvis": "No usable lungs",
    "legs": "No usable lungs",
    ONE_SLICE: "has one slice",
    OBLIQUE: "turned 20 degrees",
    CHEST: "No usable lungs",
}


@pytest.mark.parametrize("study", NAMED)
def test_what_is_no_chest_series_is_refused_with_the_reason(
    study: str, answers: dict[str, Any]
) -> None:
    answer = answers[study]
    assert answer["status"] == "refused"
    assert answer["probabilities"] == {} and answer["diagnosis"] is None
    assert NAMED[study] in " ".join(answer["reasons"])
