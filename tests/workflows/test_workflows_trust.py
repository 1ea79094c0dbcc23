"""`evaluate --trust`, and a diagnosis that knows when to leave an answer open."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deeppneumonia.checkpoint import load_checkpoint, save_checkpoint
from deeppneumonia.domain import Status
from deeppneumonia.errors import TrainingError
from deeppneumonia.phantoms import PhantomConfig, make_phantom, write_png
from deeppneumonia.phantoms.other_pictures import mr_like
from deeppneumonia.workflows.calibration import refit_confidence
from deeppneumonia.workflows.diagnose import Diagnoser
from deeppneumonia.workflows.evaluate import evaluate_manifests
from deeppneumonia.workflows.outliers import fit_ood
from deeppneumonia.workflows.trust import auc_at_hand


@pytest.fixture(scope="module")
def divided(cohort: Path) -> Path:
    """The cohort at two sites, half of it for training."""
    with (cohort / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row["site"] = ("north", "south")[number // 6]
        row["split"] = ("train", "validation")[number // 3 % 2]
    path = cohort / "two_sites.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def knowing(checkpoint: Path, divided: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint with statistics of its training patients."""
    folder = tmp_path_factory.mktemp("knowing")
    fit_ood(checkpoint, [divided], folder / "knowing.safetensors", cache=folder / "cache")
    return folder / "knowing.safetensors"


