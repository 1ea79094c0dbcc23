"""A training that was killed and resumed is the training that was never broken."""

import csv
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from deeppneumonia.errors import TrainingError
from deeppneumonia.training import Optimizer, TrainConfig, Trainer
from deeppneumonia.training.state import load_state, save_state, save_weights

CONFIG = TrainConfig(epochs=2, learning_rate=0.05, patience=0)


def history_without_speed(out_dir: Path) -> list[dict[str, str]]:
    with (out_dir / "history.csv").open() as table:
        rows = list(csv.DictReader(table))
    for row in rows:
        del row["pictures_per_s"]
    return rows


def test_kill_9_at_any_moment_changes_neither_weights_nor_history(
    world: Any, tmp_path: Path
) -> None:
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    command = [sys.executable, world.__file__, str(unbroken), str(killed)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) >= 3, "too few kills hit a running training"
    for name in ("last.safetensors", "best.safetensors"):
        expected, found = load_file(unbroken / name), load_file(killed / name)
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[key], found[key]) for key in expected), name
    assert len(history_without_speed(unbroken)) == world.UNBROKEN.epochs
    assert history_without_speed(unbroken) == history_without_speed(killed)
    assert (killed / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def trained(world: Any, tmp_path: Path) -> Path:
    """A folder with a finished training of two epochs."""
    Trainer().fit(world.TinyNetwork(), world.loaders(), CONFIG, tmp_path)
    return tmp_path


def test_what_a_killed_run_was_writing_is_cleared_away(world: Any, trained: Path) -> None:
    (trained / ".last.safetensors.4711.part").write_bytes(b"half")
    Trainer().fit(world.TinyNetwork(), world.loaders(), CONFIG, trained)
    assert not list(trained.glob(".*"))


def test_a_full_disk_leaves_the_last_whole_state_and_nothing_beside_it(
    world: Any, trained: Path
) -> None:
    before = {file.name: file.read_bytes() for file in trained.iterdir()}
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, usual[1]))  # as a disk with one block left
    try:
        with pytest.raises(OSError, match="File too large"):
            save_state(load_state(trained / "last.safetensors"), trained / "last.safetensors")
        with pytest.raises(OSError, match="File too large"):
            save_weights(world.TinyNetwork().state_dict(), 3, trained / "best.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert {file.name: file.read_bytes() for file in trained.iterdir()} == before


def test_a_finished_training_is_only_handed_over(world: Any, trained: Path) -> None:
    before = (trained / "last.safetensors").read_bytes()
    (trained / "history.csv").unlink()
    network = world.TinyNetwork(seed=99)
    result = Trainer().fit(network, world.loaders(), CONFIG, trained)
    assert len(result.history) == len(history_without_speed(trained)) == 2
    assert (trained / "last.safetensors").read_bytes() == before
    best = load_file(trained / "best.safetensors")
    assert all(torch.equal(best[name], value) for name, value in network.state_dict().items())


def test_a_kill_between_the_state_and_the_best_weights_is_made_good(
    world: Any, trained: Path
) -> None:
    best = (trained / "best.safetensors").read_bytes()
    save_file({"from": torch.zeros(1)}, trained / "best.safetensors", {"epoch": "1"})
    result = Trainer().fit(world.TinyNetwork(), world.loaders(), CONFIG, trained)
    assert result.best_epoch == 2
    assert (trained / "best.safetensors").read_bytes() == best


def test_another_config_is_refused_with_the_difference(world: Any, trained: Path) -> None:
    other = replace(CONFIG, learning_rate=0.01, seed=1)
    with pytest.raises(TrainingError) as refusal:
        Trainer().fit(world.TinyNetwork(), world.loaders(), other, trained)
    assert "learning_rate was 0.05 and is now 0.01; seed was 0 and is now 1" in str(refusal.value)
    assert "another output folder" in str(refusal.value)


def test_another_network_is_refused(world: Any, trained: Path) -> None:
    with pytest.raises(TrainingError, match="the weights are those of another network"):
        Trainer().fit(world.TinyNetwork(3), world.loaders(3), CONFIG, trained)


@pytest.mark.parametrize("damage", ["short", "flipped", "foreign", "empty"])
def test_a_damaged_state_is_refused_and_left_as_it_is(
    world: Any, trained: Path, damage: str
) -> None:
    last = trained / "last.safetensors"
    whole = last.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    damaged = {
        "short": whole[: len(whole) // 2],
        "flipped": bytes(flipped),
        "foreign": (trained / "best.safetensors").read_bytes(),
        "empty": b"",
    }[damage]
    last.write_bytes(damaged)
    with pytest.raises(TrainingError, match="cannot be resumed from it: remove the file"):
        Trainer().fit(world.TinyNetwork(), world.loaders(), CONFIG, trained)
    assert last.read_bytes() == damaged


def test_best_weights_that_went_missing_are_noticed(world: Any, tmp_path: Path) -> None:
    good = world.TinyNetwork()
    Trainer().fit(good, world.loaders(), CONFIG, tmp_path / "good")
    wrong, worse = world.loaders(wrong_training=True), tmp_path / "worse"
    result = Trainer().fit(good, wrong, replace(CONFIG, epochs=4), worse)
    assert result.best_epoch < 4
    (worse / "best.safetensors").unlink()
    with pytest.raises(TrainingError, match="does not hold the weights of epoch"):
        Trainer().fit(good, wrong, replace(CONFIG, epochs=4), worse)


class Interrupted:
    """The training batches of a world, until the second epoch begins."""

    def __init__(self, train: Any) -> None:
        self.train = train

    def set_epoch(self, epoch: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt
        self.train.set_epoch(epoch)

    def __iter__(self) -> Any:
        return iter(self.train)


def test_adamw_goes_on_with_all_that_it_remembers(world: Any, tmp_path: Path) -> None:
    config = replace(CONFIG, optimizer=Optimizer.ADAMW, learning_rate=0.01, epochs=3)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    Trainer().fit(world.TinyNetwork(), world.loaders(), config, unbroken)
    loaders = world.loaders()
    with pytest.raises(KeyboardInterrupt):
        stopping = replace(loaders, train=Interrupted(loaders.train))
        Trainer().fit(world.TinyNetwork(), stopping, config, broken)
    Trainer().fit(world.TinyNetwork(), world.loaders(), config, broken)
    expected, found = (
        load_file(unbroken / "last.safetensors"),
        load_file(broken / "last.safetensors"),
    )
    assert expected.keys() == found.keys()
    assert {name.split("/")[0] for name in expected} >= {"weights", "momentum", "square", "count"}
    assert all(torch.equal(expected[key], found[key]) for key in expected)
