"""What an evaluation says beside its scores."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from deeppneumonia.checkpoint import Thresholds, load_checkpoint, save_checkpoint
from deeppneumonia.workflows.evaluate import evaluate_manifests


def leads(out: Path, temperature: float) -> list[float]:
    """The calibrated probability of each patient's leading class, over all three, by hand."""
    by_patient: dict[str, list[list[float]]] = {}
    with (out / "slices.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["status"] == "kept":
                one = [float(row[name]) for name in ("covid", "bacterial", "healthy")]
                by_patient.setdefault(row["patient_id"], []).append(one)
    found = []
    for rows in by_patient.values():
        powers = [(sum(each) / len(rows)) ** (1 / temperature) for each in zip(*rows, strict=True)]
        found.append(max(powers) / sum(powers))
    return sorted(found)


def test_indeterminate_are_those_whom_diagnose_leaves_open_though_a_class_is_absent(
    checkpoint: Path, cohort: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "two.csv"
    lines = (cohort / "manifest.csv").read_text().splitlines()
    manifest.write_text("\n".join(line for line in lines if ",bacterial," not in line) + "\n")
    loaded = load_checkpoint(checkpoint)

    def counted(level: float) -> dict[str, object]:
        metadata = replace(loaded.metadata, thresholds=Thresholds(confidence=level))
        save_checkpoint(tmp_path / "c.safetensors", loaded.network, metadata)
        metrics = evaluate_manifests(
            tmp_path / "c.safetensors", [manifest], tmp_path / "out", data=cohort, device="cpu"
        )
        assert metrics["renormalised"] is True
        found: dict[str, object] = metrics["indeterminate"]
        return found

    assert counted(0.0)["patients"] == 0
    seen = leads(tmp_path / "out", loaded.metadata.temperature)
    level = (seen[3] + seen[4]) / 2
    assert seen[3] < seen[4], "the random network tells patients apart a little"
    found = counted(level)
    assert found["patients"] == 4
    assert found["threshold"] == pytest.approx(level)