@pytest.fixture(scope="module")
def trusted(
    knowing: Path, divided: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    out = tmp_path_factory.mktemp("trusted")
    evaluate_manifests(knowing, [divided], out, split="validation", device="cpu", trust=True)
    assert (out / "trust.html").is_file()
    return {"out": out, **json.loads((out / "trust.json").read_text())}


def test_fitting_statistics_changes_nothing_else(checkpoint: Path, knowing: Path) -> None:
    before, after = load_checkpoint(checkpoint), load_checkpoint(knowing)
    assert before.metadata.ood is None and after.metadata.ood is not None
    assert replace(after.metadata, ood=None) == before.metadata
    for name, tensor in before.network.state_dict().items():
        assert (after.network.state_dict()[name] == tensor).all()


def test_a_threshold_chosen_anew_changes_nothing_else(
    knowing: Path, divided: Path, tmp_path: Path
) -> None:
    found = refit_confidence(
        knowing, divided, tmp_path / "again.safetensors", cache=tmp_path / "cache", device="cpu"
    )
    before, after = load_checkpoint(knowing), load_checkpoint(tmp_path / "again.safetensors")
    assert after.metadata == found
    told = found.metrics["validation"]
    assert told["patients"] == 6
    # Six patients: leaving one open would leave more than one in twenty without an answer.
    assert found.thresholds.confidence == 0 and told["answered"] == 1
    kept = {"thresholds": before.metadata.thresholds, "metrics": before.metadata.metrics}
    assert replace(found, **kept) == before.metadata
    for name, tensor in before.network.state_dict().items():
        assert (after.network.state_dict()[name] == tensor).all()


def test_statistics_need_both_splits(checkpoint: Path, cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="3 training patients and 1 validation"):
        fit_ood(
            checkpoint, [cohort / "manifest.csv"], tmp_path / "c.safetensors", cache=tmp_path / "c"
        )
    assert not (tmp_path / "c.safetensors").exists()


def test_a_threshold_needs_validation_patients(
    checkpoint: Path, cohort: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="names none with a usable slice"):
        refit_confidence(
            checkpoint, cohort / "manifest.csv", tmp_path / "c.safetensors", cache=tmp_path / "c"
        )


def test_everything_asked_for_is_measured(trusted: dict[str, dict[str, dict[str, object]]]) -> None:
    pictures = trusted["pictures"]
    assert set(pictures["without"]) == {
        "outside_only", "silhouette_only", "patches_shuffled",
    }  # fmt: skip
    whole = {"patients": pictures["patients"], "as_it_is": pictures["as_it_is"]}
    assert pictures["of"] == dict.fromkeys(pictures["without"], whole)
    assert {kind: len(levels) for kind, levels in pictures["curves"].items()} == {
        "window": 4, "kernel": 4, "noise": 4,
    }  # fmt: skip
    assert set(trusted["sites"]) == {"north", "south"}
    assert set(trusted["features"]["leave_one_site_out"]) == {"north", "south"}
    assert {"label", "label_permuted", "site"} <= set(trusted["features"])
    assert set(trusted["abstention"]["risk_coverage"]) == {"confidence", "distance"}


def test_patients_add_up(trusted: dict[str, dict[str, int]]) -> None:
    found = trusted["abstention"]
    parts = ("answered", "refused", "open_check", "open_distance", "open_weak_lead")
    assert sum(found[part] for part in parts) == found["patients"] == 6


def test_the_page_says_it_in_words_and_names_no_patient(trusted: dict[str, Path]) -> None:
    page = (trusted["out"] / "trust.html").read_text()
    # An untrained network knows nothing, and the page has to say that before anything else.
    assert "not shown to beat chance" in page
    assert "Lungs blacked out" in page and "polyline" in page
    assert "PHANTOM" not in page and "://" not in page


def test_within_a_site_of_two_labels_patients_are_ranked_as_evaluate_ranks_them() -> None:
    # By their means patient a leans to class 0 as 17 to 2. Rescaled first, the second slice, which
    # tells next to nothing of these two classes, would count as much as the other one.
    slices = np.array([[0.9, 0.1, 0], [0.01, 0.02, 0.97], [0.7, 0.3, 0], [0.7, 0.3, 0]])
    found = auc_at_hand(np.array([0, 0, 1, 1]), slices, ["a", "a", "b", "b"])
    assert isinstance(found, dict) and found["value"] == 1


def test_one_site_and_one_label_say_what_cannot_be_done(
    knowing: Path, cohort: Path, tmp_path: Path
) -> None:
    lines = (cohort / "manifest.csv").read_text().splitlines()
    manifest = cohort / "one_label.csv"
    manifest.write_text("\n".join([lines[0], *(line for line in lines if ",covid," in line)]))
    evaluate_manifests(knowing, [manifest], tmp_path, device="cpu", trust=True)
    found = json.loads((tmp_path / "trust.json").read_text())
    assert found["pictures"]["as_it_is"] == "there is one label only"
    assert found["features"]["site"] == "all patients come from one site"
    assert "Not done: there is one label only." in (tmp_path / "trust.html").read_text()


def test_a_checkpoint_without_statistics_answers_with_a_flag(
    checkpoint: Path, cohort: Path
) -> None:
    diagnosis = Diagnoser.load(checkpoint, device="cpu").diagnose(cohort / "PHANTOM-covid-0")
    assert diagnosis.status is Status.DIAGNOSED
    assert "no_ood_statistics" in {flag.code for flag in diagnosis.flags}
    assert diagnosis.quality["trust"]["distance"] is None


def test_a_study_far_from_training_is_indeterminate_with_its_distance(
    knowing: Path, cohort: Path, tmp_path: Path
) -> None:
    loaded = load_checkpoint(knowing)
    strict = replace(loaded.metadata, ood={**loaded.metadata.ood, "limit": 0.01})
    save_checkpoint(tmp_path / "strict.safetensors", loaded.network, strict)
    study = cohort / "PHANTOM-covid-0"
    near = Diagnoser.load(knowing, device="cpu").diagnose(study)
    far = Diagnoser.load(tmp_path / "strict.safetensors", device="cpu").diagnose(study)
    assert "unlike_training" not in {flag.code for flag in near.flags}
    assert far.status is Status.INDETERMINATE and far.diagnosis is None
    assert "0.01 is the limit" in far.reasons[0]
    assert far.probabilities == pytest.approx(near.probabilities)


def test_an_mr_is_refused_before_the_network_is_asked(knowing: Path, tmp_path: Path) -> None:
    phantom = make_phantom(PhantomConfig(label="covid", seed=1, shape=(9, 128, 128)))
    write_png(phantom, tmp_path / "mr")
    import cv2

    for file, picture in zip(sorted((tmp_path / "mr").iterdir()), mr_like(phantom), strict=True):
        cv2.imwrite(str(file), picture)
    diagnosis = Diagnoser.load(knowing, device="cpu").diagnose(tmp_path / "mr")
    assert diagnosis.status is Status.REFUSED and not diagnosis.probabilities
    assert "network" not in diagnosis.timing_s
    shutil.rmtree(tmp_path / "mr")
    assert np.isfinite(list(diagnosis.timing_s.values())).all()
