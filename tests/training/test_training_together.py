"""Two processes that train as one, started by torchrun: the result is that of one alone."""

import csv
import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def together() -> Iterator[ModuleType]:
    """together.py and the small world that it stands on."""
    sys.path.insert(0, str(HERE))
    yield importlib.import_module("together")
    sys.path.remove(str(HERE))


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes made of the trainings of together.py."""
    folder = tmp_path_factory.mktemp("two")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(HERE / "together.py"), str(folder),
    ]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return folder


def numbers(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open() as table:
        rows = [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(table)]
    for row in rows:
        del row["pictures_per_s"]
    return rows


def assert_same_training(found: Path, expected: Path, *, atol: float) -> None:
    for row, wanted in zip(numbers(found), numbers(expected), strict=True):
        assert row == pytest.approx(wanted, abs=atol)
    ours, theirs = (load_file(folder / "last.safetensors") for folder in (found, expected))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        # Sums of shares are rounded in another order than the sum of the whole.
        torch.testing.assert_close(value, theirs[name], atol=atol, rtol=1e-4, msg=name)


@pytest.mark.slow
def test_two_processes_train_as_one(together: ModuleType, by_two: Path, tmp_path: Path) -> None:
    together.tiny(tmp_path / "one")
    assert_same_training(by_two / "tiny", tmp_path / "one", atol=1e-5)


@pytest.mark.slow
def test_through_every_batch_norm_of_a_deep_network(
    together: ModuleType, by_two: Path, tmp_path: Path
) -> None:
    together.deep(tmp_path / "one")
    assert_same_training(by_two / "deep", tmp_path / "one", atol=1e-9)


@pytest.mark.slow
def test_the_loss_of_a_network_with_details_is_that_of_the_whole_batch(
    together: ModuleType, by_two: Path, tmp_path: Path
) -> None:
    together.with_details(tmp_path / "one")
    (found,), (expected,) = numbers(by_two / "details"), numbers(tmp_path / "one")
    # Of the first step: after it, rounding decides which of two alike details is looked at.
    assert found["training_loss"] == pytest.approx(expected["training_loss"], rel=1e-4)


@pytest.mark.slow
def test_what_two_began_one_may_end(together: ModuleType, by_two: Path, tmp_path: Path) -> None:
    shutil.copytree(by_two / "interrupted", tmp_path / "resumed")
    assert len(numbers(tmp_path / "resumed")) == 2
    together.tiny(tmp_path / "resumed")
    assert_same_training(tmp_path / "resumed", by_two / "tiny", atol=1e-5)


def test_only_torchrun_makes_a_team() -> None:
    from deeppneumonia.training.distributed import Team, joined_by_torchrun, team

    with joined_by_torchrun():
        assert team() == Team(rank=0, size=1)


@pytest.mark.parametrize("pictures", [0, 1, 2, 3, 7, 8])
def test_shares_are_neighbours_that_make_the_batch(pictures: int) -> None:
    from deeppneumonia.training.distributed import Team

    shares = [Team(rank, 3).share(pictures) for rank in range(3)]
    if pictures < 3:
        assert shares == [slice(0, pictures)] * 3
    else:
        assert [i for share in shares for i in range(pictures)[share]] == list(range(pictures))
        assert max(s.stop - s.start for s in shares) - min(s.stop - s.start for s in shares) <= 1
