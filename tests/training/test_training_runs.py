"""Whole trainings in a small world: what they learn, when they stop and what they refuse."""

import csv
import io
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from deeppneumonia.errors import ConfigError, TrainingError
from deeppneumonia.training import Loaders, Precision, TrainConfig, Trainer, TrainingResult

FAST = TrainConfig(epochs=2, learning_rate=0.05, class_weights=False)


def config_with(**changes: Any) -> TrainConfig:
    return TrainConfig.from_dict(FAST.to_dict() | changes)


def fit(world: Any, out_dir: Path, config: TrainConfig, num_classes: int = 2) -> TrainingResult:
    network = world.TinyNetwork(num_classes)
    return Trainer().fit(network, world.loaders(num_classes), config, out_dir)


@pytest.mark.parametrize(("num_classes", "amp"), [(2, "off"), (2, "bf16"), (3, "bf16")])
def test_bright_and_dark_squares_are_told_apart(
    world: Any, tmp_path: Path, num_classes: int, amp: str
) -> None:
    config = config_with(epochs=4, class_weights=True, amp=amp)
    result = fit(world, tmp_path, config, num_classes)
    assert result.best_auc == 1.0
    assert len(result.history) == 4
    assert result.history[-1].validation_loss < result.history[0].validation_loss


def test_a_training_leaves_its_history_its_curve_and_its_weights(
    world: Any, tmp_path: Path
) -> None:
    result = fit(world, tmp_path / "new" / "folder", FAST)
    out_dir = tmp_path / "new" / "folder"
    assert sorted(path.name for path in out_dir.iterdir()) == [
        "best.safetensors",
        "history.csv",
        "last.safetensors",
        "learning_curve.png",
    ]
    rows = list(csv.DictReader((out_dir / "history.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[result.best_epoch - 1]["validation_auc"]) == result.best_auc
    assert all(float(row["pictures_per_s"]) > 0 for row in rows)


def test_two_deterministic_runs_are_equal_bit_by_bit(world: Any, tmp_path: Path) -> None:
    config = config_with(deterministic=True, seed=4)
    results = [fit(world, tmp_path / name, config) for name in ("one", "two")]
    weights = [load_file(tmp_path / name / "last.safetensors") for name in ("one", "two")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    losses = [[record.training_loss for record in result.history] for result in results]
    assert losses[0] == losses[1]


def test_another_seed_gives_other_dropout(world: Any, tmp_path: Path) -> None:
    one, two = (
        fit(world, tmp_path / str(seed), config_with(seed=seed, epochs=1)) for seed in (0, 1)
    )
    assert one.history[0].training_loss != two.history[0].training_loss


def test_torch_is_left_as_it_was_found(world: Any, tmp_path: Path) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    fit(world, tmp_path, config_with(deterministic=True, epochs=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_last_epoch_is_handed_over_where_the_config_says_so(world: Any, tmp_path: Path) -> None:
    network = world.TinyNetwork()
    Trainer().fit(network, world.loaders(), FAST, tmp_path / "right")
    wrong = world.loaders(wrong_training=True)  # from a good start, each epoch makes it worse
    config = config_with(epochs=8, learning_rate=0.02, patience=0, keep="last")
    result = Trainer().fit(network, wrong, config, tmp_path / "wrong")
    assert result.best_epoch == 8
    assert result.best_auc < max(record.validation_auc for record in result.history)
    kept, last = load_file(result.best_weights), load_file(tmp_path / "wrong" / "last.safetensors")
    assert all(torch.equal(value, last[f"weights/{name}"]) for name, value in kept.items())


def test_training_stops_when_patience_is_over_and_keeps_the_best_weights(
    world: Any, tmp_path: Path
) -> None:
    teacher = world.TinyNetwork()
    Trainer().fit(teacher, world.loaders(), FAST, tmp_path / "right")
    wrong = world.loaders(wrong_training=True)  # from a good start, each epoch makes it worse
    config = config_with(epochs=30, learning_rate=0.02, patience=3)
    result = Trainer().fit(teacher, wrong, config, tmp_path / "wrong")
    assert result.stopped_early
    assert len(result.history) == result.best_epoch + 3
    assert result.best_auc > result.history[-1].validation_auc
    kept = load_file(result.best_weights)
    assert all(torch.equal(kept[name], value) for name, value in teacher.state_dict().items())
    assert not teacher.training


def test_what_is_frozen_stays_as_it_was(world: Any, tmp_path: Path) -> None:
    network = world.TinyNetwork()
    start = {name: value.clone() for name, value in network.state_dict().items()}
    config = config_with(frozen_stages=1, frozen_batchnorm=True, epochs=1)
    Trainer().fit(network, world.loaders(), config, tmp_path)
    moved = {n for n, value in network.state_dict().items() if not torch.equal(value, start[n])}
    assert moved == {"head.weight", "head.bias"}
    saved = load_file(tmp_path / "last.safetensors")
    momenta = {name for name in saved if name.startswith("momentum/")}
    assert momenta == {"momentum/head.weight", "momentum/head.bias"}


def test_the_kept_weights_are_the_averaged_ones(world: Any, tmp_path: Path) -> None:
    fit(world, tmp_path, config_with(epochs=1, weight_average=0.9))
    best, last = load_file(tmp_path / "best.safetensors"), load_file(tmp_path / "last.safetensors")
    assert all(torch.equal(value, last[f"average/{name}"]) for name, value in best.items())
    assert not torch.equal(best["head.weight"], last["weights/head.weight"])


def test_an_epoch_can_be_cut_to_one_step(world: Any, tmp_path: Path) -> None:
    config = config_with(epochs=1, max_steps_per_epoch=1, weight_average=0.5)
    fit(world, tmp_path, config)
    assert load_file(tmp_path / "last.safetensors")["steps/average"].item() == 1


def test_each_epoch_is_logged_in_one_line_and_nothing_is_printed(
    world: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO, logger="deeppneumonia.training"):
        fit(world, tmp_path, FAST)
    assert [message.split(":")[0] for message in caplog.messages] == [
        "epoch 1/2",
        "epoch 2/2",
    ]
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_a_bar(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    fit(world, tmp_path, config_with(epochs=1))
    assert "epoch 1/1" in terminal.getvalue()


def test_a_loss_that_is_not_finite_ends_the_training(world: Any, tmp_path: Path) -> None:
    network = world.TinyNetwork()
    network.head.weight.data.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"nan at step 1 of epoch 1.* learning_rate below 0.05"):
        Trainer().fit(network, world.loaders(), FAST, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("train", "validation", "num_classes", "message"),
    [
        ({}, {"pictures": 0}, 2, "validation set gave no pictures"),
        ({"pictures": 0}, {}, 2, "training set gave no pictures"),
        ({}, {}, 3, r"validation set has pictures per class \[12, 12, 0\]"),
        ({}, {"num_classes": 3}, 2, "validation set has label 2, but the network tells 2 cl"),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused(
    world: Any, tmp_path: Path, train: Any, validation: Any, num_classes: int, message: str
) -> None:
    loaders = Loaders(world.Squares(**train), world.Squares(**validation))
    with pytest.raises(TrainingError, match=message):
        Trainer().fit(world.TinyNetwork(num_classes), loaders, FAST, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_patient_with_two_labels_is_refused_without_a_name(world: Any, tmp_path: Path) -> None:
    right, wrong = list(world.Squares()), list(world.Squares(wrong=True))
    with pytest.raises(TrainingError, match="4 patients of the validation set") as refusal:
        loaders = Loaders(right, right + wrong)
        Trainer().fit(world.TinyNetwork(), loaders, FAST, tmp_path)
    assert "patient 0" not in str(refusal.value)


def test_a_network_without_such_parts_cannot_be_frozen(world: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sets frozen_stages to 2, which the network tiny refus"):
        fit(world, tmp_path, config_with(frozen_stages=2))

    class Plain(world.TinyNetwork):  # type: ignore[name-defined]
        freeze_batchnorm = None

    config = config_with(frozen_batchnorm=True, amp=Precision.OFF)
    with pytest.raises(ConfigError, match="sets frozen_batchnorm, but the network tiny has"):
        Trainer().fit(Plain(), world.loaders(), config, tmp_path)
