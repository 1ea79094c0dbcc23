"""Few patients of a new hospital: their gain is measured on others, and kept only if there is."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deeppneumonia.checkpoint import CheckpointMetadata, load_checkpoint, save_checkpoint
from deeppneumonia.domain import ClassSet
from deeppneumonia.errors import ManifestError
from deeppneumonia.evaluation import answer_set
from deeppneumonia.evaluation.patients import over_classes
from deeppneumonia.inference.outliers import FeatureStatistics, fit_statistics
from deeppneumonia.models import create_model
from deeppneumonia.preprocessing import PreprocessConfig
from deeppneumonia.training.anchored import LinearHead
from deeppneumonia.workflows.draws import draw_patients
from deeppneumonia.workflows.finetune import FinetuneConfig, finetune
from deeppneumonia.workflows.finetune_save import with_hospital_inside
from deeppneumonia.workflows.finetune_scores import Answered, is_better, is_less_surprised
from deeppneumonia.workflows.tuning import (
    Slices,
    Tuned,
    answers_of,
    calibrated_patients,
    nested_answers,
    tune,
)

CLASSES = ClassSet(("covid", "bacterial", "healthy"))
IGNORANT = LinearHead(np.zeros((3, 8)), np.zeros(3))


def hospital(patients: int = 24, *, tells: float = 2.0, seed: int = 0, block: int = 1) -> Slices:
    """Two slices a patient, whose inputs tell covid (0) from healthy (2) to some degree."""
    rng = np.random.default_rng(seed)
    number = np.arange(patients).repeat(2)
    labels = np.where(number % 2, 2, 0)
    inputs = rng.normal(size=(2 * patients, 8)) + tells * (labels[:, None] == 0) * np.eye(8)[0]
    names = np.array([f"p{n:03d}" for n in number])
    groups = np.array([f"b{n % 2}{n // 2 // block}" for n in number])
    return Slices(inputs.astype(np.float32), labels.astype(np.int64), names, groups)


def test_tuning_learns_what_there_is_and_leaves_the_head_where_there_is_nothing() -> None:
    learned = tune(IGNORANT, 1.0, hospital(), seed=0)
    assert np.isfinite(learned.penalty)
    assert learned.head.weight[0, 0] > learned.head.weight[2, 0] + 0.5
    nothing = tune(IGNORANT, 1.0, hospital(tells=0.0), seed=0)
    assert np.abs(nothing.head.weight).max() < 0.3


def test_two_patients_choose_nothing_and_move_the_head_cautiously() -> None:
    found = tune(IGNORANT, 1.7, hospital(2), seed=0)
    assert (found.penalty, found.temperature) == (1.0, 1.7)


def test_the_guard_lets_a_gain_pass_and_holds_noise_back() -> None:
    for tells, better in ((3.0, True), (0.0, False)):
        known = hospital(40, tells=tells)
        found = nested_answers(IGNORANT, 1.0, known, seed=0)
        assert found is not None
        answered = Answered(np.array([0, 1] * 20), ["covid", "healthy"])
        here = [over_classes(one, [0, 2]) for one in found]
        assert is_better(answered, *here) is better


def test_a_gain_that_is_nothing_is_no_gain_however_sure() -> None:
    answered = Answered(np.array([0, 1] * 20), ["covid", "healthy"])
    half = np.full((40, 2), 0.5)

    def surer(by: float) -> np.ndarray:
        found = half.copy()
        found[np.arange(40), answered.labels] += by
        return found / found.sum(axis=1, keepdims=True)

    assert not is_better(answered, surer(0.001), half)
    assert is_better(answered, surer(0.02), half)


def test_copies_of_one_picture_write_no_new_head_however_wrong_the_old_one_is() -> None:
    labels, names = np.array([0] * 4 + [2] * 16), np.array([f"p{n:02d}" for n in range(20)])
    known = Slices(np.tile(np.arange(8.0), (20, 1)), labels, names, names)
    covid = LinearHead(np.zeros((3, 8)), np.log([0.9, 0.05, 0.05]))
    found = nested_answers(covid, 1.0, known, seed=0)
    tuned, refreshed = (over_classes(one, [0, 2]) for one in found or ())
    answered = Answered(np.sign(labels), ["covid", "healthy"])
    assert is_less_surprised(answered, tuned, refreshed)  # by 0.045, without any width
    assert not is_better(answered, tuned, refreshed)


def test_the_guard_does_not_take_a_new_temperature_for_a_new_head() -> None:
    """A head that is right but far too sure: calibration alone mends it, and is not `tuned`."""
    known = hospital(120, tells=1.5)
    sure = LinearHead(np.array([[20.0] + [0] * 7, [0] * 8, [0] * 8]), np.array([-15.0, 0, 0]))
    found = nested_answers(sure, 1.0, known, seed=0)
    assert found is not None
    tuned, refreshed = (over_classes(one, [0, 2]) for one in found)
    answered = Answered(np.array([0, 1] * 60), ["covid", "healthy"])
    _, before = calibrated_patients(Tuned(sure, 1.0, 1.0), known)
    assert is_less_surprised(answered, refreshed, before)
    assert not is_better(answered, tuned, refreshed)


def test_before_and_after_are_answered_as_evaluate_answers_them() -> None:
    """One head and one temperature have one answer, also where the hospital lacks a class."""
    known = hospital(40)
    head = LinearHead(np.random.default_rng(1).normal(size=(3, 8)), np.zeros(3))
    labels, found = calibrated_patients(Tuned(head, 2.0, 1.0), known)
    scored = answer_set(
        known.labels, head.probabilities(known.inputs), known.patients.tolist(), CLASSES.labels,
        temperature=2.0,
    ).patients  # fmt: skip
    assert labels.tolist() == scored.labels.tolist()
    np.testing.assert_allclose(found, scored.probabilities, atol=1e-9)  # rounding
    _, held_out = answers_of(Tuned(head, 2.0, 1.0), known)
    np.testing.assert_allclose(found, over_classes(held_out, known.present), atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_draw_divides_no_block_and_is_even_over_the_classes(seed: int) -> None:
    known = hospital(48, block=4)
    drawn = draw_patients(known, 10, np.random.default_rng(seed))
    assert drawn is not None
    chosen = known.only(drawn.known)
    assert len(set(chosen.patients)) == 10
    assert len(set(chosen.patients[chosen.labels == 0])) == 5
    assert not set(chosen.groups) & set(known.only(drawn.tested).groups)


def test_a_draw_that_leaves_nobody_to_test_is_none() -> None:
    assert draw_patients(hospital(12), 10, np.random.default_rng(0)) is None
    assert draw_patients(hospital(12), 40, np.random.default_rng(0)) is None


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "random.safetensors"
    metadata = CheckpointMetadata(
        model="resnet18", classes=CLASSES, preprocessing=PreprocessConfig(picture_px=64, slices=3)
    )
    save_checkpoint(path, create_model("resnet18", 3), metadata)
    return path


def test_patients_of_the_new_hospital_are_not_unlike_any_more() -> None:
    rng = np.random.default_rng(0)
    names = [f"p{n}" for n in range(200)]
    trained, others = rng.normal(size=(2, 200, 48))
    statistics = fit_statistics(trained, names, others, names)
    plain = CheckpointMetadata(model="resnet18", classes=CLASSES, preprocessing=PreprocessConfig())
    old = replace(plain, ood=statistics.to_json())
    there = (rng.normal(size=(200, 48)) + 5).astype(np.float32)
    assert all(statistics.distance(row[None]).is_far for row in there)
    inside = FeatureStatistics.from_json(with_hospital_inside(old, there, np.array(names)) or {})
    assert sum(inside.distance(row[None]).is_far for row in there) <= 4  # 2 % of 200
    assert inside.distance(there[:1] + 50).is_far
    near = with_hospital_inside(old, there - 5, np.array(names)) or {}
    assert FeatureStatistics.from_json(near).limit >= statistics.limit
    assert with_hospital_inside(plain, there, np.array(names)) is None


def hospital_of_squares(folder: Path, patients: int = 24) -> Path:
    """Pictures already cut to a lung-like disk: bright in covid, dim in healthy patients."""
    import cv2

    folder.mkdir()
    lines = ["path,patient_id,label,lung_masked,ward"]
    rng = np.random.default_rng(0)
    for number in range(patients):
        grey = 90 + 90 * (number % 2 == 0) + rng.integers(0, 20)
        picture = np.zeros((256, 256), np.uint8)
        for centre in (80, 176):
            cv2.ellipse(picture, (centre, 128), (36, 90), 0, 0, 360, int(grey), -1)
        noise = rng.integers(0, 12, picture.shape, dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), np.where(picture > 0, picture - noise, 0))
        label = "covid" if number % 2 == 0 else "healthy"
        lines.append(f"{number}.png,person{number},{label},1,w{number % 2}{number // 4}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


def test_a_random_network_is_settled_where_pictures_differ(
    checkpoint: Path, tmp_path: Path
) -> None:
    manifest = hospital_of_squares(tmp_path / "hospital")
    config = FinetuneConfig(group="ward", sizes=(4, 40), old_site=manifest)
    found = finetune(checkpoint, manifest, tmp_path / "out", config, device="cpu")
    assert found["patients"] == {"covid": 12, "healthy": 12}
    assert found["rows"]["fine-tuned"]["auc"]["value"] > 0.9
    assert found["written"] == "fine-tuned"
    four, forty = found["learning_curve"]
    assert four["after"]["value"] > four["before"]["value"] - 0.2 and four["draws"] > 10
    assert "40 labelled patients leave fewer than" in forty["not_done"]
    assert found["old_site"]["after"]["auc"]["value"] > 0.9
    assert set(found["rows"]) >= {
        "no labels: batch-norm statistics", "no labels: intensity statistics",
    }  # fmt: skip
    assert json.loads((tmp_path / "out" / "finetune.json").read_text()) == found
    assert (tmp_path / "out" / "learning_curve.png").stat().st_size > 10_000
    assert "person" not in json.dumps(found)
    new, old = (
        load_checkpoint(tmp_path / "out" / "checkpoint.safetensors"),
        load_checkpoint(checkpoint),
    )
    assert new.sha256 == found["checkpoint"]["sha256"]
    assert new.metadata.provenance["finetuned"]["from_sha256"] == old.sha256
    assert new.metadata.metrics["validation"]["patients"] == 24
    assert {point.target for point in new.metadata.thresholds.operating_points} == {0.9, 0.95}
    changed = {
        name for name, tensor in new.network.state_dict().items()
        if not torch.equal(tensor, old.network.state_dict()[name])
    }  # fmt: skip
    assert changed == {"backbone.fc.weight", "backbone.fc.bias"}


def test_with_two_patients_the_old_checkpoint_is_kept(
    checkpoint: Path, documented_keys: Callable[[str], set[str]], tmp_path: Path
) -> None:
    manifest = hospital_of_squares(tmp_path / "hospital", patients=2)
    found = finetune(checkpoint, manifest, tmp_path / "out", device="cpu")
    assert found["written"] is None
    assert "keep the old checkpoint" in found["decision"]
    assert not (tmp_path / "out" / "checkpoint.safetensors").exists()
    assert documented_keys("finetune.json") == set(found)
    assert "fine-tuned" not in found["rows"]


def test_patients_with_one_and_the_same_picture_write_nothing(
    checkpoint: Path, tmp_path: Path
) -> None:
    """A new temperature learns from them how many are ill, and is sure of it: they do not vary."""
    manifest = hospital_of_squares(tmp_path / "hospital", patients=12)
    one = manifest.with_name("0.png").read_bytes()
    for picture in manifest.parent.glob("*.png"):
        picture.write_bytes(one)
    manifest.write_text(re.sub(r"person([26]),covid", r"person\1,healthy", manifest.read_text()))
    config = FinetuneConfig(sizes=(2,))
    found = finetune(checkpoint, manifest, tmp_path / "out", config, device="cpu")
    assert found["patients"] == {"covid": 4, "healthy": 8}
    assert found["rows"]["calibration refreshed"]["log_loss_gain"]["low"] > 0
    assert found["written"] is None
    assert found["decision"].startswith("All patients get one answer, as copies of one picture")
    assert not (tmp_path / "out" / "checkpoint.safetensors").exists()


def test_three_patients_a_label_are_scored_and_prove_nothing(
    checkpoint: Path, tmp_path: Path
) -> None:
    manifest = hospital_of_squares(tmp_path / "hospital", patients=6)
    found = finetune(
        checkpoint, manifest, tmp_path / "out", FinetuneConfig(sizes=(2,)), device="cpu"
    )
    assert "fine-tuned" in found["rows"]
    assert found["written"] is None
    assert found["decision"].startswith("Fewer than 4 patients of a label")
    assert not (tmp_path / "out" / "checkpoint.safetensors").exists()


def test_nothing_is_fitted_to_patients_who_are_kept_for_a_test(
    checkpoint: Path, tmp_path: Path
) -> None:
    manifest = hospital_of_squares(tmp_path / "hospital", patients=6)
    head, *lines = manifest.read_text().splitlines()
    parts = ["train", "train", "validation", "validation", "test", "test"]
    marked = [f"{line},{part}" for line, part in zip(lines, parts, strict=True)]
    manifest.write_text("\n".join([f"{head},split", *marked]) + "\n")
    found = finetune(
        checkpoint, manifest, tmp_path / "out", FinetuneConfig(sizes=(2,)), device="cpu"
    )
    assert found["patients"] == {"covid": 2, "healthy": 2}
    assert found["test_patients"] == 2
    all_test = [f"{line},test" for line in lines]
    manifest.write_text("\n".join([f"{head},split", *all_test]) + "\n")
    with pytest.raises(ManifestError, match="nothing is fitted to test patients"):
        finetune(checkpoint, manifest, tmp_path / "out", device="cpu")


@pytest.mark.parametrize(
    ("old", "new", "config", "message"),
    [
        (",healthy,", ",normal,", FinetuneConfig(), r"labels normal, .*--map normal="),
        (",healthy,", ",covid,", FinetuneConfig(), "usable slices of 1 label,"),
        (",healthy,", ",healthy,", FinetuneConfig(group="bloc"), "column 'bloc'.* column: site"),
    ],
    ids=["unknown label", "one label", "no such column"],
)
def test_a_manifest_that_cannot_be_used_is_refused_by_name(
    checkpoint: Path, tmp_path: Path, old: str, new: str, config: FinetuneConfig, message: str
) -> None:
    manifest = hospital_of_squares(tmp_path / "hospital", patients=4)
    manifest.write_text(manifest.read_text().replace(old, new))
    with pytest.raises(ManifestError, match=message):
        finetune(checkpoint, manifest, tmp_path / "out", config, device="cpu")
