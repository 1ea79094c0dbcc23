"""The parts of training, against values worked out by hand."""

import csv
import io
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from deeppneumonia.errors import ConfigError, TrainingError
from deeppneumonia.models import create_model
from deeppneumonia.training import EpochRecord, Optimizer, Precision, Schedule, TrainConfig
from deeppneumonia.training.averaging import WeightAverage
from deeppneumonia.training.checks import inverse_frequency
from deeppneumonia.training.history import as_csv, as_picture, best_of, has_stalled
from deeppneumonia.training.loop import Learner
from deeppneumonia.training.schedule import learning_rate_at


def test_the_defaults_are_the_published_recipe() -> None:
    config = TrainConfig()
    assert (config.learning_rate, config.momentum, config.weight_decay) == (8e-4, 0.9, 1e-4)
    assert (config.lr_milestones, config.lr_factor, config.batch_size) == ((60, 100), 0.1, 4)


def test_a_config_survives_its_dictionary() -> None:
    config = TrainConfig(
        schedule=Schedule.COSINE, amp=Precision.BF16, lr_milestones=(3, 4), max_steps_per_epoch=7
    )
    assert TrainConfig.from_dict(config.to_dict()) == config
    assert TrainConfig.from_dict(TrainConfig().to_dict()) == TrainConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rat": 1e-3}, "names learning_rat, which is not known; use names among epochs,"),
        ({"schedule": "linear"}, "sets schedule to 'linear'; use one of steps, cosine"),
        ({"epochs": 0}, "sets epochs to 0; it must be 1 or more"),
        ({"epochs": True}, "sets epochs to True; it must be a value of type int"),
        ({"epochs": 1.5}, "sets epochs to 1.5; it must be a value of type int"),
        ({"learning_rate": "fast"}, "sets learning_rate to 'fast'; it must be a value of type"),
        ({"learning_rate": float("nan")}, "sets learning_rate to nan; it must be a number above 0"),
        ({"momentum": 1}, "sets momentum to 1; it must be 0 up to but not 1"),
        ({"lr_milestones": [60, 30]}, "it must be epochs in rising order"),
        ({"lr_milestones": ["60"]}, "it must be a value of type tuple"),
        ({"epochs": 3, "warmup_epochs": 3}, "sets warmup_epochs to 3"),
        ({"weight_average": 1.0}, "sets weight_average to 1.0"),
        ({"max_steps_per_epoch": 0}, "it must be 1 or more, or left out"),
    ],
)
def test_an_impossible_recipe_is_refused_by_name(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        TrainConfig.from_dict(values)
    assert message in str(refusal.value)


def test_steps_lower_the_rate_after_each_milestone() -> None:
    config = TrainConfig(epochs=120, learning_rate=8e-4, lr_milestones=(60, 100))
    rates = [learning_rate_at(config, epoch) for epoch in (1, 60, 61, 100, 101, 120)]
    assert rates == pytest.approx([8e-4, 8e-4, 8e-5, 8e-5, 8e-6, 8e-6])


def test_cosine_warms_up_in_equal_steps_and_then_falls_by_half_a_wave() -> None:
    config = TrainConfig(epochs=6, learning_rate=1.0, schedule=Schedule.COSINE, warmup_epochs=2)
    rates = [learning_rate_at(config, epoch) for epoch in range(1, 7)]
    half = math.sqrt(0.5) / 2
    assert rates == pytest.approx([1 / 3, 2 / 3, 1.0, 0.5 + half, 0.5, 0.5 - half])


def test_inverse_frequency_lets_each_class_count_the_same() -> None:
    weights = inverse_frequency([30, 10, 20])
    assert weights.tolist() == pytest.approx([60 / 90, 60 / 30, 60 / 60])


def test_a_class_without_pictures_has_no_weight() -> None:
    with pytest.raises(TrainingError, match=r"pictures per class \[30, 0\]"):
        inverse_frequency([30, 0])


class Scalar(nn.Module):
    """One weight, one running statistic, one counter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("statistic", torch.zeros(()))
        self.register_buffer("counter", torch.zeros((), dtype=torch.int64))


def test_the_weight_average_of_a_scalar_is_the_one_worked_out_by_hand() -> None:
    network = Scalar()
    average = WeightAverage(network, decay=0.2)
    for step, value in enumerate((11.0, 24.0), start=1):
        network.weight.data.fill_(value)
        network.statistic.fill_(value)
        network.counter.fill_(step)
        average.update(network)
    # d = min(0.2, 2/11) then min(0.2, 3/12): 0 -> 11 * 9/11 = 9 -> 0.2 * 9 + 0.8 * 24 = 21
    assert average.weights["weight"].item() == pytest.approx(21.0)
    assert average.weights["statistic"].item() == pytest.approx(21.0)
    assert average.weights["counter"].item() == 2
    with average.applied_to(network):
        assert network.weight.item() == pytest.approx(21.0)
    assert network.weight.item() == 24.0


def record(epoch: int, auc: float, loss: float = 0.5) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        learning_rate=1e-3,
        training_loss=0.6,
        validation_loss=loss,
        validation_auc=auc,
        pictures_per_s=12.5,
    )


def test_the_best_epoch_has_the_highest_auc_then_the_lowest_loss_then_comes_first() -> None:
    history = [record(1, 0.8, 0.1), record(2, 0.9, 0.7), record(3, 0.9, 0.6), record(4, 0.9, 0.6)]
    assert best_of(history).epoch == 3


@pytest.mark.parametrize(("patience", "stalled_after"), [(1, 3), (2, 4), (0, None)])
def test_patience_counts_the_epochs_since_the_best(
    patience: int, stalled_after: int | None
) -> None:
    history = [record(1, 0.7), record(2, 0.9), record(3, 0.8), record(4, 0.85), record(5, 0.7)]
    stalled = [epoch for epoch in range(6) if has_stalled(history[:epoch], patience)]
    assert (stalled[0] if stalled else None) == stalled_after


def test_the_history_is_a_table_with_one_line_per_epoch() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv([record(1, 0.75), record(2, 0.5)]).decode())))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert rows[0] == {
        "epoch": "1",
        "learning_rate": "0.001",
        "training_loss": "0.6",
        "validation_loss": "0.5",
        "validation_auc": "0.75",
        "pictures_per_s": "12.5",
    }


def test_the_learning_curve_is_a_png() -> None:
    assert as_picture([replace(record(1, 0.7), validation_loss=0.4)]).startswith(b"\x89PNG")


def test_a_backbone_learns_at_its_share_of_the_rate_and_its_head_at_the_whole() -> None:
    network = create_model("resnet18", 2)
    config = TrainConfig(learning_rate=0.5, backbone_rate=0.1, optimizer=Optimizer.ADAMW)
    learner = Learner(network, config, None)
    sizes = {group["share"]: len(group["params"]) for group in learner.optimizer.param_groups}
    assert sizes == {0.1: len(list(network.parameters())) - 2, 1.0: 2}
