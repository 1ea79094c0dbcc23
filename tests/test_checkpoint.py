"""A checkpoint comes back as it went in, or is refused by name."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from deeppneumonia.checkpoint import (
    CheckpointMetadata,
    OperatingLevel,
    Thresholds,
    load_checkpoint,
    read_metadata,
    save_checkpoint,
)
from deeppneumonia.domain import ClassSet
from deeppneumonia.errors import CheckpointError
from deeppneumonia.models import create_model
from deeppneumonia.preprocessing import Fill, PreprocessConfig

METADATA = CheckpointMetadata(
    model="resnet18",
    classes=ClassSet(("covid", "healthy")),
    preprocessing=PreprocessConfig(fill=Fill.BLACK),
    temperature=1.7,
    thresholds=Thresholds(
        confidence=0.6,
        operating_points=(
            OperatingLevel(target=0.9, threshold=0.31, sensitivity=0.92, specificity=0.7),
        ),
    ),
    provenance={"commit": "abc"},
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(path, create_model("resnet18", 2), METADATA)
    return path


def test_metadata_come_back_as_they_went_in(saved: Path) -> None:
    assert read_metadata(saved) == METADATA


def test_the_same_network_is_the_same_file_however_often_it_is_saved(
    saved: Path, tmp_path: Path
) -> None:
    network = load_checkpoint(saved).network
    hashes = {save_checkpoint(tmp_path / "again.safetensors", network, METADATA) for _ in range(12)}
    assert hashes == {load_checkpoint(saved).sha256}


def test_others_may_read_it_as_any_file_of_its_writer(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    assert saved.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_weights_come_back_in_half_precision_and_give_the_same_answer(saved: Path) -> None:
    torch.manual_seed(0)
    original = create_model("resnet18", 2).eval()
    loaded = load_checkpoint(saved)
    pictures = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        expected = original(pictures).logits
        answer = loaded.network(pictures).logits
    assert not loaded.network.training
    # float16 keeps 11 bits: relative error 5e-4 a weight, much less in a sum of many.
    assert torch.allclose(answer, expected, atol=5e-3 * float(expected.abs().max()) + 1e-3)
    assert saved.stat().st_size < 24e6  # 11.2 million weights, 2 bytes each


def test_nothing_unfinished_is_left_beside_it(saved: Path) -> None:
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def test_another_file_than_the_released_one_is_refused(saved: Path) -> None:
    with pytest.raises(CheckpointError, match="damaged or not the one that was released"):
        load_checkpoint(saved, expected_sha256="0" * 64)


def test_a_truncated_file_is_refused(saved: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_checkpoint(broken)


def test_a_missing_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="leave --checkpoint out"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_a_backbone_file_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "backbone.safetensors"
    save_file({"conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="no DeepPneumonia metadata"):
        load_checkpoint(path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.safetensors"
    three = CheckpointMetadata(
        model="resnet50", classes=METADATA.classes, preprocessing=METADATA.preprocessing
    )
    save_checkpoint(path, create_model("resnet18", 2), three)
    with pytest.raises(CheckpointError, match="do not fit the network 'resnet50'"):
        load_checkpoint(path)


@pytest.mark.parametrize("text", ["not json", "[]", '{"format": "other"}', "{}"])
def test_metadata_that_make_no_sense_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={"deeppneumonia": text})
    with pytest.raises(CheckpointError):
        read_metadata(path)


@pytest.mark.parametrize("where", ["weights", "threshold"])
def test_a_damaged_copy_is_refused_by_its_own_hash(where: str, saved: Path, tmp_path: Path) -> None:
    raw = bytearray(saved.read_bytes())
    at = raw.index(b"confidence") + 16 if where == "threshold" else len(raw) - 5000
    raw[at] ^= 1  # 0.6 becomes 0.7, or one weight another
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(raw)
    read_metadata(damaged)  # still makes sense
    with pytest.raises(CheckpointError, match="its sha256 differs"):
        load_checkpoint(damaged)


def test_a_file_cut_short_anywhere_is_refused(saved: Path, tmp_path: Path) -> None:
    raw = saved.read_bytes()
    for size in (0, 1, 7, 8, 9, 1000, len(raw) // 2, len(raw) - 1):
        short = tmp_path / "short.safetensors"
        short.write_bytes(raw[:size])
        with pytest.raises(CheckpointError, match="not a whole safetensors file"):
            load_checkpoint(short)
